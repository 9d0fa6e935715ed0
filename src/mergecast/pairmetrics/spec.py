"""What a metric declares of itself, and the registry of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from mergecast.errors import UsageError
from mergecast.registry import Registry

Tier = Literal["weights", "activations", "gradients", "probe"]
Evidence = Callable[[Any], float]
F = TypeVar("F", bound=Evidence)


@dataclass(frozen=True)
class MetricSpec:
    """A metric of a pair of models.

    Attributes
    ----------
    key : column name; the published tables' key for the paper's metrics.
    family : group in ablations: task_vector, effective_rank, subspace, activation, gradient, ….
    tier : the cheapest evidence that it needs.
    evidence : name of the fingerprints that its function reads.
    method : the merging method it is about; None where it is about all.
    symmetric : whether (i, j) and (j, i) have one value; a directed metric is the effect on the
        first model of the second and fills two columns.
    range : the smallest and largest value possible.
    source : where it is defined.
    sets : names of the sets it belongs to.
    function : evidence of an ordered pair to the value; raises UndefinedError where there is
        none.
    """

    key: str
    family: str
    tier: Tier
    symmetric: bool
    range: tuple[float, float]
    source: str
    sets: tuple[str, ...]
    function: Evidence
    evidence: str = "weights"
    method: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the pair table that this metric fills."""
        if self.symmetric:
            return (self.key,)
        return (f"{self.key}:left<-right", f"{self.key}:right<-left")


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
    evidence: str | None = None,
    method: str | None = None,
) -> Callable[[F], F]:
    """Register a metric: a decorator of its function.

    The function takes the evidence of one ordered pair (`WeightPair` in the weights tier) and
    returns a float, or raises `UndefinedError` with the reason. `evidence` names the fingerprints
    it reads where they are not those of its tier.

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
        spec = MetricSpec(
            key, family, tier, symmetric, range, source, sets, function, evidence or tier, method
        )
        METRICS.add(key, spec)
        return function

    return register


def metric_specs(set_name: str | None = None) -> list[MetricSpec]:
    """The registered metrics of a set (``paper``, ``extra``), or all of them."""
    known = sorted({name for spec in METRICS for name in spec.sets})
    if set_name is not None and set_name not in known:
        raise UsageError.unknown("metric set", set_name, known)
    return [spec for spec in METRICS if set_name is None or set_name in spec.sets]
