"""What a metric declares of itself, and the registry of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from mergecast.errors import UsageError
from mergecast.registry import Registry
from mergecast.tables.columns import Column, columns_of
from mergecast.tables.tiers import Tier

Evidence = Callable[[Any], float]
F = TypeVar("F", bound=Evidence)


@dataclass(frozen=True)
class MetricSpec:
    """A metric of a pair of models.

    Attributes
    ----------
    key : column name; the published tables' key for the paper's metrics.
    family : group in ablations: task_vector, effective_rank, subspace, activation, gradient, ….
    tier : the cheapest tier in which it can be computed.
    evidence : the kind of evidence that its function takes; see `pairmetrics.evidence`.
    symmetric : whether (i, j) and (j, i) have one value; a directed metric is the effect on the
        first model of the second and fills two columns.
    range : the smallest and largest value possible.
    source : where it is defined.
    sets : names of the sets it belongs to.
    function : evidence of an ordered pair to the value; raises UndefinedError where there is
        none.
    method : the merging method it is about; None where it is about all.
    """

    key: str
    family: str
    tier: Tier
    evidence: str
    symmetric: bool
    range: tuple[float, float]
    source: str
    sets: tuple[str, ...]
    function: Evidence
    method: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the pair table that this metric fills."""
        column = Column.parse(self.key)
        columns = columns_of(column.name, column.method, symmetric=self.symmetric)
        return tuple(map(str, columns))


METRICS: Registry[MetricSpec] = Registry("metric")


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
    method: str | None = None,
) -> Callable[[F], F]:
    """Register a metric: a decorator of its function.

    The function takes the evidence of one ordered pair (`WeightPair` in the weights tier) and
    returns a float, or raises `UndefinedError` with the reason. `evidence` is the kind it takes
    where that is not the tier's own.

    Examples
    --------
    >>> import mergecast as mc
    >>> @mc.metric("norm_sum", family="task_vector", tier="weights", symmetric=True,
    ...            range=(0, float("inf")), source="an example")
    ... def norm_sum(pair):
    ...     return pair.norms[0] + pair.norms[1]
    """
    if not range[0] < range[1]:
        raise UsageError(f"metric {key!r}", f"range is {range}", "give (low, high) with low < high")

    def register(function: F) -> F:
        METRICS.add(
            key,
            MetricSpec(
                key,
                family,
                tier,
                evidence or tier,
                symmetric,
                range,
                source,
                sets,
                function,
                method,
            ),
            module=function.__module__,
        )
        return function

    return register


def metric_specs(set_name: str | None = None) -> list[MetricSpec]:
    """The registered metrics of a set (``paper``, ``extra``), or all of them."""
    known = sorted({name for spec in METRICS for name in spec.sets})
    if set_name is not None and set_name not in known:
        raise UsageError.unknown("metric set", set_name, known)
    return [spec for spec in METRICS if set_name is None or set_name in spec.sets]
