"""What the numbers say, in plain sentences; a bad result is said as plainly as a good one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mergecast.report.model import (
    AdviceScores,
    Judgement,
    Number,
    ProtocolScores,
    RunMethod,
    TaskRow,
)

UNSEEN = {
    "l2to": "With both tasks unseen",
    "loto": "With one task unseen",
    "suite": "On a suite never seen",
}
#: A forecast whose error is not at least this share below the constant's is called no better.
LEAST_GAIN = 0.05
#: Fewer tasks than this: a correlation or a coverage over them says little.
FEW_TASKS = 10
#: A fine-tuned model this little above its base or the commonest class has nothing to retain.
LEAST_SKILL = 0.02
#: Measured coverage may fall this far below nominal before it is a warning.
_COVERAGE_SLACK = 0.03


def judged(predictor: str, scores: ProtocolScores) -> Judgement:
    """One method's forecast beside the constant."""
    forecast, constant = scores["forecast"], scores["constant"]
    gain = None
    if forecast and constant and constant["mae"] > 0:
        gain = 1 - forecast["mae"] / constant["mae"]
    better = gain is not None and gain >= LEAST_GAIN
    return {"gain": gain, "better": better, "sentence": _sentence(predictor, scores, gain)}


def _sentence(predictor: str, scores: ProtocolScores, gain: Number) -> str:
    if scores["forecast"] is None:
        return "The forecaster's file does not hold its error."
    if scores["constant"] is None:
        return "Not compared with the constant: its error is undefined."
    error, constant = f"{scores['forecast']['mae']:.3f}", f"{scores['constant']['mae']:.3f}"
    if predictor == "constant":
        return f"No metric beat the constant (error {constant})."
    if gain is None or gain < LEAST_GAIN:
        return f"No better than the constant: error {error} beside {constant}."
    return f"Error {error} beside the constant's {constant}: {gain:.0%} less."


def run_verdict(methods: Sequence[RunMethod], protocol: str, advice: AdviceScores) -> Iterator[str]:
    """The verdict on a run, in a few sentences: error, where it fails, and choice of method."""
    gains = sorted(m["gain"] for m in methods if m["better"] and m["gain"] is not None)
    worse = [m["method"] for m in methods if not m["better"]]
    if gains:
        span = f"{gains[0]:.0%}" if len(gains) == 1 else f"{gains[0]:.0%} to {gains[-1]:.0%}"
        count = f"{len(gains)} of" if worse else "all"
        yield (
            f"{UNSEEN[protocol]}, the forecast of a pair's retention misses by {span} less than "
            f"always predicting the mean, for {count} {_counted(len(methods), 'merging method')}."
        )
    if worse:
        yield (
            f"{UNSEEN[protocol]}, the forecast is no better than always predicting the mean "
            f"for {listing(worse)}."
        )
    yield from _choice(advice)


def run_warnings(
    methods: Sequence[RunMethod],
    protocol: str,
    level: float,
    tasks: Sequence[TaskRow],
    n_tasks: int,
    seeds: Sequence[int],
) -> Iterator[str]:
    """What a reader should know before trusting the page."""
    for entry in methods:
        yield from (f"{entry['method']}: {text}" for text in _distrust(entry, protocol, level))
    if n_tasks < FEW_TASKS:
        yield (
            f"Only {n_tasks} tasks: correlations and coverage over so few say little about others."
        )
    if len(seeds) == 1:
        yield "One seed: how much the outcomes vary between seeds is not known."
    weak = [t["task"] for t in tasks if t["gain"] is not None and t["gain"] < LEAST_SKILL]
    if weak:
        verb = "is" if len(weak) == 1 else "are"
        yield (
            f"{listing(weak)} {verb} hardly better after fine-tuning than the base or the "
            "commonest class, and so tell little about merging."
        )
    if any(entry["predictor"] != "constant" for entry in methods):
        yield (
            "The predictor of each method was chosen on the same held-out pairs that its error is "
            "reported on: the errors are a little too good."
        )


def _distrust(entry: RunMethod, protocol: str, level: float) -> Iterator[str]:
    """What speaks against one method's forecasts."""
    if entry["predictor"] == "constant":
        yield "no metric beat the constant; its forecast is the mean retention."
    elif not entry["better"]:
        yield f"the forecast's error is not even {LEAST_GAIN:.0%} below the constant's."
    forecast = entry["protocols"][protocol]["forecast"]
    coverage = forecast and forecast.get("coverage")
    if coverage is not None and coverage < level - _COVERAGE_SLACK:
        yield f"the {level:.0%} intervals held {coverage:.0%} of the measured values."
    if "loto" in entry["protocols"]:
        yield from _partner(entry["protocols"]["loto"])
    measured = entry["measured"]
    noise, std = measured["sampling_error"], measured["std"]
    if noise is not None and std is not None and std < 2 * noise:
        yield (
            f"measured retention varies by {std:.3f} (standard deviation), of which the test "
            f"samples alone explain {noise:.3f}: little is left to forecast."
        )
    if measured["n_undefined"]:
        pairs = "pair has" if measured["n_undefined"] == 1 else "pairs have"
        yield f"{measured['n_undefined']} {pairs} no defined outcome."


def _partner(loto: ProtocolScores) -> Iterator[str]:
    """Whether a baseline that reads no metric does better."""
    forecast, partner = loto["forecast"], loto["partner_mean"]
    if forecast and partner and partner["mae"] < forecast["mae"]:
        yield (
            "with one task unseen, the partner's mean outcome, which reads no metric, misses by "
            f"less ({partner['mae']:.3f} beside {forecast['mae']:.3f})."
        )


def _choice(advice: AdviceScores) -> Iterator[str]:
    forecast, constant = advice["forecast"], advice["constant"]
    if forecast is None or constant is None:
        return
    cost, fixed = forecast["mean"], constant["mean"]
    text = f"Taking the advised method costs {cost:.3f} of retention against the best one"
    if cost < fixed:
        yield f"{text} in hindsight; always taking the best on average, {fixed:.3f}."
    else:
        yield (
            f"{text} in hindsight, no less than always taking the best on average "
            f"({fixed:.3f}): the forecast does not help to choose the method."
        )


def listing(names: Sequence[str]) -> str:
    """Names with commas, and "and" before the last."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")
