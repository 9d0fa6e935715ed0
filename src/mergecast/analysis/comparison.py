"""Two settings side by side: is the second one evidence of its own?

Two architectures or optimisers should agree somewhat and never exactly. What is equal to the last
digit was computed once and copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from mergecast.analysis.variance import keyed_metrics
from mergecast.forecast.validation.scoring import pearson
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable

OUTCOME, METRIC = "outcome", "metric"


@dataclass(frozen=True)
class Tables:
    """The two tables of one suite or setting."""

    pairs: PairTable
    outcomes: OutcomeTable


@dataclass(frozen=True)
class Comparison:
    """One quantity in two settings.

    Attributes
    ----------
    kind : str
        `OUTCOME` or `METRIC`.
    name : str
        The merging method or the metric.
    n_pairs : int
        Pairs that both settings have.
    r : float
        Pearson's r between the settings; NaN where undefined.
    n_identical : int
        Pairs that are equal bit by bit (for an outcome, the scores of both members).
    """

    kind: str
    name: str
    n_pairs: int
    r: float
    n_identical: int


def compare_settings(first: Tables, second: Tables) -> list[Comparison]:
    """What two settings say of the same pairs of tasks, by outcome and metric that both have."""
    return [*_outcomes(first, second), *_metrics(first, second)]


def compare_suites(
    pairs: PairTable, outcomes: OutcomeTable
) -> dict[tuple[str, str], list[Comparison]]:
    """Every two suites of a pair of tables, for example two architectures, by their names, sorted.

    What is compared are tasks (models) of the same name; suites that share no pair of them give an
    empty list.
    """
    suites = {
        suite: Tables(pairs.of_suite(suite), outcomes.of_suite(suite)) for suite in pairs.suites
    }
    return {(a, b): compare_settings(suites[a], suites[b]) for a, b in combinations(suites, 2)}


def _outcomes(a: Tables, b: Tables) -> Iterator[Comparison]:
    means = [x.outcomes.pairs().drop(columns="suite") for x in (a, b)]
    joined = means[0].merge(means[1], on=["method", "left", "right"]).dropna()
    scores = [x.outcomes.by_recipe[["method", "members", "task", "score"]] for x in (a, b)]
    same = scores[0].merge(scores[1], on=["method", "members", "task"])
    same = same.assign(equal=same["score_x"] == same["score_y"])
    equal = same.groupby(["method", "members"])["equal"].all().to_dict()
    for method, pairs in joined.groupby("method", sort=True):
        members = pairs["left"] + "+" + pairs["right"]
        r = pearson(pairs["retention_x"].to_numpy(), pairs["retention_y"].to_numpy())
        identical = sum(bool(equal[method, names]) for names in members)
        yield Comparison(OUTCOME, str(method), len(pairs), r, identical)


def _metrics(a: Tables, b: Tables) -> Iterator[Comparison]:
    first, second = (keyed_metrics(x.pairs).drop(columns="suite") for x in (a, b))
    joined = first.merge(second, on=["left", "right"])
    for key in first.columns.drop(["left", "right"]).intersection(second.columns, sort=False):
        both = joined[[f"{key}_x", f"{key}_y"]].dropna()
        if both.empty:
            continue
        x, y = (both[column].to_numpy() for column in both)
        yield Comparison(METRIC, str(key), len(both), pearson(x, y), int((x == y).sum()))
