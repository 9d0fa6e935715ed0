"""What a metric declares of itself, and the registry of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mergecast.errors import UsageError
from mergecast.registry import Registry
from mergecast.tables.columns import Column
from mergecast.tables.tiers import Tier

F = TypeVar("F", bound=Callable[..., float])
#: Where metrics, and the kinds of evidence that they read, are declared: the pair table's columns
#: are in this order, others of such a name after them.
METRIC_MODULES = (
    *(
        f"mergecast.evidence.{name}"
        for name in (
            "activations.metrics",
            "weights.effective_rank",
            "gradients.metrics",
            "retention.metrics",
            "weights.metrics",
            "inputs.metrics",
            "gradients.interference_metrics",
            "retention.probe_metrics",
            "weights.subspace",
            "weights.task_vector",
        )
    ),
    "mergecast.evidence.*.*metrics",
)
#: The set that takes in every metric, also those that are not collected unless asked for.
ALL = "all"


@dataclass(frozen=True)
class MetricSpec:
    """A metric of a pair of models.

    Attributes
    ----------
    key : str
        Column name; the published tables' key for the paper's metrics.
    family : str
        Group in ablations: task_vector, effective_rank, subspace, activation, gradient, ….
    tier : Tier
        The cheapest tier in which it can be computed.
    evidence : str
        The kind of evidence that its function takes; see `evidence.kind`.
    symmetric : bool
        Whether (i, j) and (j, i) have one value; a directed metric is the effect on the first
        model of the second and fills two columns.
    range : tuple of float
        The smallest and largest value possible.
    source : str
        Where it is defined.
    sets : tuple of str
        Names of the sets it belongs to.
    function : callable
        Evidence of an ordered pair, and the merging method's name if `per_method`, to the value;
        raises UndefinedError where there is none.
    per_method : bool
        Whether it is about a merging method, and has a value for each.
    """

    key: str
    family: str
    tier: Tier
    evidence: str
    symmetric: bool
    range: tuple[float, float]
    source: str
    sets: tuple[str, ...]
    function: Callable[..., float]
    per_method: bool = False

    @property
    def package(self) -> str:
        """The package that its function comes from."""
        return self.function.__module__.partition(".")[0]


METRICS: Registry[MetricSpec] = Registry("metric", MetricSpec, modules=METRIC_MODULES)


def metric(
    key: str,
    *,
    family: str,
    tier: Tier,
    symmetric: bool,
    range: tuple[float, float],
    source: str,
    sets: tuple[str, ...] = ("extra",),
    evidence: str = "",
    per_method: bool = False,
) -> Callable[[F], F]:
    """Register a metric: a decorator of its function.

    The function takes the evidence of one ordered pair (`WeightPair` in the weights tier) and
    returns a float, or raises `UndefinedError` with the reason. With `per_method` its second
    argument is the name of a merging method, and the table has its value for every method.
    `evidence` is the kind it takes where that is not the tier's own.

    Examples
    --------
    >>> import mergecast as mc
    >>> @mc.metric("norm_sum", family="task_vector", tier="weights", symmetric=True,
    ...            range=(0, float("inf")), source="an example")
    ... def norm_sum(pair):
    ...     return pair.norms[0] + pair.norms[1]
    """
    if Column.parse(key) != Column(key):
        remedy = "give a name alone: per_method and symmetric make its columns"
        raise UsageError(f"metric {key!r}", "is no name of a metric", remedy)
    if not range[0] < range[1]:
        raise UsageError(f"metric {key!r}", f"range is {range}", "give (low, high) with low < high")

    def register(function: F) -> F:
        kind = evidence or tier
        spec = MetricSpec(
            key, family, tier, kind, symmetric, range, source, sets, function, per_method
        )
        METRICS.add(key, spec, module=function.__module__)
        return function

    return register


def metric_specs(metric_set: str | None = None) -> list[MetricSpec]:
    """The registered metrics of a set (``paper``, ``extra``, ``retention``, …), or all of them."""
    sets = sorted({ALL, *(name for spec in METRICS for name in spec.sets)})
    if metric_set is not None and metric_set not in sets:
        raise UsageError.unknown("metric set", metric_set, sets)
    return [spec for spec in METRICS if metric_set in (None, ALL, *spec.sets)]
