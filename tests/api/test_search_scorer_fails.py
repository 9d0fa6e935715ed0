"""Searches whose scorer fails in the middle: they end at once, and go on where they were."""

from __future__ import annotations

import pytest
from search_case import find

from mergecast.errors import UsageError
from mergecast.testing.tiny import tiny_family


@pytest.fixture
def family(tmp_path):
    return tiny_family(tmp_path)


class Failing:
    """A real script that fails on the n-th score of a merge while a file is there."""

    def __init__(self, folder, at):
        self.broken, self.log, script = folder / "broken", folder / "log", folder / "score.sh"
        self.broken.touch()
        self.log.touch()
        script.write_text(
            f"case $1 in */heads/*) echo $1 >> {self.log};; esac\n"
            f"if [ -f {self.broken} ] && [ $(wc -l < {self.log}) -ge {at} ]; then\n"
            "  echo loading >&2; echo no such layer >&2; exit 3\nfi\n"
            "echo 0.5\n"
        )
        self.command = f"sh {script} {{model}} {{task}}"

    @property
    def asked(self):
        """How often it was asked of a merge."""
        return len(self.log.read_text().splitlines())


def search(family, scorer, **options):
    return find(family, scorer=scorer, methods="task_arithmetic", size=2, **options)


def test_a_search_whose_command_fails_goes_on_where_it_was(family, tmp_path):
    scorer, work = Failing(tmp_path, at=3), tmp_path / "work"
    with pytest.raises(UsageError) as told:
        search(family, scorer.command, budget=3, cache=work)
    said = str(told.value)
    assert " by task_arithmetic(scaling=0.3): scorer on '" in said.replace("0.300", "0.3")
    assert "ended with 3: no such layer; run it by hand, and search the same way again" in said
    assert f"what was done is kept in {work} (scores too, unless the scorer's words" in said
    assert scorer.asked == 3  # the first merge's two, and the one that failed: no more
    scorer.broken.unlink()
    found = search(family, scorer.command, budget=3, cache=work)
    assert scorer.asked == 3 + 2 * (len(found.tried) - 1)


def test_without_a_cache_one_is_left_to_go_on_from(family, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    scorer = Failing(tmp_path, at=3)
    with pytest.raises(UsageError, match="search the same way again with the cache") as told:
        search(family, scorer.command, budget=2)
    [folder] = (tmp_path / "temporary").iterdir()
    assert str(folder) in str(told.value)
    scorer.broken.unlink()
    found = search(family, scorer.command, budget=2, cache=folder)
    assert scorer.asked == 3 + 2 * (len(found.tried) - 1)


def test_a_function_that_fails_is_told_that_its_scores_are_not_kept(family, tmp_path):
    asked = []

    def score(path, label):
        asked.append(label)
        return float("nan") if len(asked) > 5 else 0.5

    with pytest.raises(UsageError, match=r" by task_arithmetic.*: scorer on '.' gave nan") as told:
        search(family, score, budget=3, cache=tmp_path / "work")
    assert str(told.value).endswith(
        f"kept in {tmp_path / 'work'} (but for scores by a function, which are not stored: it is "
        "asked again)"
    )
    assert len(asked) == 6
