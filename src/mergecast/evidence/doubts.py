"""Members that hardly answer their own task, said before anything is said of their merges."""

from __future__ import annotations

from collections.abc import Mapping

from mergecast.family.findings import Finding
from mergecast.tasks.standing import Standing

RULE = "no model of its task"


def doubtful(standings: Mapping[str, Standing]) -> tuple[Finding, ...]:
    """A warning for every model whose standing leaves doubt, by its label; see `Standing.doubt`."""
    return tuple(
        Finding(
            "warning",
            RULE,
            label,
            f"hardly answers its own task: it {standing.doubt}",
            "check its file, head, labels and tokenizer: what merges keep of it says nothing",
        )
        for label, standing in standings.items()
        if standing.doubt
    )
