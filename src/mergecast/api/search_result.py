"""What a search found, from what it believes at its end and a look at untouched samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

import numpy as np

from mergecast.api.gathered import Gathered
from mergecast.api.search_tables import path_table, tried_table, untried_table
from mergecast.search.candidates import Candidate
from mergecast.search.merged import MergeJudge
from mergecast.search.objective import Objective
from mergecast.search.result import SearchResult
from mergecast.search.run import Search
from mergecast.search.scorer import ScorerJudge
from mergecast.search.verify import Scored, Verified, verified

#: With fewer samples a task than this, merges that matter look alike.
_ENOUGH = 300


def search_result(
    found: Search,
    gathered: Gathered,
    sought: Objective,
    judge: MergeJudge | ScorerJudge,
    seconds: Sequence[float],
    evidence: float,
    searched: float,
    epsilon: float,
    verify: Callable[[Candidate], Scored | None],
) -> SearchResult:
    """What a search that has ended found, its choice verified.

    Parameters
    ----------
    found : Search
        After its end.
    gathered : Gathered
        The forecasts that it began with.
    sought : Objective
        What was sought.
    judge : MergeJudge or ScorerJudge
        Who measured.
    seconds : sequence of float
        When each measurement was done, from the search's start.
    evidence, searched : float
        Seconds that forecasts and search took.
    epsilon : float
        What does not matter.
    verify : callable
        Verifies a merge by a scorer that the search never asked; None where there is none: a
        `MergeJudge` then verifies on the samples that it held back, nobody after a scorer.
    """
    best = found.best
    one = found.priced[best]
    members = one.candidate.members
    beliefs = found.beliefs()
    checked: Verified | Scored | None = None
    base = np.full(len(members), np.nan)
    began = monotonic()
    samples: dict[str, dict[str, object]] = {}
    if isinstance(judge, MergeJudge):
        checked = verified(members, judge.verify(one.candidate), sought)
        base = judge.base(members)
        samples = {
            label: {
                "looked": len(parts.looked),
                "held": len(parts.held),
                "held_from": "test" if parts.from_test else "data",
                "labelled": parts.labelled,
                "shared": parts.shared,
            }
            for label, parts in judge.parts.items()
        }
    else:
        checked = verify(one.candidate)
    family = gathered.gathering.family
    return SearchResult(
        chosen=one.candidate,
        objective=sought,
        forecast=one.forecast,
        forecast_sd=one.sd,
        seen=found.seen[best].kept,
        base_kept=base,
        believed=float(sought.value(members, found.kept(beliefs, best))),
        certainty=found.certainty,
        epsilon=epsilon,
        verified=checked,
        tried=tried_table(found, beliefs),
        untried=untried_table(found, beliefs),
        path=path_table(found, seconds),
        samples=samples,
        cost={
            "evidence_seconds": evidence,
            "search_seconds": searched,
            "verification_seconds": monotonic() - began,
            "measurements": len(found.steps),
            "samples": judge.samples,
        },
        ended=found.ended,
        left_out=(*found.pool.left_out, *_failed(found)),
        warnings=(*gathered.warnings, *_few(judge), *_shared(judge)),
        base=str(family.base.path),
        models={label: str(family.models[label].path) for label in found.pool.labels},
        refused=gathered.refused,
    )


def _few(judge: MergeJudge | ScorerJudge) -> list[str]:
    """That there were few samples to choose by, and how much that leaves open."""
    if isinstance(judge, ScorerJudge):
        return []
    counts = {label: len(parts.looked) for label, parts in sorted(judge.parts.items())}
    few = {label: count for label, count in counts.items() if count < _ENOUGH}
    if not few:
        return []
    # Two merges that differ on a tenth of the answers.
    least = min(few.values())
    whose = "a task" if len(few) == len(counts) else f"of {', '.join(few)}"
    more = " or more" if max(few.values()) > least else ""
    return [
        f"{least} samples{more} {whose} were there to choose by: what a model keeps is known to "
        f"about {(0.1 / least) ** 0.5:.3f} of them; more `data:` tells merges apart that are "
        "nearer to each other"
    ]


def _shared(judge: MergeJudge | ScorerJudge) -> list[str]:
    """The tasks of which some samples were to be held back and to be looked at, both."""
    if isinstance(judge, ScorerJudge):
        return []
    return [f"{label}: {one.doubt}" for label, one in sorted(judge.parts.items()) if one.doubt]


def _failed(found: Search) -> list[str]:
    """The merges that could not be made or measured, with the reason."""
    return [f"{found.priced[row].candidate.name}: {why}" for row, why in found.failed.items()]
