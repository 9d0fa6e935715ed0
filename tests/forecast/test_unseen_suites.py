"""A forecaster on suites that it never saw, and what several kinds of models change in a fit."""

import json
import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from mergecast.cli.main import run
from mergecast.errors import UsageError
from mergecast.forecast import shipped as shipped_module
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.intervals import conformal_half_width
from mergecast.forecast.rows import kin_weights
from mergecast.forecast.unseen_suites import FORECASTER, score_suites
from mergecast.forecast.validation.beside import CONSTANT, PARTNER
from mergecast.forecast.validation.ceiling import ceilings, split_half_ceilings, tried_errors
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.paired import retention_stderr
from mergecast.tables.pairs import PairTable

FORM = "superposed_expected_unlabelled"


def suite(name, seed, bias=0.05, n=8):
    """Outcomes that are what superposition says and a bias, which this kind of models has."""
    draw = np.random.default_rng(seed)
    labels = [f"t{k}" for k in range(n)]
    pairs, outcomes = [], []
    for a in range(n):
        for b in range(a + 1, n):
            left, right = draw.uniform(0.6, 0.9, 2)
            pairs.append(
                {
                    "suite": name,
                    "left": labels[a],
                    "right": labels[b],
                    f"{FORM}:left<-right": left,
                    f"{FORM}:right<-left": right,
                }
            )
            for task, x in ((labels[a], left), (labels[b], right)):
                outcomes.append(
                    {
                        "suite": name,
                        "method": "ties",
                        "members": f"{labels[a]}+{labels[b]}",
                        "task": task,
                        "score": x + bias + draw.normal(0, 0.01),
                        "single_score": 1.0,
                        "retention_stderr": 0.02,
                    }
                )
    return pd.DataFrame(pairs), pd.DataFrame(outcomes)


@pytest.fixture(scope="module")
def tables():
    made = [suite("a", 0), suite("b/small", 1), suite("b/large", 2), suite("c", 3, bias=0.02)]
    return (
        PairTable(pd.concat([pairs for pairs, _ in made], ignore_index=True)),
        OutcomeTable(pd.concat([outcomes for _, outcomes in made], ignore_index=True)),
    )


def test_every_suite_is_forecast_by_the_other_kinds(tables):
    found = score_suites(tables, ["activations"])
    rows = found.rows.set_index(["suite", "predictor"])
    assert set(found.rows["suite"]) == {"a", "b/small", "b/large", "c"}
    forecaster = rows.xs(FORECASTER, level="predictor")
    assert (forecaster["pooled_r"] > 0.95).all()
    assert (forecaster["answered"] == 1).all()
    # Of a bias that the other kinds share nothing is learned: superposition stays as it is.
    for name in ("a", "c"):
        assert forecaster.loc[name, "mae"] == rows.loc[(name, "superposition"), "mae"]
    assert rows.loc[("a", CONSTANT), "mae"] > forecaster.loc["a", "mae"]
    assert rows.loc[("a", "superposition"), "mae"] == pytest.approx(0.05, abs=0.01)
    assert math.isnan(rows.loc[("a", "superposition"), "coverage90"])
    # Of `a` the others have one kind that is as far off and one that is less.
    assert (forecaster.loc[["b/small", "b/large"], "coverage90"] >= 0.9).all()
    assert forecaster.loc["a", "coverage90"] >= 0.7
    assert found.to_dict()["rows"][0]["suite"] == "a"
    assert "means over methods" in repr(found)
    assert found.choices.empty  # with one method there is none


def test_what_choosing_a_method_loses_stands_beside_the_best_fixed_one(tables):
    pairs, outcomes = tables
    better = outcomes.frame.assign(method="dare", recipe="dare")
    better[["score", "retention"]] += 0.1
    both = OutcomeTable(pd.concat([outcomes.frame, better], ignore_index=True))
    found = score_suites((pairs, both), ["activations"])
    assert found.choices["suite"].tolist() == ["a", "b/large", "b/small", "c"]
    assert (found.choices["n_methods"] == 2).all()
    assert (found.choices["fixed_method"] == "dare").all()
    assert (found.choices["fixed_regret"] == 0).all()
    # Both are forecast alike, and ties, with the narrower intervals, is taken: it loses a tenth.
    assert found.choices["regret"].tolist() == pytest.approx([0.1] * 4)
    assert found.to_dict()["choices"][0]["fixed_method"] == "dare"


