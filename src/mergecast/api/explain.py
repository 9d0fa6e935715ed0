"""What a metric, a kind of evidence or a merging method is, and what measured suites say of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mergecast.display.notebook import as_html
from mergecast.errors import UsageError
from mergecast.evidence.kind import EVIDENCE, EvidenceKind
from mergecast.evidence.metric import METRICS, MetricSpec
from mergecast.forecast.rows import ROW_KEYS, member_rows
from mergecast.forecast.shipped import measured_folders
from mergecast.forecast.validation.scoring import pearson
from mergecast.merging.method import METHODS
from mergecast.merging.recipe import Recipe
from mergecast.merging.recipe_text import written
from mergecast.report.table import Table, number
from mergecast.tables.runs import load_run
from mergecast.tables.show import as_text

if TYPE_CHECKING:
    from mergecast.tables.outcomes import OutcomeTable
    from mergecast.tables.pairs import PairTable

#: Fewer values than this correlate by chance.
_LEAST = 10
_TITLES = {
    "metric": "Correlation with what a member keeps, by suite",
    "evidence": "Correlation of its metrics with what a member keeps, over suites and methods",
    "method": "What is kept, by suite",
}


@dataclass(frozen=True, repr=False)
class Explanation:
    """What a name stands for.

    Attributes
    ----------
    name, kind : str
        The name, and ``metric``, ``evidence`` or ``method``.
    meaning : str
        What it is, as its function's docstring says: the definition, shapes and errors.
    facts : mapping of str to str
        What it declares: range, source, parameters, ….
    suites : DataFrame
        One row a suite that comes with mergecast. Of a metric: `r`, its correlation with what
        members keep, the mean over merging methods, the smallest and largest of them, and how many
        methods; of evidence one row a metric instead, over all suites and methods; of a method:
        what members keep by it on average, `best` what they keep by the best method of each suite,
        and its place among the methods. Without rows where no suite has it.
    """

    name: str
    kind: str
    meaning: str
    facts: Mapping[str, str]
    suites: pd.DataFrame

    @property
    def parts(self) -> list[Table | str]:
        """What the command shows."""
        rows: list[list[str] | None] = [
            [str(value) if not isinstance(value, float) else number(value) for value in row]
            for row in self.suites.itertuples(index=False)
        ]
        said: Table | str = Table(_TITLES[self.kind], list(self.suites.columns), rows)
        if self.suites.empty:
            said = "No measured suite has it."
        facts = [f"{key}: {value}" for key, value in self.facts.items()]
        return [f"{self.name} ({self.kind})", self.meaning, "\n".join(facts), said]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "meaning": self.meaning,
            "facts": dict(self.facts),
            "suites": self.suites.to_dict("records"),
        }

    def __repr__(self) -> str:
        facts = [f"{key}: {value}" for key, value in self.facts.items()]
        return as_text([f"{self.name} ({self.kind})", self.meaning, *facts], self.suites)

    def _repr_html_(self) -> str:
        return as_html(self.parts)


def explain(name: str) -> Explanation:
    """Say what a metric or a merging method is, and what the measured suites say of it.

    Parameters
    ----------
    name : str
        A metric's name, with or without its method (``superposed_expected_labelled@ties``); that
        of a kind of evidence, as ``superposition``; a method's name, or a recipe's text.

    Raises
    ------
    UsageError
        Nothing is called so; the nearest name is said.

    Examples
    --------
    >>> import mergecast as mc
    >>> mc.explain("ties").facts["parameters"]
    'density=0.2 scaling=0.3 sign=mass vote=weighted normalize=true rescale=false'
    """
    key = name.partition("@")[0].partition(":")[0]
    if key in METRICS:
        return _metric(METRICS.get(key))
    if name in EVIDENCE:
        return _evidence(EVIDENCE.get(name))
    method = name.partition("(")[0]
    if method in METHODS:
        return _method(Recipe.of(name))
    known = [*EVIDENCE.names(), *METHODS.names(), *METRICS.names()]
    raise UsageError.unknown("metric, evidence or method", name, known)


def _metric(spec: MetricSpec) -> Explanation:
    low, high = spec.range
    facts = {
        "range": f"{low:g} to {high:g}",
        "tier": f"{spec.tier} (the cheapest evidence that gives it)",
        "of": "the pair" if spec.symmetric else "one model, beside the other",
        "merging method": "one value for each" if spec.per_method else "about none",
        "group": spec.family,
        "sets": ", ".join(spec.sets),
        "source": spec.source,
    }
    rows = [_correlation(suite, *tables, spec.key) for suite, tables in _suites()]
    found = pd.DataFrame([row for row in rows if row])
    return Explanation(spec.key, "metric", _meaning(spec.function), facts, found)


def _evidence(kind: EvidenceKind) -> Explanation:
    specs = [spec for spec in METRICS if spec.evidence == kind.name]
    facts = {
        "tier": f"{kind.tier} (the cheapest that takes it)",
        "taken": "by its tier" if kind.default else "where its metrics are asked for",
        "metrics": f"{len(specs)}, each explained by its name",
        "source": "; ".join(dict.fromkeys(spec.source.partition(";")[0] for spec in specs)),
    }
    found: dict[str, list[float]] = {spec.key: [] for spec in specs}
    suites: dict[str, int] = dict.fromkeys(found, 0)
    for _, tables in _suites():
        for key, values in _correlations(*tables, list(found)).items():
            found[key] += values
            suites[key] += bool(values)
    rows = [
        {"metric": key, **_spread(values), "suites": suites[key]}
        for key, values in found.items()
        if values
    ]
    return Explanation(kind.name, "evidence", kind.meaning, facts, pd.DataFrame(rows))


def _method(recipe: Recipe) -> Explanation:
    method = recipe.merging_method
    takes = {"none": "takes none", "positive": "0 or more", "signed": "any"}
    most = "any number" if method.max_members is None else f"{method.max_members} at most"
    facts = {
        "parameters": " ".join(f"{k}={written(v)}" for k, v in recipe.params.items()) or "none",
        "models": most,
        "weights of models": takes[method.weights],
        "random": "yes, by the seed" if method.random else "no",
        "source": method.reference,
    }
    rows = [_kept(suite, tables[1], recipe.label) for suite, tables in _suites()]
    found = pd.DataFrame([row for row in rows if row])
    return Explanation(recipe.label, "method", _meaning(method.kernel), facts, found)


def _meaning(function: object) -> str:
    """A docstring without its sections: what is said before the parameters."""
    text = inspect.getdoc(function) or ""
    return text.partition("\n\nParameters\n")[0].strip()


def _suites() -> Iterator[tuple[str, tuple[PairTable, OutcomeTable]]]:
    """The measured suites that come with mergecast, by name."""
    for folder in measured_folders():
        pairs, outcomes = load_run(folder)
        yield pairs.suites[0], (pairs, outcomes)


def _correlation(
    suite: str, pairs: PairTable, outcomes: OutcomeTable, key: str
) -> dict[str, Any] | None:
    """How a metric goes with what members keep; None where a suite does not have it."""
    values = _correlations(pairs, outcomes, [key])[key]
    return {"suite": suite, **_spread(values), "methods": len(values)} if values else None


def _correlations(
    pairs: PairTable, outcomes: OutcomeTable, keys: list[str]
) -> dict[str, list[float]]:
    """Metric to its correlation with what members keep, by each method where it is defined."""
    found: dict[str, list[float]] = {key: [] for key in keys}
    for method, truth in outcomes.members().groupby("method", sort=True):
        rows = member_rows(pairs, str(method))
        here = [key for key in keys if key in rows]
        table = rows[[*ROW_KEYS, *here]].merge(truth, on=ROW_KEYS)
        for key in here:
            both = table.dropna(subset=[key, "retention"])
            if len(both) >= _LEAST and both[key].std() > 0:
                r = pearson(both[key].to_numpy(), both["retention"].to_numpy())
                found[key] += [r] if np.isfinite(r) else []
    return found


def _spread(values: list[float]) -> dict[str, float]:
    return {"r": float(np.mean(values)), "least": min(values), "most": max(values)}


def _kept(suite: str, outcomes: OutcomeTable, method: str) -> dict[str, Any] | None:
    """What members keep by a method in a suite's pairs; None where no pair was merged by it."""
    means = outcomes.members().groupby("method")["retention"].mean().sort_values(ascending=False)
    if method not in means:
        return None
    place = [*means.index].index(method) + 1
    return {
        "suite": suite,
        "kept": float(means[method]),
        "best": float(means.iloc[0]),
        "place": f"{place} of {len(means)}",
    }
