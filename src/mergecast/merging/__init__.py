"""Merging methods: one function of a block each, and the run that streams a family through it."""

from mergecast.merging.mergekit import MergekitMerge, read_mergekit
from mergecast.merging.method import (
    METHODS,
    MergingMethod,
    TensorBlock,
    merging_method,
    usual_methods,
)
from mergecast.merging.parameters import Each
from mergecast.merging.recipe import Recipe
from mergecast.merging.run import merge
from mergecast.merging.write import write_merge

__all__ = [
    "METHODS",
    "Each",
    "MergekitMerge",
    "MergingMethod",
    "Recipe",
    "TensorBlock",
    "merge",
    "merging_method",
    "read_mergekit",
    "usual_methods",
    "write_merge",
]
