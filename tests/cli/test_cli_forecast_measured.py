"""``mergecast forecast --measured``: a table of measured merges moves the forecasts of a family."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import yaml

import mergecast as mc
from forecaster_files import linear_model, save_forecaster
from mergecast.cli.main import run
from mergecast.errors import UsageError
from mergecast.tables.outcomes import OutcomeTable
from mergecast.testing.tiny import tiny_family
from tiny_models import write_tiny_tasks


@pytest.fixture
def given(family_paths, tmp_path):
    """The words of a forecast by two methods, and its labels."""
    models = {
        "ties": linear_model("task_vector_magnitude_ratio", 0.1),
        "weight_avg": linear_model("effective_rank", -0.02),
    }
    file = save_forecaster({"weights": models}, tmp_path / "mine.json")
    base, paths = family_paths
    return [str(base), *map(str, paths), "--forecaster", file], [path.stem for path in paths]


def by_hand(path, members, kept=0.7, method="ties", **columns):
    """A CSV of one measured merge, as people write it."""
    rows = [
        {"method": method, "members": "+".join(members), "task": name, "score": 0.8 * kept,
         "single_score": 0.8, **columns}
        for name in members
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def forecast(words, capsys, *more):
    assert run(["forecast", *words, "--json", *map(str, more)]) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def test_one_measured_pair_moves_all_and_python_says_the_same(given, tmp_path, capsys):
    words, labels = given
    path = by_hand(tmp_path / "mine.csv", labels[:2])
    before, _ = forecast(words, capsys)
    after, _ = forecast(words, capsys, "--measured", path)
    rows = {(r["left"], r["right"], r["method"], r["member"]): r for r in after["rows"]}
    pair = tuple(labels[:2])
    for row in before["rows"]:
        key = (row["left"], row["right"], row["method"], row["member"])
        measured = key[:2] == pair and row["method"] == "ties"
        assert rows[key]["basis"] == ("measured" if measured else "family")
        assert rows[key]["predicted"] < row["predicted"]
    assert rows[*pair, "ties", labels[0]]["predicted"] == pytest.approx(0.7, abs=0.03)
    assert after["header"]["measured"] == 1
    known = {(m["left"], m["right"], m["method"], m["member"]): m
             for m in after["measured"]["members"]}  # fmt: skip
    assert {key[:3] for key in known} == {(*pair, "ties")}
    for row in before["rows"]:
        key = (row["left"], row["right"], row["method"], row["member"])
        if key in known:
            assert known[key]["before"] == pytest.approx(row["predicted"])
            assert known[key]["measured"] == pytest.approx(0.7)
            assert known[key]["others"] is None
    assert after["measured"]["sentence"] in after["verdict"]
    assert "measured" not in before
    assert before["layers"] == after["layers"]
    assert len(before["layers"]) == len({(r["left"], r["right"]) for r in before["rows"]})
    assert "1 measured merge of this family used (ties): forecasts" in after["verdict"][0]
    found = mc.forecast(words[0], words[1 : 1 + len(labels)], forecaster=words[-1], measured=path)
    assert mc.report(found) == after
    assert found.measured.sentence in " ".join(str(found).split())
    table = OutcomeTable.read(path)
    for same in (table, table.to_pandas(), str(path)):
        again = mc.forecast(
            words[0], words[1 : 1 + len(labels)], forecaster=words[-1], measured=same
        )
        assert again.rows.equals(found.rows)


def test_assumed_errors_are_said_everywhere(given, tmp_path, capsys, monkeypatch):
    words, labels = given
    said = "2 rows of measured merges have neither an error nor a number of samples"
    path = by_hand(tmp_path / "mine.csv", labels[:2])
    summary, printed = forecast(words, capsys, "--measured", path, "--report", tmp_path)
    assert len([one for one in summary["warnings"] if said in one]) == 1
    assert said in printed
    assert (tmp_path / "report.html").read_text("utf-8").count(said) == 1
    monkeypatch.setenv("COLUMNS", "1000")
    assert run(["forecast", *words, "--measured", str(path)]) == 0
    shown = capsys.readouterr()
    assert (shown.out + shown.err).count(said) == 1
    found = mc.Forecaster.load(words[-1]).forecast(
        mc.forecast(words[0], words[1:-2], forecaster=words[-1]).metrics, measured=pd.read_csv(path)
    )
    assert said in found.warnings[0]
    sets = by_hand(tmp_path / "sets.csv", labels[:3])
    summary, _ = forecast(words, capsys, "--measured", sets, "--sets", 3)
    assert sum("3 rows of measured merges have (sets of 3) neither" in one
               for one in summary["warnings"]) == 1  # fmt: skip
    path = by_hand(tmp_path / "mine.csv", labels[:2], n_eval=400)
    summary, printed = forecast(words, capsys, "--measured", path)
    assert "was assumed" not in printed
    assert not [one for one in summary["warnings"] if "was assumed" in one]


def test_the_tasks_tell_of_how_many_samples_scores_are(tmp_path):
    tiny_family(tmp_path, "abc")
    tasks = write_tiny_tasks(tmp_path, "abc", count=50)
    models = {name: tmp_path / f"{name}.safetensors" for name in "abc"}

    def known(tasks, **columns):
        path = by_hand(tmp_path / "mine.csv", "ab", method="ties", **columns)
        return mc.forecast(
            tmp_path / "base.safetensors", models, tasks=tasks, tier="weights", measured=path
        )

    told = known(tasks)
    assert told.measured.n_assumed == 0
    [said] = [one for one in told.warnings if "are taken to be scored on" in one]
    assert "(a: 50, b: 50)" in said
    given = known(tasks, n_eval=50)
    assert told.beside["stderr"].tolist() == given.beside["stderr"].tolist()
    assert not [one for one in given.warnings if "are taken to be" in one]
    alone = known(None)
    assert alone.measured.n_assumed == 2
    assert alone.beside["stderr"].tolist() == pytest.approx([0.02, 0.02])
    # Tasks without test samples say nothing of a score's samples.
    content = yaml.safe_load(tasks.read_text())
    for one in content["tasks"].values():
        del one["test"]
    tasks.write_text(yaml.safe_dump(content))
    assert known(tasks).measured.n_assumed == 2


def test_terminal_and_page_say_which_pairs_were_measured(given, tmp_path, capsys):
    words, labels = given
    path = by_hand(tmp_path / "mine.csv", labels[:2])
    asked = ["--measured", str(path), "--report", str(tmp_path), "--pair", "a+b"]
    assert run(["forecast", *words, *asked]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "measured: ties" in printed
    assert "1 measured merge of this family used (ties): forecasts of the others" in printed
    page = (tmp_path / "report.html").read_text("utf-8")
    for text in ("(measured)", "<dt>Measured merges</dt>", "1 measured merge of this family used"):
        assert text in page


def test_merges_of_other_sizes_and_parameters_are_named_and_left_out(given, tmp_path, capsys):
    words, labels = given
    parts = [
        by_hand(tmp_path / "a.csv", labels[:2], density=0.2),
        by_hand(tmp_path / "b.csv", labels[1:3], density=0.7),
        by_hand(tmp_path / "c.csv", labels[:3]),
        by_hand(tmp_path / "d.csv", [labels[0], "stranger"]),
    ]
    path = tmp_path / "all.csv"
    pd.concat(map(pd.read_csv, parts)).to_csv(path, index=False)
    summary, said = forecast(words, capsys, "--measured", path)
    assert summary["header"]["measured"] == 1
    for text in (
        "1 measured merge left out: by ties with density=0.7, forecast: 0.2",
        "1 measured merge left out: of 3 models; ask for sets of 3",
        "1 measured merge left out: with models that are not forecast here (stranger)",
    ):
        assert text in said
        assert text in summary["notes"]


def test_a_recipe_of_other_parameters_is_none_of_these_merges(given, tmp_path, capsys):
    words, labels = given
    table = OutcomeTable.read(by_hand(tmp_path / "a.csv", labels[:2])).to_pandas()
    for recipe in ({"merging": {"ties": {"scaling": 0.9}}},
                   {"suite": {"merging": {"ties": {"scaling": 0.9}}}}):  # fmt: skip
        other = OutcomeTable.from_pandas(table, recipe=recipe)
        with pytest.raises(UsageError, match="by ties with scaling=0.9, forecast: "):
            mc.forecast(words[0], words[1 : 1 + len(labels)], forecaster=words[-1], measured=other)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("method,members\nties,a+b\n", "column"),
        ("method,members,task,score,single_score\nties,x+y,x,1,1\nties,x+y,y,1,1\n", "(x, y)"),
        (None, "no such file"),
    ],
)
def test_what_is_no_table_or_of_other_models_is_refused(given, content, said, tmp_path, capsys):
    words, _ = given
    path = tmp_path / "m.csv"
    if content is not None:
        path.write_text(content)
    assert run(["forecast", *words, "--measured", str(path)]) == 2
    assert said in capsys.readouterr().err


def test_measured_sets_move_the_sets_of_their_size(given, tmp_path, capsys):
    words, labels = given
    path = by_hand(tmp_path / "sets.csv", labels[:3], kept=0.6)
    before, _ = forecast(words, capsys, "--sets", 3)
    after, said = forecast(words, capsys, "--sets", 3, "--measured", path)
    assert "left out" not in said
    assert after["header"]["measured"] == 0
    assert after["rows"] == before["rows"]
    [cold], [warm] = (
        [m["ranking"] for m in summary["sets"]["methods"] if m["method"] == "ties"]
        for summary in (before, after)
    )
    kept = {"+".join(one["members"]): one["predicted"] for one in warm}
    assert kept["+".join(labels[:3])] == pytest.approx(0.6, abs=0.05)
    assert all(kept["+".join(one["members"])] < one["predicted"] for one in cold)
    assert any(
        "1 measured set of 3 of this family used (ties)" in line for line in after["verdict"]
    )
