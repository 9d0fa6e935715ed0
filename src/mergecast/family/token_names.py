"""Which tensors of a base and its models have a row, or an element, for each token."""

from __future__ import annotations

from collections.abc import Iterator

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.tied import INPUT_EMBEDDINGS, OUTPUT_EMBEDDINGS


def row_names(base: Checkpoint, model: Checkpoint) -> dict[str, str]:
    """A model's tensors with a row for each of its tokens, to the base's name of the same."""
    rows = rows_of(base, model)
    return {
        other: name
        for name in vocabulary_names(base)
        for other in names_of(base, name)
        if other in model.infos and model.infos[other].shape[0] == rows
    }


def rows_of(base: Checkpoint, model: Checkpoint | None = None) -> int | None:
    """Rows of the input embeddings of the base, or of a model; None where it has none."""
    infos = (model or base).infos
    for name in sorted({*base.infos, *base.tied}):
        if name.endswith(INPUT_EMBEDDINGS):
            for other in names_of(base, base.tied.get(name, name)):
                if other in infos:
                    return infos[other].shape[0]
    return None


def names_of(base: Checkpoint, kept: str) -> Iterator[str]:
    """All names of a tensor of the base."""
    yield kept
    yield from (other for other, name in base.tied.items() if name == kept)


def vocabulary_names(base: Checkpoint) -> list[str]:
    """The base's tensors with a row, or an element, for each token."""
    rows = rows_of(base)
    return [
        name
        for name, info in base.infos.items()
        if info.is_floating
        and info.shape[:1] == (rows,)
        and (
            len(info.shape) == 1
            or any(
                one.endswith(INPUT_EMBEDDINGS + OUTPUT_EMBEDDINGS) for one in names_of(base, name)
            )
        )
    ]
