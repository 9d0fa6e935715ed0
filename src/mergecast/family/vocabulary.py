"""Members with tokens of their own: rows of embeddings matched by token, not by position.

The base's rows are merged whoever has them. Of tokens that the base lacks, ``base`` leaves the rows
out, and ``union`` keeps each as its owner has it (the mean of several owners'), after the base's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from math import prod

import numpy as np

from mergecast.checkpoints.checkpoint import Checkpoint, TensorInfo
from mergecast.checkpoints.rows import RowsCheckpoint
from mergecast.checkpoints.side_files import vocabulary
from mergecast.errors import FamilyError, UsageError
from mergecast.family.token_names import names_of, row_names, rows_of, vocabulary_names
from mergecast.typing import Array

MODES = ("base", "union")
#: What some models add to their logits: columns, not rows.
COLUMNS = "final_logits_bias"
#: Rows of new tokens, of one tensor and one set of models, that are kept.
_KEPT = 64


@dataclass(frozen=True)
class Vocabulary:
    """What is done about tokens that only some of a family's models have.

    Attributes
    ----------
    mode : str
        ``base`` or ``union``.
    base : Checkpoint
        The base.
    models : mapping of str to Checkpoint
        Label to model, as it was opened.
    owners : mapping of str to tuple of str
        New token to the models that have it, sorted.
    """

    mode: str
    base: Checkpoint
    models: Mapping[str, Checkpoint]
    owners: Mapping[str, tuple[str, ...]]

    @cached_property
    def kept(self) -> dict[str, int]:
        """New token to its row in the merged model; empty where they are left out."""
        if self.mode == "base" or not self.owners:
            return {}
        start = max(vocabulary(self.base.path).values()) + 1
        return {token: start + place for place, token in enumerate(self.owners)}

    @property
    def rows(self) -> int:
        """Rows of the merged embeddings."""
        return max(rows_of(self.base) or 0, 1 + max(self.kept.values(), default=-1))

    def widened(self, info: TensorInfo) -> TensorInfo:
        """A tensor of the base as the merged model has it."""
        if info.name not in self._names:
            return info
        return replace(info, shape=(self.rows, *info.shape[1:]))

    def only(self, labels: Collection[str]) -> Vocabulary:
        """The same of some models alone: tokens that none of them has are none of their merge."""
        models = {label: model for label, model in self.models.items() if label in labels}
        return replace(self, models=models, owners=new_tokens(self.base, models))

    def widen(self, name: str, array: Array, labels: Collection[str] | None = None) -> Array:
        """A tensor with the rows of new tokens in their places.

        Parameters
        ----------
        name : str
            Of the base.
        array : ndarray
            Its rows of the base's tokens; more are passed over.
        labels : collection of str, optional
            The models whose rows are taken, all by default. A token that none of them has gets a
            row like all others, which is never the likeliest.
        """
        if name not in self._names:
            return array
        old = self.base.info(name).shape[0]
        out = np.empty((self.rows, *array.shape[1:]), dtype=array.dtype)
        out[:old] = array[:old]
        chosen = tuple(sorted(self.models if labels is None else labels))
        out[self._places(old)] = self._new_rows(name, chosen).reshape(-1, *array.shape[1:])
        return out

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(vocabulary_names(self.base) if self.kept else ())

    def _places(self, old: int) -> list[int]:
        """Rows that are not the base's, of `old` rows: padding of the base may become a token's."""
        return sorted({*self.kept.values(), *range(old, self.rows)})

    @cached_property
    def _made(self) -> dict[tuple[str, tuple[str, ...]], Array]:
        """Rows of new tokens that were made, the last ones."""
        return {}

    @cached_property
    def numbers(self) -> dict[str, dict[str, int]]:
        """Label to the numbers that its own tokenizer gives to new tokens."""
        found = {label: vocabulary(model.path) for label, model in self.models.items()}
        return {x: {t: n for t, n in own.items() if t in self.owners} for x, own in found.items()}

    @cached_property
    def views(self) -> dict[str, Checkpoint]:
        """Models with all rows that were asked for, by label; see `token_rows.whole`."""
        return {}

    @cached_property
    def _means(self) -> dict[str, Array]:
        return {}

    def __getstate__(self) -> dict[str, object]:
        """What another process needs: nothing that it can make itself."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def mean_row(self, name: str) -> Array:
        """A row like all others of the base's: of padding, and of tokens that nobody has."""
        if name not in self._means:
            values = self.base.floats(name)
            width = prod(self.base.info(name).shape[1:])
            self._means[name] = values.reshape(-1, width).mean(axis=0, dtype=np.float64)
        return self._means[name]

    def _new_rows(self, name: str, labels: tuple[str, ...]) -> Array:
        """Rows that are not the base's: each token's as its owners have it, on average."""
        if (name, labels) not in self._made:
            places = self._places(self.base.info(name).shape[0])
            at = {row: place for place, row in enumerate(places)}
            out = np.tile(self.mean_row(name), (len(places), 1))
            for token, row in self.kept.items():
                owners = [label for label in self.owners[token] if label in labels]
                rows = [self._row(name, label, self.numbers[label][token]) for label in owners]
                rows = [one for one in rows if one is not None]
                if rows:
                    out[at[row]] = np.asarray(rows, dtype=np.float64).mean(axis=0)
            while len(self._made) >= _KEPT:
                self._made.pop(next(iter(self._made)))
            self._made[name, labels] = out
        return self._made[name, labels]

    def _row(self, name: str, label: str, at: int) -> Array | None:
        """A row of a model's tensor; None where it has no such layer."""
        model, width = self.models[label], prod(self.base.info(name).shape[1:])
        held = next((n for n in names_of(self.base, name) if n in model.infos), None)
        if held is None or model.info(held).shape[0] <= at:
            return None
        return model.floats(held, at * width, (at + 1) * width)

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
    index = row_index(base, model)
    if index is None:
        return model
    for name, info in base.infos.items():
        if name.endswith(COLUMNS) and info.shape != model.infos.get(name, info).shape:
            raise FamilyError(
                model.path,
                f"{name!r} has a column for each token, and only rows are matched by token",
                "resize the base and all models to one vocabulary first, in one order of tokens",
            )
    return _view(base, model, index)


