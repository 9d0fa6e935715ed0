"""A model card for a merge that a search found, as model hubs read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from mergecast.report.table import number


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
        "## What each model keeps of its own score",
        "",
        "| model | from | forecast | kept | interval |",
        "|---|---|---|---|---|",
    ]
    for one in found["kept"]:
        interval = "–"
        if "lower" in one:
            interval = f"{number(one['lower'])} to {number(one['upper'])}"
        cells = [
            _cell(one["model"]),
            _cell(found["models"][one["model"]]),
            number(one["forecast"]),
            number(one.get("kept")),
            interval,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    verified = found["verified"]
    how = "The scorer was the judge; nothing was held back from it."
    if verified is not None:
        how = (
            f"Kept is measured on {verified['samples']} samples or more of each task that the "
            f"search never touched; intervals are of {verified['level']:.0%}."
        )
    cost = found["cost"]
    lines += [
        "",
        how,
        "",
        "## How it was made",
        "",
        "```yaml",
        yaml.safe_dump(told, sort_keys=False, allow_unicode=True).rstrip(),
        "```",
        "",
        f"{cost['measurements']:.0f} measurements of {len(found['tried'])} merges, "
        f"{cost['samples']:,.0f} samples answered by them. {found['ended'].capitalize()}. "
        "`search.html` shows all that was tried, `mergecast.json` has the record. With mergekit: "
        f"{found['mergekit']}.",
        "",
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text that cannot end its cell."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
