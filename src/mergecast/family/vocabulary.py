"""Members with tokens of their own: rows of embeddings matched by token, not by position.

The base's rows are merged whoever has them. Of tokens that the base lacks, ``base`` leaves the rows
out, and ``union`` keeps each as its owner has it (the mean of several owners'), after the base's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.rows import RowsCheckpoint
from mergecast.checkpoints.side_files import vocabulary
from mergecast.checkpoints.tied import INPUT_EMBEDDINGS, OUTPUT_EMBEDDINGS
from mergecast.errors import FamilyError, UsageError
from mergecast.typing import Array

MODES = ("base", "union")


@dataclass(frozen=True)
class Vocabulary:
    """What is done about tokens that only some of a family's models have.

    Attributes
    ----------
    mode : str
        ``base`` or ``union``.
    rows : int
        Rows of the merged embeddings.
    kept : mapping of str to int
        New token to its row.
    owners : mapping of str to tuple of str
        New token to the models that have it, sorted; those of tokens left out as well.
    """

    mode: str
    rows: int
    kept: Mapping[str, int] = field(default_factory=dict)
    owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def said(self) -> str:
        """One line for people."""
        whose: dict[tuple[str, ...], list[str]] = {}
        for token, owners in self.owners.items():
            whose.setdefault(owners, []).append(token)
        listing = "; ".join(
            f"{len(tokens)} of {', '.join(owners)}, first {tokens[0]!r}"
            for owners, tokens in whose.items()
        )
        done = "kept from their owners" if self.mode == "union" else "left out"
        new = f"new ones {done}: {listing}" if listing else "no new ones"
        return f"rows of the base's tokens merged by token, {self.rows} rows; {new}"


def by_token(base: Checkpoint, model: Checkpoint) -> Checkpoint:
    """A model with the rows of the base's tokens in the base's order; itself where they are so.

    Rows of tokens that the model lacks are the base's.

    Raises
    ------
    FamilyError
        Numbers of rows differ, and files do not say which tokens they are of.
    """
    index = _index(base, model)
    return model if index is None else _view(base, model, index)


def check_mode(mode: str | None) -> None:
    """Raise UsageError for an unknown way of matching tokens."""
    if mode not in (None, *MODES):
        raise UsageError.unknown("vocabulary", str(mode), MODES)


def matched(
    mode: str, base: Checkpoint, models: Mapping[str, Checkpoint]
) -> tuple[Checkpoint, dict[str, Checkpoint], Vocabulary]:
    """Base and models with rows for the same tokens.

    Parameters
    ----------
    mode : str
        ``base`` leaves out tokens that the base lacks; ``union`` puts their rows, as their owners
        have them, into the base, from which the models then do not differ in them.
    base : Checkpoint
        The base.
    models : mapping of str to Checkpoint
        Label to model, as it was opened.

    Returns
    -------
    tuple
        Base, label to model, and what was done.
    """
    owners, found = _new_tokens(base, models), _rows(base) or 0
    if mode == "base" or not owners:
        views = {label: by_token(base, model) for label, model in models.items()}
        return base, views, Vocabulary(mode, found, {}, owners)
    start = max(vocabulary(base.path).values()) + 1
    kept = {token: start + place for place, token in enumerate(owners)}
    rows = max(found, start + len(kept))
    index = np.where(np.arange(rows) < found, np.arange(rows), -1)
    index[start : start + len(kept)] = -1
    new = _NewRows(base, models, owners, {number: token for token, number in kept.items()})
    wider = RowsCheckpoint(base, dict.fromkeys(_vocabulary_names(base), index), new.read)
    views = {}
    for label, model in models.items():
        theirs = _index(base, model)
        theirs = np.arange(found) if theirs is None else theirs
        places = np.concatenate([theirs, np.full(rows - found, -1)])
        places[start : start + len(kept)] = -1
        views[label] = _view(wider, model, places)
    return wider, views, Vocabulary(mode, rows, kept, owners)


@dataclass(frozen=True)
class _NewRows:
    """Rows of tokens that a base lacks, as their owners have them."""

    base: Checkpoint
    models: Mapping[str, Checkpoint]
    owners: Mapping[str, tuple[str, ...]]
    tokens: Mapping[int, str]

    def read(self, name: str, first: int, last: int) -> Array:
        """Rows (last - first, width) of a tensor, in the base's dtype."""
        return np.stack([self._row(name, self.tokens.get(row, "")) for row in range(first, last)])

    def _row(self, name: str, token: str) -> Array:
        info = self.base.info(name)
        width = prod(info.shape[1:])
        rows = []
        for label in self.owners.get(token, ()):
            model, at = self.models[label], vocabulary(self.models[label].path)[token]
            held = next((n for n in _names(self.base, name) if n in model.infos), None)
            if held is not None and model.info(held).shape[0] > at:
                rows.append(model.floats(held, at * width, (at + 1) * width))
        if not rows:  # no owner has such a layer, or the row is padding: one like all others
            rows = [self.base.floats(name).reshape(-1, width).mean(axis=0)]
        mean: Array = np.asarray(rows, dtype=np.float64).mean(axis=0).astype(info.dtype)
        return mean


