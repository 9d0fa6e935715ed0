"""Columns of text as a model's inputs, and the labels that must follow their tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from mergecast.errors import UsageError
from mergecast.tasks.columns import Columns
from mergecast.tasks.encoding import TextEncoder
from mergecast.tasks.kinds import Kind
from mergecast.tasks.spec import DataSpec
from mergecast.typing import Array


def encoded(
    kind: Kind,
    encoder: TextEncoder,
    data: DataSpec,
    columns: Columns,
    rows: Array,
    numbers: Callable[[], Any],
) -> tuple[dict[str, Tensor], Tensor | None]:
    """Rows of texts as inputs by name, and labels where they belong to tokens, (n, L).

    Parameters
    ----------
    kind : Kind
        Of the task.
    encoder : TextEncoder
        Its tokenizer.
    data : DataSpec
        Which columns there are, with ``text``.
    columns : Columns
        The file.
    rows : array
        The rows to read.
    numbers : callable
        Labels of these rows as numbers.

    Raises
    ------
    UsageError
        A column does not hold what it is read as, or a completion is not for this kind.
    """
    first, *second = data.columns_of_text
    texts = columns.read(first, rows)
    if data.choices is not None:
        return encoder.choices(data.choices, texts, columns.read(data.choices, rows)), None
    if data.completion is not None:
        if kind.name != "next_token":
            raise UsageError(
                f"completion {data.completion!r}",
                f"is for causal language models, and this task is of kind {kind.name}",
                "give labels instead",
            )
        given = columns.read(data.completion, rows)
        return encoder.completions(first, texts, data.completion, given)
    inputs = encoder.texts(first, texts, columns.read(second[0], rows) if second else None)
    if data.labels is not None and kind.name == "seq2seq":
        targets = columns.read(data.labels, rows)
        if all(isinstance(row, str) for row in targets):
            return dict(inputs), encoder.targets(data.labels, targets)
    if data.labels is not None and kind.name == "tokens":
        labels = numbers()
        lengths = [len(row) for row in labels] == [len(row) for row in texts]
        if lengths and not isinstance(texts[0], str):
            return dict(inputs), encoder.word_labels(inputs, labels)
    return dict(inputs), None
