"""Families: a base and its fine-tuned models, aligned by name, streamed one parameter at a time."""

from mergecast.family.alignment import Alignment, Exclusion
from mergecast.family.blocks import ParamBlock
from mergecast.family.family import Family

__all__ = ["Alignment", "Exclusion", "Family", "ParamBlock"]
