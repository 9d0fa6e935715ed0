"""Numbers of tokens: a model's own, and those that all models of a family are run with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from mergecast.typing import Array


@dataclass(frozen=True)
class Numbering:
    """How a model's numbers of tokens become its family's, where rows are matched by token.

    Attributes
    ----------
    rows : int
        Rows of embeddings and output layers of whatever is run.
    names : tuple of str
        Tensors that have a row for each token, by the names of checkpoints.
    numbers : (n,) int array
        The family's number of each of the model's; -1 where it has none.
    left_out : mapping of int to str
        Tokens without a number in the family, by the model's.
    padding : int or None
        The number of the model's own that pads, where that token is left out.
    pad : int
        What pads in the place of tokens that are left out.
    new : mapping of str to int
        New token to its row.
    """

    rows: int
    names: tuple[str, ...]
    numbers: Array
    left_out: Mapping[int, str]
    padding: int | None
    pad: int
    new: Mapping[str, int]

    @property
    def is_identity(self) -> bool:
        """Whether every token keeps its number."""
        return bool((self.numbers == range(len(self.numbers))).all())

    def number(self, own: int) -> int:
        """The family's number of one of the model's; itself where it is none of a row."""
        if not 0 <= own < len(self.numbers):
            return own
        found = int(self.numbers[own])
        return self.pad if found < 0 else found

    def digest(self) -> str:
        """SHA-256 (hex) of all of it."""
        words = (
            self.rows,
            self.names,
            self.numbers.tolist(),
            sorted(self.left_out.items()),
            self.padding,
            self.pad,
            sorted(self.new.items()),
        )
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()
