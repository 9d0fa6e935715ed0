"""What a search says of merges that keep too little, and refuses."""

from __future__ import annotations

import json
from html import unescape

import numpy as np
import pytest
from search_case import find

from mergecast.search import merged as merged_module
from mergecast.search import worth
from mergecast.suites.evaluate import evaluate_single
from mergecast.testing.tiny import tiny_family, tiny_tasks


@pytest.fixture
def family(tmp_path):
    return tiny_family(tmp_path)


def test_a_merge_that_keeps_less_than_the_base_is_not_advised(family, tmp_path, monkeypatch):
    given = {"keep": ("a", "b"), "cache": tmp_path / "work"}
    found = find(family, **given)
    with merged_module.Session(family, tiny_tasks()) as session:
        shares = []
        for label in "ab":
            scores = evaluate_single(session, label)
            base, own = (scores[key]["values"]["score"] for key in ("base", "single"))
            shares.append(base / own)
    assert found.base_kept == pytest.approx(shares)
    assert [row["base"] for row in found.to_dict()["kept"]] == pytest.approx(shares)
    # As much as the base is no loss, and less is.
    monkeypatch.setattr(merged_module.MergeJudge, "base", lambda *_: found.verified.kept)
    assert find(family, **given).advice == "merge"
    better = found.verified.kept + np.array([0.0, 0.05])
    monkeypatch.setattr(merged_module.MergeJudge, "base", lambda *_: better)
    refused = find(family, out=tmp_path / "merged", **given)
    assert refused.advice == "do not merge"
    kept = found.verified.kept[1]
    assert refused.verdict[0].startswith(
        f"Do not merge: the best merge that was found keeps less of b than the base does "
        f"({kept:.3f} of its own score, the base {kept + 0.05:.3f} with its head). The best one"
    )
    assert refused.to_dict()["lost"] == {"b": "less than the base"}
    assert not (tmp_path / "merged").exists()
    unknown = np.full(2, np.nan)
    monkeypatch.setattr(merged_module.MergeJudge, "base", lambda *_: unknown)
    assert find(family, **given).advice == "merge"


def test_the_page_and_the_card_say_who_keeps_too_little(family, tmp_path, monkeypatch):
    monkeypatch.setattr(worth, "THRESHOLD", 1.3)
    found = find(family, keep=("a", "b"), out=tmp_path / "merged")
    assert "less than 130% of their own scores: keep these apart" in found.verdict[1]
    assert f"a keeps {found.verified.kept[0]:.3f} and b " in found.verdict[1]
    told = json.loads((tmp_path / "merged" / "search.json").read_text())
    assert (told["below"], told["verdict"]) == (["a", "b"], found.verdict)
    assert found.verdict[1] in (tmp_path / "merged" / "README.md").read_text()
    page = unescape((tmp_path / "merged" / "search.html").read_text())
    assert found.verdict[1] in page
    assert "The best merge there is, at a loss" in page
