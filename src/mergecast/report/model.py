"""What a report says, as plain data: the keys of ``--json`` and of ``forecast.json``, by type.

Units are retention (1 = the merged model scores as the single one) unless said otherwise. The page
and the terminal tables are renderings of these.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from mergecast.report.depth_model import PairLayers
from mergecast.report.measured_model import MeasuredSummary
from mergecast.report.set_model import BestStrength, SetSummary, StrengthCurve

#: A finite number, or None where it is missing, undefined or infinite.
Number: TypeAlias = float | None


class Scores(TypedDict):
    """Errors of one predictor of one method, on pairs that it had not seen."""

    mae: float
    pooled_r: Number
    # Of a run; a forecaster's file does not hold them. Coverage: share of values in their interval.
    per_fold_r: NotRequired[Number]
    coverage: NotRequired[Number]


class ProtocolScores(TypedDict):
    """Errors under one protocol, beside the baselines'; None where a predictor does not apply."""

    forecast: Scores | None
    constant: Scores | None
    partner_mean: Scores | None


class Spread(TypedDict):
    """Mean and standard deviation over pairs."""

    mean: Number
    std: Number


class Measured(Spread):
    """What the merges by one method did."""

    min: Number
    n_pairs: int
    n_undefined: int
    # Typical standard error of a pair's retention from test-set size alone.
    sampling_error: Number


class Warm(TypedDict):
    """A method's forecast with known outcomes: its error beside that without them."""

    predictor: str
    mae: Number
    pooled_r: Number
    cold_mae: Number
    sentence: str


class Judgement(TypedDict):
    """A forecast beside the constant: 1 - error / the constant's error; is it worth speaking of?"""

    gain: Number
    better: bool
    sentence: str


class Method(Judgement):
    """How far to trust the forecast of one merging method."""

    method: str
    predictor: str
    protocols: dict[str, ProtocolScores]


class RunMethod(Method):
    """A method of a run: what was forecast for its pairs and what they did."""

    forecast: Spread
    measured: Measured


class FamilyMethod(Method):
    """A method of a forecaster: the number of pairs it was fitted on, and its warm model if any."""

    n_pairs: int
    warm: Warm | None


class Reason(TypedDict):
    """A metric that moved a forecast: its value, and its contribution in retention."""

    metric: str
    value: Number
    contribution: Number


class Pair(TypedDict):
    """Two models of a suite, left < right."""

    suite: str
    left: str
    right: str


class MemberRow(Pair):
    """One pair, method and member: forecast, interval, and what was measured."""

    method: str
    member: str
    predicted: Number
    lower: Number
    upper: Number
    measured: Number
    # Whether what was measured lies in the interval.
    inside: bool | None
    reasons: list[Reason]
    # Of new models: what the row rests on (cold, warm, family, measured; abstained: on nothing),
    # metrics outside the training range, and why there is no number.
    basis: NotRequired[str]
    out_of_range: NotRequired[list[str]]
    note: NotRequired[str]


class PairAdvice(Pair):
    """The advice for one pair; where its merges were done, the best in hindsight and the regret."""

    advice: str
    method: str
    predicted: Number
    worst_member: str
    worst_predicted: Number
    lower: Number
    measured: Number
    worst_measured: Number
    best_method: str
    best_measured: Number
    regret: Number


class Regret(TypedDict):
    """Regret over pairs; the last is the share of them where it is 0."""

    n_pairs: int
    mean: float
    max: float
    share_best: float


class AdviceScores(TypedDict):
    """Regret of the forecast's and the constant's choices; how often advice to merge was right."""

    forecast: Regret | None
    constant: Regret | None
    threshold: float
    n_merge: int
    n_merge_right: int
    n_leave: int
    n_leave_right: int


class TaskRow(TypedDict):
    """A task before merging; gain: fine-tuned above the better of base and commonest class."""

    task: str
    base_score: Number
    single_score: Number
    majority: Number
    gain: Number


class _Header(TypedDict):
    date: str
    versions: dict[str, str]
    methods: list[str]
    n_pairs: int
    n_metrics: int


class RunHeader(_Header):
    """What was run.

    `n_eval` is the least and largest number of test samples of a task; empty where none is known.
    """

    suites: list[str]
    seeds: list[int]
    recipe: dict[str, Any]
    tasks: list[str]
    n_eval: list[int]


class FamilyHeader(_Header):
    """What was forecast, from which files and by which forecaster; `refused` models and why."""

    base: str
    models: dict[str, str]
    refused: dict[str, str]
    forecaster: str
    trained_on: dict[str, list[str]]
    tier: str
    # Kinds of evidence that were gathered.
    evidence: list[str]
    suite: str | None
    # Measured merges that were used.
    measured: int


class _Summary(TypedDict):
    protocol: str
    level: float
    threshold: float
    verdict: list[str]
    rows: list[MemberRow]
    pairs: list[PairAdvice]
    tasks: list[TaskRow]
    missing: list[dict[str, str]]
    notes: list[str]
    warnings: list[str]


class RunSummary(_Summary):
    """All that a report of a run says: forecasts beside what the merges did."""

    kind: Literal["run"]
    header: RunHeader
    methods: list[RunMethod]
    advice: AdviceScores


class FamilySummary(_Summary):
    """All that a forecast of new models says.

    `next` is the command that makes the best merge, "" where there is none; `measured` is there
    where measured pairs were given.
    """

    kind: Literal["forecast"]
    headline: str
    next: str
    header: FamilyHeader
    methods: list[FamilyMethod]
    # Metric to the number of pairs in which it lies outside the training range.
    out_of_range: dict[str, int]
    measured: NotRequired[MeasuredSummary]
    # Of files alone; every pair.
    layers: NotRequired[list[PairLayers]]
    sets: NotRequired[SetSummary]
    # By size of set, the best first; and what the first of them keep over strength.
    strengths: NotRequired[list[BestStrength]]
    curves: NotRequired[list[StrengthCurve]]


Summary: TypeAlias = RunSummary | FamilySummary
