"""Tables to plain data: what JSON can hold, with None for what is missing or infinite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd


def number(value: Any) -> float | None:
    """A finite float, or None."""
    return None if value is None or not math.isfinite(value) else float(value)


def plain(value: Any) -> Any:
    """Numpy scalars as Python's, non-finite floats as None, containers walked through."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        value = value.item()
    if isinstance(value, float):
        return number(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as plain dicts."""
    return [plain(row) for row in table.to_dict("records")]
