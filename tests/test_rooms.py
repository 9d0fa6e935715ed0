"""The house as ARCHITECTURE.md draws it: every import against its table of rooms."""

from __future__ import annotations

import subprocess
import sys

import pytest

from imports import arrows, circles, modules, reach, room_of, table_of_rooms

RIGHT_OF_THE_TABLES = ("tables", "forecast", "analysis", "paper", "report")


def test_every_room_stands_in_the_table_and_every_row_is_a_room():
    rooms = {room_of(module) for module in modules()}
    rows = set(table_of_rooms())
    assert rooms == rows


def test_no_row_leads_back_to_its_own_room():
    uses = table_of_rooms()
    assert not [room for room, reached in reach(uses).items() if room in reached]
    assert not {name for used in uses.values() for name in used} - set(uses)


def test_no_arrow_runs_against_the_table():
    allowed = reach(table_of_rooms())
    against = {
        (arrow.importer, arrow.imported)
        for arrow in arrows()
        if (room := room_of(arrow.importer)) != (other := room_of(arrow.imported))
        and other not in allowed[room]
    }
    assert sorted(against) == []


def test_no_two_files_import_each_other():
    graph: dict[str, set[str]] = {}
    for arrow in arrows():
        if not arrow.for_types:
            graph.setdefault(arrow.importer, set()).add(arrow.imported)
    assert circles(graph) == []


def test_nor_do_they_for_the_eyes_of_type_checkers():
    graph: dict[str, set[str]] = {}
    for arrow in arrows():
        graph.setdefault(arrow.importer, set()).add(arrow.imported)
    assert circles(graph) == []


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}, "e": {"f"}, "f": {"g"}, "g": {"e"}}
    assert circles(graph) == [("b", "c"), ("e", "f", "g")]


def imported(code: str) -> set[str]:
    """The heavy packages that a program of its own has imported at its end."""
    program = f"import sys\n{code}\nprint(*{{'torch', 'pandas', 'sklearn'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_nothing_right_of_the_tables_imports_torch():
    names = [module for module in modules() if room_of(module) in RIGHT_OF_THE_TABLES]
    assert "torch" not in imported(f"[__import__(name) for name in {names}]")


REGISTRIES = {
    "mergecast.checkpoints.checkpoint": "FORMATS",
    "mergecast.evidence.kind": "EVIDENCE",
    "mergecast.evidence.metric": "METRICS",
    "mergecast.forecast.estimators.predictors": "PREDICTORS",
    "mergecast.forecast.validation.protocols": "PROTOCOLS",
    "mergecast.merging.method": "METHODS",
    "mergecast.suites.suite": "SUITES",
}


def test_names_are_listed_without_torch():
    lines = [f"from {module} import {name}; assert {name}.names()"
             for module, name in REGISTRIES.items()]  # fmt: skip
    assert "torch" not in imported("\n".join(lines))


@pytest.mark.parametrize("command", ["--help", "merge --help", "bench list", "metrics --help"])
def test_commands_that_list_and_help_import_nothing_heavy(command):
    run = f"from mergecast.cli.main import run; assert run({command.split()}) == 0"
    assert imported(run) == set()


def test_metrics_of_weights_import_no_torch(family_paths, tmp_path):
    base, models = family_paths
    arguments = ["metrics", str(base), *map(str, models), "-o", str(tmp_path / "pairs.csv")]
    run = f"from mergecast.cli.main import run; assert run({arguments}) == 0"
    assert "torch" not in imported(run)
