"""One word, one meaning, one default: every option of every command, and of its Python call."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from typer.models import OptionInfo

import mergecast as mc
from mergecast.api.metrics import measure
from mergecast.cli.main import app, run
from mergecast.cli.options import Objective, parse_parameters, parse_weights, tuned_by
from mergecast.errors import UsageError

#: What each command writes is its own: the word and its short form are one, not the help.
OUTPUT = "--out"


@dataclass(frozen=True)
class Option:
    """An option of a command as its function declares it."""

    command: str
    word: str
    names: tuple[str, ...]
    type: object
    default: object
    help: str


def commands(of=app, name=""):
    """Every command by its name, with its function."""
    for info in of.registered_commands:
        yield f"{name}{info.name or info.callback.__name__}", info.callback
    for group in of.registered_groups:
        yield from commands(group.typer_instance, f"{name}{group.name} ")


def options():
    """Every option of every command."""
    found = []
    for name, function in commands():
        parameters = inspect.signature(function).parameters
        for word, hint in get_type_hints(function, include_extras=True).items():
            given = [i for i in getattr(hint, "__metadata__", ()) if isinstance(i, OptionInfo)]
            for info in given:
                # Under Annotated, typer's first argument is a name too, and no default.
                given_names = {*(info.param_decls or ()), info.default} - {...}
                names = tuple(sorted(given_names or {f"--{word.replace('_', '-')}"}))
                kind, default = get_args(hint)[0], parameters[word].default
                found.append(Option(name, word, names, kind, default, info.help))
    return found


def test_every_command_is_walked():
    names = {name for name, _ in commands()}
    assert {"check", "metrics", "merge", "fit", "evaluate", "forecast", "report"} <= names
    assert {"reproduce", "demo", "bench list", "bench run", "bench status"} <= names
    assert len(options()) > 80


def test_an_option_is_the_same_wherever_it_stands():
    first = {}
    for option in options():
        if OUTPUT in option.names:
            continue
        for name in option.names:
            other = first.setdefault(name, option)
            assert replace(option, command=other.command) == other


def test_an_option_is_called_as_the_call_s_argument():
    words = {(name, option.word) for option in options() for name in option.names}
    assert len(words) == len({name for name, _ in words})


@pytest.mark.parametrize(
    ("option", "default"),
    [("--seed", 0), ("--calibration", None), ("--workers", 2), ("--batch-size", 32)],
)
def test_defaults_that_were_agreed(option, default):
    assert {found.default for found in options() if option in found.names} == {default}


def test_outputs_have_one_name():
    assert {found.names for found in options() if OUTPUT in found.names} == {("--out", "-o")}


#: Options that are lists on the command line, one value at a time, have a plural in Python.
PLURAL = {
    "recipe": "recipes",
    "method": "methods",
    "predictor": "predictors",
    "merge_param": "merge_params",
    "suite_param": "suite_params",
}
#: What is not of the call: where and how results are shown, Python's own words, and what is a call
#: of its own (`mc.analyse`, `mc.unseen_suites`).
SHOWN = {
    "json",
    "mergekit",
    "out",
    "pair",
    "plot",
    "verbose",
    "plan",
    "report",
    "analysis",
    "default",
    "sensitivity",
}
CALLS = {
    "check": mc.check,
    "metrics": measure,
    "explain": mc.explain,
    "forecast": mc.forecast,
    "measure": mc.measure,
    "fit": mc.fit,
    "evaluate": mc.evaluate,
    "report": mc.report,
    "demo": mc.demo,
    "outcomes": mc.outcomes,
    "reproduce": mc.reproduce,
    "search": mc.search,
    "bench run": mc.run_suite,
    "tasks check": mc.check_tasks,
    "tasks init": mc.draft_tasks,
}


@pytest.mark.parametrize("name", CALLS)
def test_a_command_and_its_python_call_have_the_same_words_and_defaults(name):
    call = inspect.signature(CALLS[name]).parameters
    for option in options():
        if option.command != name or option.word in SHOWN:
            continue
        word = option.word if option.word in call else PLURAL[option.word]
        if (name, word) == ("fit", "predictor"):  # one, though the option may stand repeatedly
            assert (call[word].default, option.default) == ("auto", None)
            continue
        assert (call[word].default or None) == (option.default or None), (name, word)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("forecast base a --set-size 3", "option --set-size: no longer known; it is --sets now"),
        ("bench run digits-14 -o x --sets 3", "--sets: no longer known; it is --n-sets now"),
        ("bench run digits-14 -o x --methods ties", "it is --method now"),
        ("bench run digits-14 -o x --tasks parity", "it is --only now"),
        ("fit runs --output x.json", "it is --out now"),
        ("evaluate runs --tasks x", "No such option: --tasks; see mergecast --help"),
        ("merge base a -o out --method ties --method dare", "--method: given 2 times; give one of"),
        ("merge base a -o out", "--method: not given; name one"),
        ("fit runs -o x.json --predictor ridge --predictor lasso", "--predictor: given 2 times"),
    ],
)
def test_a_word_of_before_is_answered_with_the_one_of_now(arguments, said, capsys):
    assert run(arguments.split()) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not Path("out").exists()


@pytest.mark.parametrize("objective", [one.value for one in Objective])
def test_a_strength_is_chosen_by_the_mean_or_the_worst_and_nothing_else(objective, capsys):
    if objective in ("mean", "worst"):
        assert tuned_by(Objective(objective)) == objective
        return
    merge = ["merge", "--method", "ties", "--scaling", "auto", "--objective", objective]
    assert run([*merge, "base", "a", "b", "--tasks", "t.yaml", "-o", "out"]) == 2
    said = f"--objective {objective}: is for search; say mean or worst, or use mergecast search"
    assert said in capsys.readouterr().err


def test_labels_of_files_are_spelt_as_they_are():
    given = "epoch=3-step=100=.6, b=1e-1"
    assert parse_weights(given) == {"epoch=3-step=100": 0.6, "b": 0.1}
    assert parse_parameters(["name=a=b"]) == {"name": "a=b"}
    for wrong in ("a", "a=1,b", "=1"):
        with pytest.raises(UsageError, match="is not k=v; write --weights a=.6,b=.4"):
            parse_weights(wrong)
