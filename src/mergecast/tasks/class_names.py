"""What a model's classes are called, by its config, and labels that are such names as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mergecast.checkpoints.side_files import read_json
from mergecast.errors import UsageError


def class_names(folder: Path | None) -> tuple[str, ...]:
    """Names of a model's classes in their order; none where its config has only the default ones.

    Parameters
    ----------
    folder : Path or None
        Holds ``config.json``.
    """
    given = {} if folder is None else read_json(folder / "config.json").get("id2label")
    names = tuple(map(str, given.values())) if isinstance(given, dict) else ()
    return () if names == tuple(f"LABEL_{number}" for number in range(len(names))) else names


def as_numbers(column: str, values: Any, names: Sequence[str]) -> Any:
    """Labels with their names as numbers; labels that are numbers stay.

    Parameters
    ----------
    column : str
        What errors call the values.
    values : array or list
        A label a row, or a list of them.
    names : sequence of str
        Of the classes, in their order.

    Raises
    ------
    UsageError
        A name is none of a class.
    """
    words = [word for row in values for word in (row if isinstance(row, list) else [row])]
    if not any(isinstance(word, str) for word in words):
        return values
    numbers = {name: number for number, name in enumerate(names)}
    # In order, since which rows were drawn says nothing of the column.
    unknown = sorted({str(word)[:40] for word in words if word not in numbers})
    if unknown:
        spelled = {_loosely(name): name for name in names}
        meant = [spelled.get(_loosely(word), "") for word in unknown]
        remedy = "number the classes from 0, in the model's order"
        if len(spelled) == len(names) and all(meant):
            pairs = [f"{a!r}, not {b!r}" for a, b in zip(meant, unknown, strict=True)]
            remedy = f"spell them as the config does: {', '.join(pairs[:3])}"
        known = f": {', '.join(names)}" if names else ", which has no names"
        raise UsageError(
            f"column {column!r}",
            f"holds {', '.join(map(repr, unknown[:3]))}, no numbers and no classes of the model's "
            f"config{known}",
            remedy,
        )
    return [[numbers[w] for w in v] if isinstance(v, list) else numbers[v] for v in values]


def _loosely(name: str) -> str:
    """A name without its case and the spaces around it."""
    return name.strip().casefold()
