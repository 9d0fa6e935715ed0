"""A model card for a merge that a search found, as model hubs read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from mergecast.display.kept import kept_table


def model_card(found: Mapping[str, Any]) -> str:
    """A search, as `SearchResult.to_dict` gives it, as the README of the merged model.

    Parameters
    ----------
    found : mapping
        Plain data, with `mergekit` beside it: the file that makes the merge there, or why none;
        and `base_model`, what hubs call base and members, where they do.

    Returns
    -------
    str
        Markdown, with the metadata that hubs read as YAML in front.
    """
    members = found["members"]
    places = [found["base"], *(found["models"][label] for label in members)]
    front = {
        "base_model": found.get("base_model", places),
        "base_model_relation": "merge",
        "tags": ["merge", "mergecast"],
    }
    recipe = found["recipe"]
    told = {key: value for key, value in recipe.items() if value not in ({}, 0)}
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        "",
        f"# Merge of {', '.join(members)}",
        "",
        *found["verdict"],
        "",
        f"## {_cell(kept_table(found).title)}",
        "",
        *_kept(found),
        "",
        found["judged"],
    ]
    by = (found["verified"] or {}).get("scorer")
    if by is not None:
        lines += ["", f"Verification scorer: {_code(by)}"]
    cost = found["cost"]
    unit = "samples answered by them" if found["samples"] else "runs of the scorer"
    lines += [
        "",
        "## How it was made",
        "",
        "```yaml",
        yaml.safe_dump(told, sort_keys=False, allow_unicode=True).rstrip(),
        "```",
        "",
        f"{cost['measurements']:.0f} measurements of {len(found['tried'])} merges, "
        f"{cost['samples']:,.0f} {unit}. {found['ended'].capitalize()}. "
        "`search.html` shows all that was tried, `mergecast.json` has the record. With mergekit: "
        f"{found['mergekit']}.",
        "",
    ]
    return "\n".join(lines)


def _kept(found: Mapping[str, Any]) -> list[str]:
    """Lines of the table of what each model keeps, and where that model is from."""
    table = kept_table(found)
    rows = [
        [_cell(label), _cell(found["models"][label]), *cells]
        for label, *cells in (row for row in table.rows if row)
    ]
    head = ["model", "from", *table.headings[1:]]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return [lines[0], "|---" * len(head) + "|", *lines[1:]]


def _code(text: str) -> str:
    """Text as a code span that it cannot end."""
    text = " ".join(text.split())
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def _cell(text: str) -> str:
    """Text that cannot end its cell."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
