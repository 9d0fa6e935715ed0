"""Merging methods: one function of a block each, and the run that streams a family through it."""

from mergecast.merging.method import METHODS, MergingMethod, TensorBlock, merging_method
from mergecast.merging.run import merge
from mergecast.merging.write import write_merge

__all__ = [
    "METHODS",
    "MergingMethod",
    "TensorBlock",
    "merge",
    "merging_method",
    "write_merge",
]