def _new_tokens(base: Checkpoint, models: Mapping[str, Checkpoint]) -> dict[str, tuple[str, ...]]:
    """Tokens with a row that the base lacks, to the models that have them; by label and number."""
    known = vocabulary(base.path)
    owners: dict[str, tuple[str, ...]] = {}
    for label in sorted(models):
        rows = _rows(base, models[label])
        for token, number in sorted(vocabulary(models[label].path).items(), key=lambda one: one[1]):
            if known and token not in known and rows is not None and number < rows:
                owners[token] = (*owners.get(token, ()), label)
    return owners


def _index(base: Checkpoint, model: Checkpoint) -> Array | None:
    """Row of the model for each row of the base, -1 where it has none; None where all are equal."""
    found, rows = _rows(base), _rows(base, model)
    theirs, ours = vocabulary(base.path), vocabulary(model.path)
    same = found == rows and (not theirs or not ours or theirs == ours)
    if found is None or rows is None or same:
        return None
    if not theirs or not ours:
        raise FamilyError(
            base.path if not theirs else model.path,
            f"holds no tokenizer that says which tokens its rows are of ({rows} in the model, "
            f"{found} in the base)",
            "put its tokenizer files beside the weights",
        )
    index = np.full(found, -1)
    for token, number in theirs.items():
        if number < found and ours.get(token, rows) < rows:
            index[number] = ours[token]
    of_base, of_model = set(theirs.values()), set(ours.values())
    for row in range(min(found, rows)):  # padding, of no token on either side
        if row not in of_base and row not in of_model:
            index[row] = row
    return index


def _view(base: Checkpoint, model: Checkpoint, index: Array) -> Checkpoint:
    """The model with rows chosen; those that it lacks are the base's."""
    rows = _rows(base, model)
    names = {
        other: name
        for name in _vocabulary_names(base)
        for other in _names(base, name)
        if other in model.infos and model.infos[other].shape[0] == rows
    }

    def fill(name: str, first: int, last: int) -> Array:
        kept = names[name]
        width = prod(base.info(kept).shape[1:])
        return base._read(base.info(kept), first * width, last * width).reshape(last - first, -1)

    return RowsCheckpoint(model, dict.fromkeys(names, index), fill)


def _rows(base: Checkpoint, model: Checkpoint | None = None) -> int | None:
    """Rows of the input embeddings of the base, or of a model; None where it has none."""
    infos = (model or base).infos
    for name in sorted({*base.infos, *base.tied}):
        if name.endswith(INPUT_EMBEDDINGS):
            for other in _names(base, base.tied.get(name, name)):
                if other in infos:
                    return infos[other].shape[0]
    return None


def _names(base: Checkpoint, kept: str) -> Iterator[str]:
    """All names of a tensor of the base."""
    yield kept
    yield from (other for other, name in base.tied.items() if name == kept)


def _vocabulary_names(base: Checkpoint) -> list[str]:
    """The base's tensors with a row, or an element, for each token."""
    rows = _rows(base)
    return [
        name
        for name, info in base.infos.items()
        if info.is_floating
        and info.shape[:1] == (rows,)
        and (
            len(info.shape) == 1
            or any(one.endswith(INPUT_EMBEDDINGS + OUTPUT_EMBEDDINGS) for one in _names(base, name))
        )
    ]
