"""`mc.search` on a tiny family: what it finds, verifies, keeps and refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from search_case import find, studies

import mergecast as mc
from mergecast.api import search_pool
from mergecast.errors import UndefinedError
from mergecast.merging import Recipe, read_mergekit
from mergecast.search import merged as merged_module
from mergecast.search.candidates import Candidate
from mergecast.search.samples import parts_of
from mergecast.suites.evaluate import evaluate_merge
from mergecast.tasks.measure import measure
from mergecast.testing.tiny import tiny_family, tiny_tasks


@pytest.fixture
def family(tmp_path):
    return tiny_family(tmp_path)


def test_a_search_finds_a_merge_and_verifies_it_on_test_samples(family, tmp_path):
    found = find(family, out=tmp_path / "merged")
    assert found.advice == "merge"
    assert len(found.members) == 2
    assert len(found.path) <= 8
    assert found.untried["why"].str.startswith(("thought ", "has ")).all()
    session_kept = {}
    with merged_module.Session(family, tiny_tasks()) as session:
        scores = evaluate_merge(session, found.members, found.chosen.recipe)
        own = {x: measure(session.load(x), session.test_samples(x)) for x in "abc"}
        for label in found.members:
            session_kept[label] = scores[label]["values"]["score"] / own[label].values["score"]
        parts = {label: parts_of(session, label) for label in "abc"}
    kept = dict(zip(found.members, found.verified.kept, strict=True))
    assert kept == pytest.approx(session_kept)
    assert all(one.from_test and one.labelled for one in parts.values())
    low, high = found.verified.interval
    assert low < found.verified.value < high


def test_the_folder_is_the_merge_with_all_that_was_learned(family, tmp_path):
    found = find(family, out=tmp_path / "merged")
    folder = tmp_path / "merged"
    record = json.loads((folder / "mergecast.json").read_text())
    assert {"README.md", "search.html", "search.json"} <= set(record["files"])
    assert record["search"]["verified"]["value"] == found.verified.value
    assert Recipe.of({k: record[k] for k in ("method", "params", "weights", "seed")}) == (
        found.chosen.recipe
    )
    expected = mc.merge(family, found.chosen.recipe, members=found.members)
    made = mc.Checkpoint.open(folder)
    for name in family.shared:
        np.testing.assert_allclose(made.array(name), expected[name].numpy(), atol=1e-6)
    front = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert front["base_model_relation"] == "merge"
    assert len(front["base_model"]) == 3
    again = find(family, out=tmp_path / "merged", overwrite=False)
    assert again.chosen == found.chosen


def test_a_mergekit_file_makes_the_same_merge(family, tmp_path):
    find(family, methods="task_arithmetic", out=tmp_path / "merged")
    asked = read_mergekit(tmp_path / "merged" / "mergekit.yml")
    record = json.loads((tmp_path / "merged" / "mergecast.json").read_text())
    assert asked.recipe.strength == record["params"]["scaling"]


def test_the_same_seed_gives_the_same_search_whatever_the_workers(family):
    one, two = find(family, workers=1), find(family, workers=2)
    assert one.chosen == two.chosen
    columns = ["members", "recipe", "samples", "measured"]
    assert one.path[columns].equals(two.path[columns])
    assert one.verified.value == two.verified.value


def test_a_killed_search_goes_on_where_it_was(family, tmp_path, merges):
    with pytest.raises(KeyboardInterrupt):
        find(family, cache=tmp_path / "work", progress=Killing(after=3))
    before = len(merges)
    assert before >= 3
    find(family, cache=tmp_path / "work")
    whole = len(merges) - before
    del merges[:]
    find(family, cache=tmp_path / "work2")
    assert whole <= len(merges) - before + 1


class Killing:
    """Stops the program at the n-th measurement."""

    def __init__(self, after):
        self.after = after

    def stage(self, name, total, done=0):
        del total, done
        left = [self.after if name.startswith("merges measured") else 10**9]

        def advance(units):
            left[0] -= units
            if left[0] <= 0:
                raise KeyboardInterrupt

        return advance


def test_what_was_measured_is_kept(family, tmp_path, merges):
    find(family, cache=tmp_path / "work")
    count = len(merges)
    assert count > 0
    find(family, cache=tmp_path / "work")
    assert len(merges) == count
    assert (tmp_path / "work" / "trials.log").is_file()


def test_trials_are_in_optunas_storage(family, tmp_path):
    found = find(family, cache=tmp_path / "work")
    find(family, cache=tmp_path / "work")
    [trials] = studies(tmp_path / "work")
    assert len(trials) == len(found.tried)
    assert {one.state.name for one in trials} == {"COMPLETE"}
    values = {one.user_attrs["name"]: one.value for one in trials}
    assert values[found.chosen.name] == pytest.approx(found.tried["measured"].iloc[0])


def test_models_that_are_kept_are_in_every_merge(family):
    found = find(family, keep="b", size="2..3")
    assert all("b" in members.split("+") for members in found.tried["members"])
    found = find(family, require={"c": 0.1})
    assert all("c" in members.split("+") for members in found.tried["members"])


def test_all_models_are_merged_where_no_size_is_given(family):
    assert find(family, size=None).members == ("a", "b", "c")


def test_what_nobody_can_meet_is_said_and_nothing_written(family, tmp_path):
    found = find(family, require={"*": 1.4}, out=tmp_path / "merged")
    assert found.advice == "do not merge"
    assert "every model at least 1.4" in found.verdict[0]
    assert "keep the 3 models apart" in found.verdict[1]
    assert not (tmp_path / "merged").exists()
    assert found.out is None


def test_the_largest_set_that_keeps_enough_is_any_size_by_default(family):
    found = find(family, size=None, objective="most", require={"*": 0.05}, budget=20)
    assert found.members == ("a", "b", "c")
    assert {len(one.split("+")) for one in found.tried["members"]} <= {2, 3}
    assert (
        "the most that were found to keep what is required (every model at least 0.05)"
        in (found.verdict[0])
    )


@pytest.mark.parametrize(
    ("objective", "importance"), [("worst", None), ("weighted", {"a": 3.0, "b": 2.0})]
)
def test_other_objectives(family, objective, importance):
    found = find(family, objective=objective, importance=importance, budget=4)
    best = found.tried.iloc[0]
    kept = np.array([*best["kept"].values()])
    weights = np.array([(importance or {}).get(x, 1.0) for x in best["kept"]])
    expected = kept.min() if objective == "worst" else kept @ weights / weights.sum()
    assert best["measured"] == pytest.approx(expected)


def test_a_merge_that_fails_is_named_and_left_out(family, monkeypatch):
    merge = merged_module.merge

    def broken(family, recipe, **options):
        if recipe.method == "ties":
            raise UndefinedError("parameter 'up.weight'", "an answer is not finite")
        return merge(family, recipe, **options)

    monkeypatch.setattr(merged_module, "merge", broken)
    found = find(family, keep=("a", "b"), methods=("ties", "weight_avg"))
    assert found.chosen.recipe.method == "weight_avg"
    assert any("an answer is not finite" in one for one in found.left_out)
    assert not found.untried["recipe"].str.startswith("ties").any()


def test_other_methods_in_the_same_cache_are_another_study(family, tmp_path):
    find(family, methods="ties", budget=2, cache=tmp_path / "work")
    found = find(family, methods=("ties", "weight_avg"), budget=2, cache=tmp_path / "work")
    assert found.advice == "merge"


def test_a_scorer_in_the_same_cache_is_another_study(family, tmp_path):
    given = {"methods": "weight_avg", "budget": 2, "cache": tmp_path / "work"}
    find(family, **given)
    [first] = studies(tmp_path / "work")
    find(family, scorer=lambda _, label: len(label), **given)
    both = studies(tmp_path / "work")
    assert [one.value for one in both[0]] == [one.value for one in first]
    assert {one.value for one in both[1]} == {1.0}


def test_sizes_named_twice_are_one(family):
    found = find(family, size=[2, 2], budget=4)
    assert found.chosen == find(family, size=np.int64(2), budget=4).chosen


def test_features_are_compared_with_the_model_s_own(family, monkeypatch):
    tasks = tiny_tasks(labelled=False)
    monkeypatch.setattr(type(tasks["a"]), "outputs", property(lambda self: "features"))
    states = []
    read = merged_module.Session.state

    def counted(self, label):
        states.append(label)
        return read(self, label)

    with merged_module.Session(family, tasks) as session, merged_module.Workers(1) as workers:
        judge = merged_module.MergeJudge(session, workers)
        merge = Candidate(("a", "b"), Recipe("weight_avg"), "weight_avg")
        monkeypatch.setattr(merged_module.Session, "state", counted)
        [few] = judge.see([(merge, 50)])
        [more] = judge.see([(merge, 64)])
    assert states == []
    assert not any(one.labelled for one in judge.parts.values())
    assert ((few.kept > 0) & (few.kept < 1)).all()
    assert more.samples == 64


def test_what_nobody_forecast_is_not_shown_as_a_forecast(family, monkeypatch):
    made = search_pool.own_errors

    def unknown(rows, level):
        rows["retention"] = np.nan
        return made(rows, level)

    monkeypatch.setattr(search_pool, "own_errors", unknown)
    found = find(family, budget=3)
    assert found.tried["forecast"].isna().all()
    assert all(row["forecast"] is None for row in found.to_dict()["kept"])
    assert found.tried["measured"].notna().all()