@pytest.fixture
def shipped(tables, tmp_path, monkeypatch):
    """Two of the suites as those that come with mergecast, a third as somebody's own run."""
    folders = []
    for name in ("a", "c", "b/small"):
        folder = tmp_path / name.partition("/")[0]
        for table, file in zip(tables, ("pairs", "outcomes"), strict=True):
            table.keep(table.frame["suite"] == name).write(folder / f"{file}.parquet")
        folders.append(folder)
    (tmp_path / "measured").mkdir()
    for folder in folders[:2]:
        folder.rename(tmp_path / "measured" / folder.name)
    (tmp_path / "measured" / "README.md").write_text("no suite\n")
    monkeypatch.setattr(shipped_module, "MEASURED", tmp_path / "measured")
    return folders[2]


def test_the_command_scores_what_is_shipped_and_what_is_given(shipped, tmp_path, capsys):
    assert run(["evaluate", "--default", "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert "A suite unseen, from activations" in said
    assert CONSTANT in said
    assert f"{PARTNER}: the mean of both models' other merges" in said
    out = tmp_path / "scores.csv"
    arguments = ["evaluate", str(shipped), "--default", "--json", "--workers", "1", "-o", str(out)]
    assert run(arguments) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["suite"] for row in rows} == {"a", "c", "b/small"}
    keys = {"pooled_r", "r_ceiling", "r_null", "per_fold_r", "mae", "mae_constant", "mae_tried"}
    assert keys <= rows[0].keys()
    assert PARTNER in {row["predictor"] for row in rows}
    assert len(pd.read_csv(out)) == len(rows)


@pytest.mark.parametrize(
    "option",
    [
        ["--method", "ties"],
        ["--null", "9"],
        ["--protocol", "l2to"],
        ["--seed", "1"],
        ["--seeds", "2"],
        ["--bootstrap", "0"],
    ],
)
def test_what_says_nothing_of_unseen_suites_is_refused(shipped, option, capsys):
    assert run(["evaluate", "--default", *option]) == 2
    assert f"{option[0]}: says nothing beside --default" in capsys.readouterr().err
    assert run(["evaluate"]) == 2
    assert "--default" in capsys.readouterr().err


def test_kinds_are_held_out_together(tables):
    pairs, outcomes = tables
    alone = pairs.frame["suite"].str.startswith("b/")
    only = outcomes.frame["suite"].str.startswith("b/")
    with pytest.raises(UsageError, match="of one kind"):
        score_suites((pairs.keep(alone), outcomes.keep(only)), ["activations"])


def test_a_method_that_no_other_kind_knows_is_named(tables):
    pairs, outcomes = tables
    renamed = outcomes.frame["suite"] == "c"
    frame = outcomes.frame.copy()
    frame.loc[renamed, ["method", "recipe"]] = "tsv"
    found = score_suites((pairs, OutcomeTable(frame)), ["activations"])
    assert found.notes == ["tsv of c: no other kind of models was merged by it"]
    assert "c" not in set(found.rows["suite"])


def test_intervals_of_several_kinds_are_of_kinds_unseen(tables):
    entry = Forecaster.fit(*tables, warm=False).file.methods["ties"]
    assert entry.between_suites
    assert "a suite unseen" in entry.why
    pairs, outcomes = tables
    one = pairs.keep(pairs.frame["suite"] == "a"), outcomes.keep(outcomes.frame["suite"] == "a")
    assert not Forecaster.fit(*one, warm=False).file.methods["ties"].between_suites


def test_every_kind_counts_alike():
    X = pd.DataFrame({"suite": ["a"] * 6 + ["b/x", "b/y"]})
    weights = kin_weights(X, 8)
    assert weights.mean() == pytest.approx(1)
    assert weights[:6].sum() == pytest.approx(weights[6:].sum())
    assert (kin_weights(np.ones((3, 1)), 3) == 1).all()
    # Ten small residuals of one owner against two large ones of another, too few for a width of
    # its own at these levels: a half each.
    residuals, owners = [0.1] * 10 + [1.0] * 2, ["a"] * 10 + ["b"] * 2
    assert conformal_half_width(residuals, 0.7, owners) == 1.0
    assert conformal_half_width(residuals, 0.8, owners) == 1.0
    assert conformal_half_width(residuals, 0.95, owners) == math.inf


def test_a_new_kind_may_err_as_the_kind_that_errs_most():
    small, large = np.linspace(0, 0.1, 99), np.linspace(0, 1.0, 99)
    residuals, owners = np.concatenate([small, small, large]), ["a"] * 99 + ["b"] * 99 + ["c"] * 99
    alone = [conformal_half_width(one, 0.9) for one in (small, large)]
    assert conformal_half_width(residuals, 0.9, owners) == alone[1] > alone[0]
    assert conformal_half_width(small, 0.9, ["a"] * 99) == pytest.approx(alone[0])


def test_the_ceiling_falls_with_noise(tables):
    _, outcomes = tables
    high = ceilings(outcomes)["ties"]
    noisy = OutcomeTable(outcomes.frame.assign(retention_stderr=0.06))
    assert 0.9 < high < 1
    assert ceilings(noisy)["ties"] < high
    assert ceilings(OutcomeTable(outcomes.frame.assign(retention_stderr=9.0)))["ties"] == 0
    assert ceilings(OutcomeTable(outcomes.frame.drop(columns="retention_stderr"))).empty


def test_halves_of_the_samples_tell_the_ceiling_that_standard_errors_tell():
    rng, n = np.random.default_rng(0), 400
    single = {task: (rng.random(n) < 0.9).astype(float) for task in "ABCDEFG"}
    rows = []
    for left, right in combinations(single, 2):
        kept = rng.uniform(0.75, 0.95)
        for task in (left, right):
            merged = single[task] * (rng.random(n) < kept)
            error = retention_stderr(merged, single[task])
            rows.append((f"{left}+{right}", task, merged, single[task], error))
    frame = pd.DataFrame(
        rows, columns=["members", "task", "scores", "single_scores", "retention_stderr"]
    ).assign(suite="s", method="ties", recipe="ties", seed=0)
    score = frame.assign(
        score=frame["scores"].map(np.mean), single_score=frame["single_scores"].map(np.mean)
    )
    by_errors = ceilings(OutcomeTable(score.drop(columns=["scores", "single_scores"])))["ties"]
    assert split_half_ceilings(frame)["ties"] == pytest.approx(by_errors, abs=0.01)
    # Merges that keep alike differ by their samples alone: nothing is left to foretell.
    alike = frame.assign(
        scores=[row.single_scores * (rng.random(n) < 0.85) for row in frame.itertuples()]
    )
    assert split_half_ceilings(alike)["ties"] < 0.5
    assert split_half_ceilings(frame.assign(scores=[[]] * len(frame))).empty


def test_merges_that_are_tried_on_other_samples_err_as_standard_errors_say():
    rng, tried, n = np.random.default_rng(1), 100, 400
    rows, apart = [], []
    for pair in range(400):
        differences = []
        for task, kept in zip("AB", rng.uniform(0.6, 0.95, 2), strict=True):
            single = rng.random(tried + n) < 0.9
            merged = single & (rng.random(tried + n) < kept)
            few, many = (
                merged[x].sum() / single[x].sum() for x in (slice(tried), slice(tried, n + tried))
            )
            differences.append(few - many)
            error = retention_stderr(merged[tried:], single[tried:])
            rows.append((f"A{pair}+B{pair}", f"{task}{pair}", many, error))
        apart.append(abs(np.mean(differences)))
    columns = ["members", "task", "score", "retention_stderr"]
    told = {"suite": "s", "method": "ties", "single_score": 1.0, "n_eval": n}
    outcomes = OutcomeTable(pd.DataFrame(rows, columns=columns).assign(**told))
    assert tried_errors(outcomes, tried)["ties"] == pytest.approx(np.mean(apart), rel=0.1)
    assert tried_errors(OutcomeTable(outcomes.frame.drop(columns="n_eval"))).empty


def test_where_nothing_carries_over_there_is_no_number(tables):
    pairs, outcomes = tables
    frame = pairs.frame.rename(columns=lambda name: name.replace(FORM, "task_vector_norm"))
    draw = np.random.default_rng(4)
    columns = [name for name in frame if name.startswith("task_vector_norm")]
    frame[columns] = draw.uniform(0.6, 0.9, (len(frame), 2))
    blind = PairTable(frame)
    fitted = Forecaster.fit(blind, outcomes, warm=False)
    assert fitted.file.methods["ties"].predictor == "constant"
    told = fitted.forecast(blind.keep(blind.frame["suite"] == "a")).rows
    assert told["retention"].isna().all()
    assert told["note"].str.contains("nothing here tells what other models keep").all()
    one = blind.keep(blind.frame["suite"] == "a"), outcomes.keep(outcomes.frame["suite"] == "a")
    assert Forecaster.fit(*one, warm=False).forecast(one[0]).rows["retention"].notna().all()
