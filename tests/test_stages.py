"""No code of a stored computation changes without its version being thought of.

``python tests/test_stages.py`` writes down the code and versions of today: run it when a version
was raised, or when the code of a stage changed and no number can have moved.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import mergecast
from mergecast.merging import METHODS
from mergecast.runtime.stage import Stage, tree_digest
from mergecast.suites.described.described_suite import DescribedSuite
from mergecast.suites.suite import SUITES

RECORD = Path(__file__).with_name("stages.json")
ACCEPT = "python tests/test_stages.py"


@cache
def declared() -> dict[str, tuple[Stage, str]]:
    """Every stage by name, with the place where its version stands."""
    stages: dict[str, tuple[Stage, str]] = {}
    for info in pkgutil.walk_packages(mergecast.__path__, "mergecast."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for value in vars(module).values():
            if isinstance(value, Stage) and (place := _place(value, module)):
                stages[value.name] = (value, place)
    for method in METHODS:
        if method.package == "mergecast":
            _, line = inspect.getsourcelines(method.kernel)
            stages[method.stage.name] = (method.stage, f"{method.kernel.__module__}:{line}")
    for suite in (*SUITES, DescribedSuite()):
        module_name = type(suite).__module__
        if module_name.startswith("mergecast."):
            stages[suite.stage.name] = (suite.stage, f"{module_name}, an attribute of the class")
    return dict(sorted(stages.items()))


def _place(stage: Stage, module: ModuleType) -> str:
    """Module and line that declare a stage; empty where the module only imports it."""
    source = inspect.getsource(module)
    found = re.search(rf'\bStage\(\s*"{re.escape(stage.name)}"', source)
    return f"{module.__name__}:{source.count(chr(10), 0, found.start()) + 1}" if found else ""


def code_of(stage: Stage) -> str:
    """Digest of the code of a stage's modules; words and layout do not count."""
    sources = [inspect.getsource(importlib.import_module(name)) for name in stage.modules]
    return tree_digest(*map(ast.parse, sources))


def problems(recorded: dict[str, dict[str, object]]) -> list[str]:
    """A line for every stage that is not as it was written down."""
    lines = []
    for name, (stage, place) in declared().items():
        before = recorded.get(name)
        if before is None:
            lines.append(f"stage {name!r} ({place}) is new: {ACCEPT}")
        elif before["version"] != stage.version:
            lines.append(
                f"stage {name!r} went from version {before['version']} to {stage.version}: {ACCEPT}"
            )
        elif before["code"] != code_of(stage):
            lines.append(
                f"stage {name!r}: code changed in {' or '.join(stage.modules)}, its version "
                f"{stage.version} did not. A number may move: raise it ({place}). None can: "
                f"{ACCEPT}"
            )
    lines += [f"stage {name!r} is gone: {ACCEPT}" for name in recorded.keys() - declared().keys()]
    return lines


def test_versions_are_raised_when_code_changes():
    assert problems(json.loads(RECORD.read_text())) == []


def test_a_change_of_code_is_told_with_where_the_version_stands_and_how_to_accept():
    recorded = json.loads(RECORD.read_text())
    recorded["forms"]["code"] = "another"
    recorded["merge"]["version"] += 1
    recorded["older"] = recorded.pop("weights")
    lines = {line.partition("'")[2].partition("'")[0]: line for line in problems(recorded)}
    assert "code changed in mergecast.evidence.retention.forms" in lines["forms"]
    assert "raise it (mergecast.evidence.retention.forms:" in lines["forms"]
    assert lines["forms"].endswith("None can: python tests/test_stages.py")
    assert f"went from version {recorded['merge']['version']} to" in lines["merge"]
    assert "is new" in lines["weights"]
    assert "is gone" in lines["older"]
    assert len(lines) == 4


def test_every_stage_that_is_used_is_written_down():
    names = declared().keys()
    for stage, _ in declared().values():
        assert stage.versions().keys() <= names, stage.name


def accept() -> None:
    """Write down today's versions and code."""
    record = {
        name: {"version": stage.version, "code": code_of(stage)}
        for name, (stage, _) in declared().items()
    }
    lines = [f"{json.dumps(name)}: {json.dumps(record[name])}" for name in record]
    RECORD.write_text("{\n " + ",\n ".join(lines) + "\n}\n")
    print(f"{len(record)} stages written to {RECORD}")


if __name__ == "__main__":
    accept()
