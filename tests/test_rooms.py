"""The house as ARCHITECTURE.md draws it: every import against its table of rooms."""

from __future__ import annotations

import subprocess
import sys

from imports import arrows, circles, modules, reach, room_of, table_of_rooms

#: Arrows against the table that wait for a room to be finished. This list only shrinks.
KNOWN: set[tuple[str, str]] = set()
#: Files whose circles wait for the same.
KNOWN_CIRCLES = {"mergecast.suites.digits.suite"}

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
    assert sorted(against - KNOWN) == []


def test_no_two_files_import_each_other():
    graph: dict[str, set[str]] = {}
    for arrow in arrows():
        if not arrow.for_types:
            graph.setdefault(arrow.importer, set()).add(arrow.imported)
    assert [found for found in circles(graph) if not KNOWN_CIRCLES & {*found}] == []


def test_nor_do_they_for_the_eyes_of_type_checkers():
    graph: dict[str, set[str]] = {}
    for arrow in arrows():
        graph.setdefault(arrow.importer, set()).add(arrow.imported)
    assert [found for found in circles(graph) if not KNOWN_CIRCLES & {*found}] == []


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}, "e": {"f"}, "f": {"g"}, "g": {"e"}}
    assert circles(graph) == [("b", "c"), ("e", "f", "g")]


def test_nothing_right_of_the_tables_imports_torch():
    names = [module for module in modules() if room_of(module) in RIGHT_OF_THE_TABLES]
    code = f"import sys; [__import__(name) for name in {names}]; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
