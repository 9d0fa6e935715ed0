"""Drafted tasks as the text of a task file: what all share in `defaults`, hints as comments."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mergecast.tasks.draft import Draft
from mergecast.tasks.load import TODO

_HEAD = f"""\
# One task for each model. Replace every {TODO}, then try the file:
#   mergecast tasks check {{file}} BASE MODEL...
# Paths are relative to this file. Without labels, take the field out: a forecast needs none.
# `test: {{{{file: ...}}}}` beside `data` gives the samples on which merges are measured; what it
# does not say is as in `data`. Of a text `max_length` tokens are kept, 128 where `data` does not
# say it: give what the models were trained with.
"""


def draft_text(drafts: Sequence[Draft], out: Path) -> str:
    """The file, as YAML with comments.

    Parameters
    ----------
    drafts : sequence of Draft
        One a model.
    out : Path
        Where the file will be: paths in it are relative to its folder.
    """
    tasks = [_sections(draft, out.parent) for draft in drafts]
    shared = _shared(tasks) if len(tasks) > 1 else {}
    columns = {draft.columns for draft in drafts}
    lines = [_HEAD.format(file=out.name).rstrip("\n")]
    if shared:
        lines.append("defaults:  # of every task that does not say otherwise")
        lines += _lines(shared, columns.pop() if len(columns) == 1 else "", "  ")
    lines.append("tasks:")
    for draft, sections in zip(drafts, tasks, strict=True):
        lines.append(f"  {_flow(draft.label)}:{_comment(draft.about)}")
        lines += [f"    # {_plain(note)}" for note in draft.notes]
        own = {name: _rest(value, shared.get(name)) for name, value in sections.items()}
        said = "" if shared and len({d.columns for d in drafts}) == 1 else draft.columns
        lines += _lines({k: v for k, v in own.items() if v}, said, "    ")
    return "\n".join(lines) + "\n"


def _sections(draft: Draft, folder: Path) -> dict[str, Any]:
    """A draft's fields as they are written, in order."""
    sections = {
        "model": draft.model,
        "private": draft.private,
        "loss": draft.loss,
        "data": draft.data,
    }
    return {name: _written(value, folder) for name, value in sections.items() if value}


def _written(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {key: _written(one, folder) for key, one in value.items()}
    if isinstance(value, Path):
        return str(value if value.is_absolute() else os.path.relpath(value, folder))
    return value


def _shared(tasks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What all tasks say alike; every task has a file of its own."""
    first, *others = tasks
    shared: dict[str, Any] = {}
    for name, value in first.items():
        if isinstance(value, dict):
            alike = {
                key: one
                for key, one in value.items()
                if key not in ("file", "build")
                and all(t.get(name, {}).get(key) == one for t in others)
            }
            if alike:
                shared[name] = alike
        elif all(task.get(name) == value for task in others):
            shared[name] = value
    return shared


def _rest(value: Any, shared: Any) -> Any:
    """What of a section is not in the defaults."""
    if isinstance(value, dict) and isinstance(shared, dict):
        return {key: one for key, one in value.items() if key not in shared}
    return None if value == shared else value


def _lines(sections: dict[str, Any], columns: str, indent: str) -> list[str]:
    lines = []
    for name, value in sections.items():
        if name == "data" and columns:
            lines.append(f"{indent}# {_plain(columns)}")
        lines.append(f"{indent}{name}: {_flow(value)}")
    return lines


def _flow(value: Any) -> str:
    """A value in one line of YAML."""
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6
    )
    return text.removesuffix("...\n").strip()


def _comment(text: str) -> str:
    return f"  # {_plain(text)}" if text else ""


def _plain(text: str) -> str:
    """One line: a name may hold line ends, and a comment must not."""
    return " ".join(text.split())
