"""Metrics that move a forecast, in words that need no list of metrics beside them."""

from __future__ import annotations

from mergecast.report.model import Reason
from mergecast.report.table import number

#: What a metric's name begins with, and what it is. The full name stands behind it.
_WORDS = {
    "superposed_": "the models' shifts, added up",
    "retention_": "what it keeps merged alone",
    "base_": "what the base keeps with its head",
}


def in_words(reason: Reason) -> str:
    """A metric and its part of the forecast, in retention."""
    words = next((said for head, said in _WORDS.items() if reason["metric"].startswith(head)), "")
    name = f"{words} ({reason['metric']})" if words else reason["metric"]
    return f"{name} {number(reason['contribution'], signed=True)}"
