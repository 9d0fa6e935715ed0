"""What is run of a family whose rows are matched by token: one order of rows for all of it.

Rows of the base's tokens come first, in the base's order, as they are merged; those of new tokens
follow (or take the place of the base's padding), each token at one row whoever has it. So of a
gradient by such a tensor the base's rows, which are what is merged, are the first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.numbering import Numbering
from mergecast.checkpoints.rows import RowsCheckpoint
from mergecast.checkpoints.side_files import read_json, vocabulary
from mergecast.checkpoints.tied import INPUT_EMBEDDINGS, OUTPUT_EMBEDDINGS
from mergecast.family.token_names import names_of, row_names, rows_of, vocabulary_names
from mergecast.family.vocabulary import Vocabulary, row_index
from mergecast.typing import Array

if TYPE_CHECKING:
    import torch

#: Ends of the names of an output layer's biases, one a token.
_BIASES = ("predictions.bias", "decoder.bias", "lm_head.bias", "vocab_projector.bias")


def numbering(tokens: Vocabulary, label: str) -> Numbering:
    """A model's numbers of tokens and the family's.

    Parameters
    ----------
    tokens : Vocabulary
        Of the family.
    label : str
        The model.
    """
    base, model = tokens.base, tokens.models[label]
    known, own = vocabulary(base.path), vocabulary(model.path)
    rows = rows_of(base, model) or tokens.rows
    numbers = np.arange(max(rows, 1 + max(own.values(), default=-1)))
    left_out: dict[int, str] = {}
    if known and own:
        for token, number in own.items():
            found = known.get(token, tokens.kept.get(token, -1))
            numbers[number] = found
            if found < 0:
                left_out[number] = token
    special = read_json(model.path / "tokenizer_config.json")
    padding = own.get(_text(special.get("pad_token")), -1)
    return Numbering(
        tokens.rows,
        tuple(sorted({*_names(tokens, label), *_base_names(base)})),
        numbers,
        left_out,
        padding if padding in left_out else None,
        _pad(tokens, known),
        dict(tokens.kept),
    )


def whole(tokens: Vocabulary, label: str) -> Checkpoint:
    """A model by itself with a row for every token of the family, its own as it has them.

    The rows of tokens that it lacks are never read, and like all others where an output layer has
    them, so that they are never its answer.
    """
    if label not in tokens.views:
        tokens.views[label] = _view(tokens, label)
    return tokens.views[label]


def run_with(
    tokens: Vocabulary, name: str, value: torch.Tensor, labels: Collection[str]
) -> torch.Tensor:
    """A tensor that is shared, with rows of new tokens as some models have them on average."""
    from mergecast.checkpoints.torch_bridge import to_array, to_tensor

    array = to_array(value)
    wide = tokens.widen(name, array, labels)
    return value if wide is array else to_tensor(wide)


def _view(tokens: Vocabulary, label: str) -> Checkpoint:
    base, model = tokens.base, tokens.models[label]
    old = rows_of(base)
    if old is None or rows_of(base, model) is None:
        return model
    aligned = row_index(base, model)
    if aligned is None and tokens.rows == old and not tokens.kept:
        return model
    index = np.full(tokens.rows, -1)
    index[:old] = np.arange(old) if aligned is None else aligned
    for token, row in tokens.kept.items():
        has = label in tokens.owners[token]
        index[row] = tokens.numbers[label][token] if has else -1
    names = _names(tokens, label)
    new = frozenset({*tokens.kept.values(), *range(old, tokens.rows)})
    return RowsCheckpoint(model, dict.fromkeys(names, index), _Fill(tokens, model, names, new))


@dataclass(frozen=True)
class _Fill:
    """Rows that a model lacks: the base's, or one like all others."""

    tokens: Vocabulary
    model: Checkpoint
    names: Mapping[str, str | None]
    new: frozenset[int]

    def __call__(self, name: str, first: int, last: int) -> Array:
        kept = self.names[name]
        if kept is None:  # of a head that the base has not
            values = self.model.floats(name)
            values = values.reshape(-1, prod(self.model.info(name).shape[1:]))
            return np.tile(values.mean(axis=0, dtype=np.float64), (last - first, 1))
        base, width = self.tokens.base, prod(self.tokens.base.info(kept).shape[1:])
        old = min(last, base.info(kept).shape[0])
        out = np.empty((last - first, width))
        if first < old:
            out[: old - first] = base.floats(kept, first * width, old * width).reshape(-1, width)
        new = [row - first for row in range(first, last) if row in self.new]
        if new:
            out[new] = self.tokens.mean_row(kept)
        return out


def _names(tokens: Vocabulary, label: str) -> dict[str, str | None]:
    """A model's tensors with a row for each token, to the base's name; None of its own head."""
    base, model = tokens.base, tokens.models[label]
    found: dict[str, str | None] = dict(row_names(base, model))
    rows, ends = rows_of(base, model), INPUT_EMBEDDINGS + OUTPUT_EMBEDDINGS + _BIASES
    for name, info in model.infos.items():
        own = name not in base.infos and name not in base.tied and name.endswith(ends)
        if own and info.is_floating and info.shape[:1] == (rows,):
            found[name] = None
    return found


def _base_names(base: Checkpoint) -> set[str]:
    """All names of the base's tensors with a row for each token."""
    return {other for name in vocabulary_names(base) for other in names_of(base, name)}


def _pad(tokens: Vocabulary, known: Mapping[str, int]) -> int:
    """What the base's tokenizer pads with: its pad token, or its end, as texts are read."""
    special = read_json(tokens.base.path / "tokenizer_config.json")
    for key in ("pad_token", "eos_token", "unk_token"):
        if (number := known.get(_text(special.get(key)))) is not None:
            return number
    return 0


def _text(token: Any) -> str:
    """A special token's text, which some versions wrap in an object."""
    return str(token.get("content") if isinstance(token, dict) else token)
