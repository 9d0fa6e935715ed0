"""A scorer that verifies: asked of the single models first, of the choice last, and no more."""

from __future__ import annotations

import json

import numpy as np
import pytest
from search_case import find

from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import UndefinedError, UsageError
from mergecast.family.family import Family
from mergecast.search.verify import Scored
from mergecast.testing.tiny import tiny_family, tiny_states, tiny_tasks

#: What single models score.
OWN = {"a": 0.5, "b": 0.8, "c": 1.0}


@pytest.fixture
def family(tmp_path):
    return tiny_family(tmp_path)


class Recording:
    """A scorer that writes down what it is asked, single or merged."""

    def __init__(self, name, asked, loss):
        self.name, self.asked, self.loss = name, asked, loss

    def __call__(self, path, label):
        merged = "heads" in str(path)
        self.asked.append((self.name, merged, label))
        return OWN[label] - self.loss * merged


class Script:
    """A real script that scores, writes down what it is asked, and may fail on merges."""

    def __init__(self, folder, name, loss=0.1):
        self.path, self.log = folder / f"{name}.sh", folder / f"{name}.log"
        self.broken = folder / f"{name}.broken"
        self.write(loss)
        self.command = f"sh {self.path} {{model}} {{task}}"

    def write(self, loss):
        self.path.write_text(
            "set -e\n"
            f'echo "$1 $2" >> {self.log}\n'
            "ls -d $1 > /dev/null\n"
            "case $2 in a) own=0.5;; b) own=0.8;; c) own=1.0;; esac\n"
            "case $1 in\n"
            f"  */heads/*) if [ -f {self.broken} ]; then echo no such layer >&2; exit 3; fi;\n"
            f"    echo $own {loss} | awk '{{print $1 - $2}}';;\n"
            "  *) echo $own;;\n"
            "esac\n"
        )

    @property
    def asked(self):
        """Label and whether it was a merge, of every run."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(line[-1], "/heads/" in line) for line in lines]


@pytest.fixture
def judge(tmp_path):
    return Script(tmp_path, "judge", 0.0)


@pytest.fixture
def verifier(tmp_path):
    return Script(tmp_path, "verifier")


def test_it_is_asked_of_the_single_models_first_and_of_the_choice_last(family):
    asked = []
    found = find(
        family,
        scorer=Recording("judge", asked, 0.0),
        verify_scorer=Recording("verifier", asked, 0.1),
        budget=4,
    )
    mine = [(merged, label) for name, merged, label in asked if name == "verifier"]
    assert mine == [*((False, x) for x in "abc"), *((True, x) for x in found.members)]
    assert not any(merged for _, merged, _ in asked[:6])
    assert [name for name, _, _ in asked[-2:]] == ["verifier"] * 2
    assert isinstance(found.verified, Scored)
    own = np.array([OWN[label] for label in found.members])
    assert found.verified.kept == pytest.approx((own - 0.1) / own)
    assert found.verified.value == pytest.approx(((own - 0.1) / own).mean())
    assert found.believed == pytest.approx(1.0, abs=0.02)
    assert "by the verification scorer, which the search never asked, the mean" in found.verdict[0]
    assert f"is {found.verified.value:.3f}." in found.verdict[0]


def test_its_figures_have_no_interval_and_are_marked_as_its_own(family):
    def verify(path, label):
        return OWN[label]

    found = find(family, scorer=Recording("judge", [], 0.0), verify_scorer=verify, budget=2)
    plain = found.to_dict()
    assert plain["verified"] == {"value": 1.0, "scorer": verify.__qualname__}
    for row in plain["kept"]:
        assert not {"lower", "upper"} & {*row}
        assert row["kept"] == 1.0
        assert row["own_score"] == row["merged_score"] == OWN[row["model"]]
    assert "there is no interval" in plain["judged"]
    assert "merge's score" in found._repr_html_().replace("&#x27;", "'").replace("&#39;", "'")


def test_without_one_the_figure_is_said_to_be_too_good_perhaps(family):
    found = find(family, scorer=Recording("judge", [], 0.0), budget=2)
    assert found.verified is None
    assert "by the scorer, on what the merge was chosen by, and may be too good" in found.verdict[0]
    assert "nothing was held back from it" in found.judged
    rows = found.to_dict()["kept"]
    assert all("kept" not in row for row in rows)
    assert {row["model"]: row["seen"] for row in rows} == found.tried.iloc[0]["kept"]
    assert "kept (scorer)" in found._repr_html_()


def test_the_search_is_the_same_with_and_without(family, judge, verifier):
    plain = find(family, scorer=judge.command, budget=4)
    checked = find(family, scorer=judge.command, verify_scorer=verifier.command, budget=4)
    columns = ["members", "recipe", "measured", "value", "certainty"]
    assert plain.path[columns].equals(checked.path[columns])
    assert plain.chosen == checked.chosen


def test_what_is_required_must_hold_by_it(family, judge, verifier, tmp_path):
    given = {"scorer": judge.command, "verify_scorer": verifier.command, "budget": 3}
    given |= {"keep": ("a", "b"), "require": {"*": 0.85}}
    found = find(family, **given, out=tmp_path / "merged")
    assert found.believed > 0.95
    assert found.advice == "do not merge"
    assert "every model at least 0.85" in found.verdict[0]
    assert not (tmp_path / "merged").exists()
    verifier.write(0.05)
    found = find(family, **given, out=tmp_path / "merged")
    assert found.advice == "merge"
    assert found.verified.kept == pytest.approx([0.9, 0.9375])


def test_all_that_is_written_has_its_scores(family, judge, verifier, tmp_path):
    found = find(
        family,
        scorer=judge.command,
        verify_scorer=verifier.command,
        budget=2,
        keep=("a", "b"),
        out=tmp_path / "merged",
    )
    folder = tmp_path / "merged"
    told = json.loads((folder / "search.json").read_text())
    assert told["verified"] == {"value": found.verified.value, "scorer": verifier.command}
    assert [row["merged_score"] for row in told["kept"]] == pytest.approx([0.4, 0.7])
    record = json.loads((folder / "mergecast.json").read_text())
    assert record["search"]["verified"] == told["verified"]
    for name in ("README.md", "search.html"):
        text = (folder / name).read_text()
        assert verifier.command in text
        assert "0.875" in text
        assert "there is no interval" in text


def test_its_scores_are_kept_under_its_words_and_files(family, judge, verifier, tmp_path):
    given = {"scorer": judge.command, "budget": 2, "cache": tmp_path / "work"}
    find(family, verify_scorer=verifier.command, **given)
    asked, judged = len(verifier.asked), len(judge.asked)
    assert asked == 5
    find(family, verify_scorer=verifier.command, **given)
    assert (len(verifier.asked), len(judge.asked)) == (asked, judged)
    find(family, verify_scorer=f"{verifier.command} --split test", **given)
    assert (len(verifier.asked), len(judge.asked)) == (2 * asked, judged)
    verifier.write(0.2)
    found = find(family, verify_scorer=verifier.command, **given)
    assert (len(verifier.asked), len(judge.asked)) == (3 * asked, judged)
    own = np.array([OWN[label] for label in found.members])
    assert found.verified.kept == pytest.approx((own - 0.2) / own)


def test_where_it_fails_on_the_merge_the_search_goes_on_from_there(
    family, judge, verifier, tmp_path
):
    given = {"scorer": judge.command, "verify_scorer": verifier.command, "budget": 3}
    verifier.broken.touch()
    with pytest.raises(
        UsageError, match="verification scorer on '.' ended with 3: no such"
    ) as told:
        find(family, **given, out=tmp_path / "merged")
    assert str(told.value).startswith("verification of ")
    assert f"what was done is kept in {tmp_path / 'merged.search'}" in str(told.value)
    assert not (tmp_path / "merged").exists()
    judged, asked = len(judge.asked), [*verifier.asked]
    verifier.broken.unlink()
    found = find(family, **given, out=tmp_path / "merged")
    assert len(judge.asked) == judged
    assert verifier.asked[len(asked) :] == [(label, True) for label in found.members]


def test_without_a_cache_a_failed_verification_leaves_one(
    family, judge, verifier, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    given = {"scorer": judge.command, "verify_scorer": verifier.command, "budget": 2}
    find(family, **given)
    assert [*(tmp_path / "temporary").iterdir()] == []
    verifier.broken.touch()
    with pytest.raises(UsageError, match="search the same way again with the cache") as told:
        find(family, **given)
    [folder] = (tmp_path / "temporary").iterdir()
    assert str(folder) in str(told.value)
    judged = len(judge.asked)
    verifier.broken.unlink()
    find(family, **given, cache=folder)
    assert len(judge.asked) == judged


def test_a_function_that_fails_on_the_merge_is_told_what_is_kept(family, tmp_path):
    def verify(path, label):
        if "heads" in str(path):
            raise RuntimeError("out of memory")
        return 0.5

    judge = Recording("judge", [], 0.0)
    with pytest.raises(UsageError, match="^verification of .* raised RuntimeError: out") as told:
        find(family, scorer=judge, verify_scorer=verify, budget=2, cache=tmp_path / "work")
    assert f"kept in {tmp_path / 'work'} (but for scores by a function" in str(told.value)


@pytest.mark.parametrize(
    ("verify", "said"),
    [
        (lambda path, label: float("nan"), "verification scorer on 'a': gave nan"),
        ("echo nan {model}", "printed .* which is no number"),
        ("sh -c 'echo nan' {model}", "verification scorer on 'a': gave nan"),
        ("false {model}", "verification scorer on 'a': ended with 1"),
        ("no-such-program {model}", "verification scorer: cannot be run"),
        ("echo 3", "verification scorer: 'echo 3' names no model"),
        ("echo 'a {model}", "No closing quotation"),
    ],
)
def test_one_that_is_broken_is_known_before_anything_is_run(family, verify, said, monkeypatch):
    monkeypatch.setattr("mergecast.api.search.gathered_forecast", never)
    with pytest.raises(UsageError, match=said):
        find(family, scorer=lambda path, label: 1.0, verify_scorer=verify)


def test_a_scorer_that_is_broken_is_known_before_anything_is_run_too(family, monkeypatch):
    monkeypatch.setattr("mergecast.api.search.gathered_forecast", never)
    with pytest.raises(UsageError, match="^scorer on 'a': ended with 1"):
        find(family, scorer="false {model}")


def test_it_needs_a_scorer_and_is_another(family, monkeypatch):
    monkeypatch.setattr("mergecast.api.search.open_family", never)
    with pytest.raises(UsageError, match="verify_scorer: given without a scorer"):
        find(family, verify_scorer="echo {model}")
    same = Recording("judge", [], 0.0)
    for one, other in ((same, same), ("echo {model}  {task}", "echo '{model}' {task}")):
        with pytest.raises(UsageError, match="verify_scorer: is the scorer itself"):
            find(family, scorer=one, verify_scorer=other)


def test_an_own_score_of_nothing_ends_the_search_before_it_begins(family, merges):
    asked = []
    with pytest.raises(UndefinedError, match="the verification scorer gives it 0.0"):
        find(
            family,
            scorer=Recording("judge", asked, 0.0),
            verify_scorer=lambda path, label: 0.5 * (label != "b"),
        )
    assert not any(merged for _, merged, _ in asked)


def test_a_model_that_is_set_aside_is_no_fault_of_a_scorer(tmp_path):
    states = tiny_states("abcd")
    states["d"]["up.weight"][0, 0] = float("nan")
    paths = {label: tmp_path / f"{label}.safetensors" for label in states}
    for label, state in states.items():
        write_safetensors(paths[label], state)
    family = Family.open(paths.pop("base"), paths)

    def score(path, label):
        return float("nan") if label == "d" else OWN[label]

    def verify(path, label):
        return score(path, label)

    found = find(family, scorer=score, verify_scorer=verify, budget=2, tasks=tiny_tasks("abcd"))
    assert "d" in found.refused
    assert found.verified.kept == pytest.approx([1.0, 1.0])


def never(*args, **given):
    raise AssertionError("something was run")
