"""What the numbers say, in plain sentences; a bad result is said as plainly as a good one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mergecast.report.scores import LEAST_GAIN

UNSEEN = {
    "l2to": "With both tasks unseen",
    "loto": "With one task unseen",
    "suite": "On a suite never seen",
}
#: Fewer tasks than this: a correlation or a coverage over them says little.
FEW_TASKS = 10
#: A fine-tuned model this little above its base or the commonest class has nothing to retain.
LEAST_SKILL = 0.02
#: Measured coverage may fall this far below nominal before it is a warning.
_COVERAGE_SLACK = 0.03


def method_sentence(entry: dict[str, Any], protocol: str) -> str:
    """One method's verdict: the forecast's error beside the constant's."""
    scores = entry["protocols"][protocol]
    if scores["constant"] is None:
        return "Not compared with the constant: its error is undefined."
    mae, constant = scores["forecast"]["mae"], scores["constant"]["mae"]
    if entry["predictor"] == "constant":
        return f"No metric beat the constant (error {constant:.3f})."
    if not entry["better"]:
        return f"No better than the constant: error {mae:.3f} beside {constant:.3f}."
    return f"Error {mae:.3f} beside the constant's {constant:.3f}: {entry['gain']:.0%} less."


def run_verdict(methods: list[dict[str, Any]], protocol: str, advice: dict[str, Any]) -> list[str]:
    """The verdict on a run, in a few sentences: error, where it fails, and choice of method."""
    better = [m for m in methods if m["better"]]
    worse = [m for m in methods if not m["better"]]
    found = []
    if better:
        gains = sorted(m["gain"] for m in better)
        span = f"{gains[0]:.0%}" if len(gains) == 1 else f"{gains[0]:.0%} to {gains[-1]:.0%}"
        count = "all" if not worse else f"{len(better)} of"
        found.append(
            f"{UNSEEN[protocol]}, the forecast of a pair's retention misses by {span} less than "
            f"always predicting the mean, for {count} {_counted(len(methods), 'merging method')}."
        )
    if worse:
        names = _listing([m["method"] for m in worse])
        found.append(
            f"{UNSEEN[protocol]}, the forecast is no better than always predicting the mean "
            f"for {names}."
        )
    found += _choice(advice)
    return found


def run_warnings(
    methods: list[dict[str, Any]],
    protocol: str,
    level: float,
    tasks: list[dict[str, Any]],
    n_tasks: int,
    seeds: Sequence[int],
) -> list[str]:
    """What a reader should know before trusting the page."""
    found = []
    for entry in methods:
        found += _method_warnings(entry, protocol, level)
    if n_tasks < FEW_TASKS:
        found.append(
            f"Only {n_tasks} tasks: correlations and coverage over so few say little about others."
        )
    if len(seeds) == 1:
        found.append("One seed: how much the outcomes vary between seeds is not known.")
    weak = [t["task"] for t in tasks if t["gain"] is not None and t["gain"] < LEAST_SKILL]
    if weak:
        verb = "is" if len(weak) == 1 else "are"
        found.append(
            f"{_listing(weak)} {verb} hardly better after fine-tuning than the base or the "
            "commonest class, and so tell little about merging."
        )
    if any(entry["predictor"] != "constant" for entry in methods):
        found.append(
            "The predictor of each method was chosen on the same held-out pairs that its error is "
            "reported on: the errors are a little too good."
        )
    return found


def _method_warnings(entry: dict[str, Any], protocol: str, level: float) -> list[str]:
    method, found = entry["method"], []
    scores = entry["protocols"][protocol]["forecast"]
    if entry["predictor"] == "constant":
        found.append(f"{method}: no metric beat the constant; its forecast is the mean retention.")
    elif not entry["better"]:
        found.append(
            f"{method}: the forecast's error is not even {LEAST_GAIN:.0%} below the constant's."
        )
    coverage = scores["coverage"]
    if coverage is not None and coverage < level - _COVERAGE_SLACK:
        found.append(
            f"{method}: the {level:.0%} intervals held {coverage:.0%} of the measured values."
        )
    loto = entry["protocols"].get("loto")
    if loto and loto["partner_mean"] and loto["partner_mean"]["mae"] < loto["forecast"]["mae"]:
        found.append(
            f"{method}: with one task unseen, the partner's mean outcome, which reads no metric, "
            f"misses by less ({loto['partner_mean']['mae']:.3f} beside "
            f"{loto['forecast']['mae']:.3f})."
        )
    measured = entry["measured"]
    noise, std = measured["sampling_error"], measured["std"]
    if noise is not None and std is not None and std < 2 * noise:
        found.append(
            f"{method}: measured retention varies by {std:.3f} (standard deviation), of which the "
            f"test samples alone explain {noise:.3f}: little is left to forecast."
        )
    if measured["n_undefined"]:
        pairs = "pair has" if measured["n_undefined"] == 1 else "pairs have"
        found.append(f"{method}: {measured['n_undefined']} {pairs} no defined outcome.")
    return found


def _choice(advice: dict[str, Any]) -> list[str]:
    ours, constant = advice["forecast"], advice["constant"]
    if ours is None or constant is None:
        return []
    text = f"Taking the advised method costs {ours['mean']:.3f} of retention against the best one"
    if ours["mean"] < constant["mean"]:
        return [f"{text} in hindsight; always taking the best on average, {constant['mean']:.3f}."]
    return [
        f"{text} in hindsight, no less than always taking the best on average "
        f"({constant['mean']:.3f}): the forecast does not help to choose the method."
    ]


def _listing(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")
