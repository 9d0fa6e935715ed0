"""Every example runs as its readers run it: a process of its own, warnings being errors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
RUNNER = Path(__file__).with_name("notebook_runner.py")
#: What each script must have said at its end: the step that its reader came for.
SAYS = {
    "a_method_of_your_own": [r"norm_gap", r"clipped_avg\(within=1.5\) of 3 models keeps 0\.\d+",
                             r"Forecast: 3 pairs, 1 merging methods, by forecaster in memory"],
    "learn_from_merges": [r"4 measured merges of this family used", r"additive_plus +-?0\.\d",
                          r"mine\.json"],
    "search_under_a_budget": [r"search\s+never\s+touched", r"model\.safetensors"],
    "weights_alone": [r"usable: inverted, loops", r"No forecast for 15 of 15 pairs"],
    "with_samples": [r"6 pairs (can|should) be merged", r"forecast 0\.\d+\n"],
}  # fmt: skip


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Where the examples are started: the first one makes the models, as for a reader."""
    return tmp_path_factory.mktemp("examples")


def run(work, *arguments):
    inherited = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    paths = os.pathsep.join([str(EXAMPLES), *inherited])
    done = subprocess.run(
        [sys.executable, "-W", "error", *map(str, arguments)],
        cwd=work,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sorted(SAYS))
def test_a_script_says_what_it_was_written_for(work, name):
    said = run(work, EXAMPLES / f"{name}.py")
    for pattern in SAYS[name]:
        assert re.search(pattern, said), said


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(work, path):
    pytest.importorskip("matplotlib", reason="the notebooks draw (mergecast[plot])")
    said = run(work, RUNNER, path)
    forms = re.findall(r"^(_repr_\w+_|repr|nothing)\b", said, flags=re.MULTILINE)
    assert "_repr_png_" in forms
    assert forms.count("_repr_html_") >= 3
    assert "\\x89PNG" in said


def test_notebooks_are_stored_without_outputs():
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
        assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_the_readme_has_one_line_for_each_and_nothing_is_untested():
    named = re.findall(r"^- \[`([\w.]+)`\]\(\1\)", (EXAMPLES / "README.md").read_text(), re.M)
    there = {path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".ipynb"}}
    assert len(named) == len(set(named))
    assert set(named) == there - {"small_models.py"}
    assert {name.removesuffix(".py") for name in named if name.endswith(".py")} == set(SAYS)
