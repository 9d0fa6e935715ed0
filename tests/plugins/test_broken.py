"""Packages whose plug-ins are broken: an error of every command that looks, with their names."""

from __future__ import annotations

import pytest

from mergecast.cli.main import run

METHOD = """
from mergecast.merging import merging_method

@merging_method({name!r}, reference="an example")
def kernel(block):
    '''A method.'''
    return {result}
"""
METRIC = """
from mergecast.evidence import metric

@metric({name!r}, family="task_vector", tier="weights", symmetric=True, range=(0, 1), source="x")
def value(pair):
    '''A metric.'''
    return {result}
"""


@pytest.fixture
def paths(family_paths):
    base, models = family_paths
    return [str(base), *map(str, models[:2])]


def refused(arguments, capsys):
    """The one line of error that a command ends with."""
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            "import a_package_that_is_not_there",
            "does not load: ModuleNotFoundError: No module named 'a_package_that_is_not_there'; "
            "mend the package or uninstall it",
        ),
        (
            METHOD.format(name="ties", result="block.deltas[0]"),
            "merging method 'ties': registered by package 'mergecast' "
            "(in mergecast.merging.methods.sparse) and again by package 'bad' (in bad)",
        ),
        (
            "import mergecast",
            "registers no merging method",
        ),
    ],
)
def test_every_command_that_looks_for_methods_says_what_is_wrong(
    install, paths, tmp_path, capsys, source, problem
):
    install("bad-methods", {"bad": source}, {"mergecast.merging_methods:worst": "bad"})
    merge = ["merge", *paths, "-o", str(tmp_path / "out"), "--method"]
    for arguments in (["merge", "--help"], [*merge, "ties"], [*merge, "worst"]):
        error = refused(arguments, capsys)
        assert "plug-in 'worst' (mergecast.merging_methods: bad) of package 'bad-methods'" in error
        assert problem in error
    assert not (tmp_path / "out").exists()


def test_a_broken_metric_stops_the_pair_table(install, paths, tmp_path, capsys):
    install("bad-metrics", {"bad": "1 / 0"}, {"mergecast.metrics:worst": "bad"})
    table = tmp_path / "pairs.csv"
    for _ in range(2):
        error = refused(["metrics", *paths, "-o", str(table)], capsys)
        assert "plug-in 'worst' (mergecast.metrics: bad) of package 'bad-metrics': " in error
    assert not table.exists()


def test_a_format_that_claims_the_files_of_another_is_named(install, paths, capsys):
    source = """
from mergecast.checkpoints.checkpoint import FORMATS, CheckpointFormat

FORMATS.add("greedy", CheckpointFormat("greedy", lambda path: True, lambda path, base: None))
"""
    install("bad-formats", {"bad": source}, {"mergecast.checkpoint_formats:worst": "bad"})
    assert run(["check", *paths]) == 4
    error = capsys.readouterr().err
    assert "is claimed by formats 'safetensors' of package 'mergecast' and 'greedy' of" in error


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        ("block.deltas", "returned shape"),
        ("None", "returned NoneType"),
        ("block.base * float('nan')", "returned NaN"),
    ],
)
def test_what_a_method_must_not_return_is_named_with_its_package(
    install, paths, tmp_path, capsys, result, problem
):
    source = METHOD.format(name="worst", result=result)
    install("bad-methods", {"bad": source}, {"mergecast.merging_methods:worst": "bad"})
    arguments = ["merge", *paths, "--method", "worst", "-o", str(tmp_path / "out")]
    assert f"merging method 'worst' of package 'bad': {problem}" in refused(arguments, capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("result", "problem"),
    [("2.0", "is 2.0, not in its range"), ("'much'", "is 'much', not in its range")],
)
def test_what_a_metric_must_not_return_is_named_with_its_package(
    install, paths, tmp_path, capsys, result, problem
):
    source = METRIC.format(name="worst", result=result)
    install("bad-metrics", {"bad": source}, {"mergecast.metrics:worst": "bad"})
    assert run(["metrics", *paths, "-o", str(tmp_path / "pairs.csv")]) != 0
    error = capsys.readouterr().err
    assert f"metric 'worst' of a and b: {problem}" in error
    assert "report this defect of the metric to package 'bad'" in error
