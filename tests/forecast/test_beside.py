"""What stands beside a forecaster on unseen suites: of the delta's norm, and of known partners."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from mergecast.forecast.estimators.baselines import PartnerMean
from mergecast.forecast.rows import ROW_KEYS
from mergecast.forecast.unseen_suites import score_suites
from mergecast.forecast.validation.beside import (
    CONSTANT,
    NORM,
    PARTNER,
    delta_norms,
    on_a_line,
    partner_means,
)
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable

MODELS = "abcdef"


def vectors(seed):
    draw = np.random.default_rng(seed)
    return {name: draw.normal(size=4) * draw.uniform(0.5, 2) for name in MODELS}


def pair_table(suite, deltas):
    rows = []
    for left, right in combinations(MODELS, 2):
        one, other = deltas[left], deltas[right]
        sizes = np.linalg.norm(one), np.linalg.norm(other)
        rows.append(
            {
                "suite": suite,
                "left": left,
                "right": right,
                "task_vector_l2_distance": np.linalg.norm(one - other),
                "task_vector_dot_product": one @ other,
                "task_vector_norm_share:left<-right": sizes[0] / sum(sizes),
                "task_vector_norm_share:right<-left": sizes[1] / sum(sizes),
            }
        )
    return pd.DataFrame(rows)


def outcome_table(suite, kept):
    rows = [
        {"suite": suite, "method": "ties", "members": f"{left}+{right}", "task": member,
         "score": kept(member, partner), "single_score": 1.0}
        for left, right in combinations(MODELS, 2)
        for member, partner in ((left, right), (right, left))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_norms_of_a_pair_table_are_those_of_its_task_vectors():
    deltas = vectors(0)
    frame = pair_table("s", deltas)
    found = delta_norms(PairTable(frame))
    assert found.index.names == ROW_KEYS
    for (_, _, _, member), norm in found.items():
        assert norm == pytest.approx(np.linalg.norm(deltas[member]))
    assert delta_norms(PairTable(frame.drop(columns="task_vector_dot_product"))).empty


def test_a_line_is_that_of_the_known_points_and_level_where_they_do_not_vary():
    x, y = pd.Series([1.0, 2, 3, np.nan, 9]), pd.Series([2.0, 4, 6, 100, np.nan])
    assert on_a_line(x, y, pd.Series([5.0])).to_list() == pytest.approx([10])
    assert on_a_line(x * 0, y, pd.Series([5.0])).to_list() == pytest.approx([4])


def member_rows_of(measured):
    keys = pd.DataFrame(measured, columns=["left", "right", "member", "measured"])
    return keys.assign(suite="s", partner=keys["right"].where(keys["member"] == keys["left"],
                                                              keys["left"]))  # fmt: skip


def test_a_partner_mean_is_of_all_other_merges_of_both():
    rows = member_rows_of(
        [("a", "b", "a", 0.1), ("a", "b", "b", 0.2), ("a", "c", "a", 0.3), ("a", "c", "c", 0.4),
         ("b", "c", "b", 0.5), ("b", "c", "c", 0.7)]
    )  # fmt: skip
    # a beside b: a kept 0.3 beside c, and c kept 0.7 beside b.
    assert partner_means(rows).to_list() == pytest.approx([0.5, 0.45, 0.3, 0.45, 0.25, 0.25])
    alone = partner_means(rows.iloc[:2])
    assert alone.isna().all()


def test_it_is_the_predictor_fitted_without_the_pair():
    draw = np.random.default_rng(1)
    rows = member_rows_of(
        [(a, b, m, draw.uniform()) for a, b in combinations(MODELS, 2) for m in (a, b)]
    )
    found = partner_means(rows)
    for pair, two in rows.groupby(["left", "right"]):
        others = rows[(rows["left"] != pair[0]) | (rows["right"] != pair[1])]
        fitted = PartnerMean().fit(others, others["measured"])
        assert found[two.index].to_numpy() == pytest.approx(fitted.predict(two))
    # What is not known is in no mean, and is said something of all the same.
    holed = rows.assign(measured=rows["measured"].mask(rows.index == 0))
    known = rows.drop(index=0)
    assert partner_means(holed)[1:].to_numpy() == pytest.approx(partner_means(known).to_numpy())
    assert np.isfinite(partner_means(holed)[0])


def test_both_stand_beside_the_forecaster_of_every_suite():
    pairs, outcomes = [], []
    for seed, suite in enumerate(("x", "y", "z")):
        deltas = vectors(seed)
        norms = {name: np.linalg.norm(delta) for name, delta in deltas.items()}
        level = 0.1 if suite == "z" else 0.0
        pairs.append(pair_table(suite, deltas))
        outcomes.append(
            outcome_table(suite, lambda m, _p, n=norms, up=level: 0.9 - 0.05 * n[m] + up)
        )
    tables = PairTable(pd.concat(pairs)), OutcomeTable(pd.concat(outcomes))
    rows = score_suites(tables, ["weights"]).rows.set_index(["predictor", "suite"])
    # The line of x and y is that of z but for its level.
    assert rows.loc[(NORM, "z"), "mae"] == pytest.approx(0.1)
    assert rows.loc[(NORM, "z"), "bias"] == pytest.approx(-0.1)
    assert rows.loc[(NORM, "z"), "pooled_r"] == pytest.approx(1)
    assert 0 < rows.loc[(NORM, "z"), "r_null"] < 1
    assert np.isnan(rows.loc[(CONSTANT, "z"), "r_null"])
    # Sums of two levels: partner mean has the order of pairs, and knows the level of z.
    assert rows.loc[(PARTNER, "z"), "pooled_r"] > 0.95
    assert abs(rows.loc[(PARTNER, "z"), "bias"]) < 0.01
    assert rows.loc[(PARTNER, "z"), "answered"] == 1
