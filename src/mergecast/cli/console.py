"""What every command prints with: notes on stderr, JSON on stdout, exit code 3."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import typer


def note(message: str) -> None:
    """One line to stderr."""
    print(f"mergecast: {message}", file=sys.stderr)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object to stdout; a missing number is ``null``."""
    from mergecast.tables.plain import plain

    # A stream's own escapes are JSON's only where nothing but lone surrogates needs them.
    readable = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(plain(value), indent=2, ensure_ascii=not readable, allow_nan=False))


def finish(refused: bool) -> None:
    """Exit code 3 where some inputs were refused and the rest was done."""
    if refused:
        raise typer.Exit(3)