def check_mode(mode: str | None) -> None:
    """Raise UsageError for an unknown way of matching tokens."""
    if mode not in (None, *MODES):
        raise UsageError.unknown("vocabulary", str(mode), MODES)


def new_tokens(base: Checkpoint, models: Mapping[str, Checkpoint]) -> dict[str, tuple[str, ...]]:
    """Tokens with a row that the base lacks, to the models that have them; by label and number."""
    known = vocabulary(base.path)
    owners: dict[str, tuple[str, ...]] = {}
    for label in sorted(models):
        rows = rows_of(base, models[label])
        for token, number in sorted(vocabulary(models[label].path).items(), key=lambda one: one[1]):
            if known and token not in known and rows is not None and number < rows:
                owners[token] = (*owners.get(token, ()), label)
    return owners


def row_index(base: Checkpoint, model: Checkpoint) -> Array | None:
    """Row of the model for each row of the base, -1 where it has none; None where all are equal."""
    found, rows = rows_of(base), rows_of(base, model)
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
    names = row_names(base, model)
    return RowsCheckpoint(model, dict.fromkeys(names, index), _BaseRows(base, names))


@dataclass(frozen=True)
class _BaseRows:
    """Rows that a model lacks, as the base has them."""

    base: Checkpoint
    names: Mapping[str, str]

    def __call__(self, name: str, first: int, last: int) -> Array:
        info = self.base.info(self.names[name])
        width = prod(info.shape[1:])
        return self.base._read(info, first * width, last * width).reshape(last - first, -1)
