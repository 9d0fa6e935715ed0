"""Inputs as people have them."""

from __future__ import annotations

import pytest

import mergecast as mc
from mergecast.api.inputs import open_family, refuse_table
from mergecast.errors import FamilyError, UsageError
from mergecast.testing.tiny import tiny_family, tiny_tasks


def test_the_tasks_heads_are_set_aside_in_a_family_that_shares_them(tmp_path):
    family = tiny_family(tmp_path)
    tasks = tiny_tasks()
    assert open_family(family, None) is family
    for task in tasks.values():
        task.private = ("head.*", "down.*")
    apart = open_family(family, None, tasks=tasks)
    assert set(family.shared) - set(apart.shared) == {"down.bias", "down.weight"}
    assert {e.name for e in apart.private} == {e.name for e in family.private} | {
        "down.bias",
        "down.weight",
    }
    assert apart.names == family.names
    with pytest.raises(FamilyError, match=r"no shared parameter outside \*; name task heads alone"):
        family.without("*")


def test_tasks_of_models_that_are_not_there_set_nothing_aside(tmp_path):
    """A file of tasks may be of a whole zoo; one odd entry had left layers unmerged."""
    tiny_family(tmp_path)
    tasks = tiny_tasks()
    tasks["c"].private = ("head.*", "down.*")
    paths = [tmp_path / f"{label}.safetensors" for label in "ab"]
    opened = open_family(tmp_path / "base.safetensors", paths, tasks=tasks)
    assert "down.weight" in opened.shared
    of_all = tiny_family(tmp_path)
    assert "down.weight" not in open_family(of_all, None, tasks=tasks).shared
    assert "down.weight" in open_family(of_all.subset(["a", "b"]), None, tasks=tasks).shared


def test_tasks_of_a_file_and_of_what_is_neither(probe_family, tmp_path):
    built = probe_family("cnn")
    assert mc.load_tasks(str(built.tasks_file)).keys() == {"first", "second", "third"}
    with pytest.raises(UsageError, match="holds no suite run"):
        mc.load_tasks(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        mc.load_tasks(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", ["pairs.parquet", "x/outcomes.csv"])
def test_a_table_is_no_place_for_anything_else(name):
    with pytest.raises(UsageError, match="as tables do; give another file name"):
        refuse_table(name)
