"""Scorers that fail on a merge, when single models went well."""

from __future__ import annotations

import numpy as np
import pytest

from mergecast.errors import FamilyError, UsageError
from mergecast.evidence.session import Session
from mergecast.evidence.settings import ProbeSettings
from mergecast.merging import Recipe
from mergecast.search import scorer as scorer_module
from mergecast.search.candidates import Candidate
from mergecast.search.command import Command
from mergecast.search.scorer import ScorerJudge, Scoring
from mergecast.testing.tiny import tiny_family

MERGE = Candidate(("a", "b"), Recipe("task_arithmetic"), "task_arithmetic")


@pytest.fixture
def session(tmp_path):
    settings = ProbeSettings(cache=tmp_path / "work")
    with Session(tiny_family(tmp_path), None, settings) as found:
        yield found


def of_merges(does):
    """A function that gives single models 1, and does something else on merges."""
    return lambda path, label: does(path) if "heads" in str(path) else 1.0


def script(folder, lines):
    """A command that gives single models 1, and runs other lines on merges."""
    path = folder / "score.sh"
    path.write_text(f"case $1 in */heads/*) {lines};; *) echo 1;; esac\n")
    return Command(f"sh {path} {{model}}")


def raising(error):
    def does(path):
        raise error

    return does


def judged(session, scorer):
    judge = ScorerJudge(session, Scoring(scorer), lambda: "go on there")
    return judge.see([(MERGE, 1)])[0]


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (lambda path: np.nan, "gave nan, of type float; let it give a finite number, as a float"),
        (lambda path: None, "gave None, of type NoneType; let it"),
        (raising(KeyError("acc")), "raised KeyError: 'acc'; see to of_merges.<locals>.<lambda>"),
        (raising(RuntimeError), "raised RuntimeError; see to"),
        (raising(FamilyError("x", "is bad")), "raised FamilyError: x: is bad; see to"),
    ],
)
def test_a_function_that_fails_on_a_merge_names_it_and_what_to_do(session, does, said):
    with pytest.raises(UsageError) as told:
        judged(session, of_merges(does))
    head = "a+b by task_arithmetic(scaling=0.3): scorer on 'a' "
    assert str(told.value).startswith(head + said)
    assert str(told.value).endswith(", and go on there")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("echo loading >&2; echo no layer >&2; echo >&2; exit 3", "ended with 3: no layer; "),
        ("echo it broke; exit 1", "ended with 1: it broke; run it by hand, and go on there"),
        ("exit 1", "ended with 1: it said nothing; "),
        ("true", "printed nothing; print the score as the last line, and go on there"),
        ("echo nan", "gave nan, of type float; "),
        (r"printf '\377\n'", "printed '\ufffd' last, which is no number; "),
    ],
)
def test_a_command_that_fails_on_a_merge_names_it_and_what_to_do(session, tmp_path, lines, said):
    with pytest.raises(UsageError) as told:
        judged(session, script(tmp_path, lines))
    assert str(told.value).startswith(
        f"a+b by task_arithmetic(scaling=0.3): scorer on 'a' {said}".rstrip()
    )


def test_what_a_function_raised_is_the_cause_on_models_and_on_merges(session):
    error = RuntimeError("out of memory")
    for scorer in (lambda path, label: raising(error)(path), of_merges(raising(error))):
        with pytest.raises(UsageError, match="scorer on 'a'.* raised RuntimeError: out") as told:
            judged(session, scorer)
        assert told.value.__cause__ is error


def test_an_interrupted_function_is_interrupted(session):
    with pytest.raises(KeyboardInterrupt):
        judged(session, of_merges(raising(KeyboardInterrupt())))


def test_a_merge_that_cannot_be_made_is_no_fault_of_the_scorer(session, monkeypatch):
    broken = raising(FamilyError("up.weight", "is not finite"))
    monkeypatch.setattr(scorer_module, "write_merge", lambda *args, **options: broken(args))
    seen = judged(session, lambda path, label: 1.0)
    assert seen == "it cannot be made: up.weight: is not finite"
