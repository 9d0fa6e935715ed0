"""A search as a page, a card and a screen: the same data, and nothing in it is markup."""

from __future__ import annotations

import copy

import pytest
import yaml
from test_html import HOSTILE, Page

from mergecast.report.model_card import model_card
from mergecast.report.search_page import path_curve, render_search_page
from mergecast.report.search_terminal import search_parts
from mergecast.report.table import Table


def step(look, measured, value):
    return {
        "look": look,
        "passes": 100.0 * look,
        "seconds": 1.0 * look,
        "members": "a+b",
        "recipe": "ties",
        "samples": 50,
        "measured": measured,
        "best": "a+b by ties",
        "value": value,
        "certainty": 0.5,
    }


@pytest.fixture
def found():
    return {
        "advice": "merge",
        "verdict": ["Merge a, b by ties: it keeps 0.95."],
        "members": ["a", "b"],
        "recipe": {"method": "ties", "params": {"scaling": 0.3}, "weights": {}, "seed": 0},
        "objective": {"kind": "mean", "importance": {}, "required": {}},
        "verified": {"value": 0.95, "lower": 0.93, "upper": 0.97, "level": 0.9, "samples": 200},
        "kept": [
            {"model": "a", "forecast": 0.94, "kept": 0.96, "lower": 0.94, "upper": 0.98},
            {"model": "b", "forecast": 0.93, "kept": 0.94, "lower": 0.92, "upper": 0.96},
        ],
        "believed": 0.951,
        "certainty": 0.87,
        "epsilon": 0.005,
        "ended": "the best is known",
        "cost": {
            "evidence_seconds": 3.0,
            "search_seconds": 4.0,
            "verification_seconds": 1.0,
            "measurements": 2.0,
            "samples": 200.0,
        },
        "samples": {
            x: {"looked": 100, "held": 200, "held_from": "test", "labelled": True} for x in "ab"
        },
        "tried": [
            {
                "members": "a+b",
                "recipe": "ties",
                "forecast": 0.94,
                "measured": 0.95,
                "stderr": 0.01,
                "believed": 0.951,
                "samples": 50,
                "kept": {"a": 0.96, "b": 0.94},
            }
        ],
        "untried": [
            {"members": "a+c", "recipe": "dare", "forecast": 0.9, "believed": 0.9, "sd": 0.03}
        ],
        "path": [step(1, 0.8, 0.93), step(2, 0.95, 0.951)],
        "left_out": ["d: it cannot be read"],
        "warnings": ["few samples"],
        "base": "base/",
        "models": {"a": "a/", "b": "b/", "c": "c/"},
        "out": "merged",
        "mergekit": "mergekit.yml",
    }


def test_the_page_says_what_was_found_tried_and_left_out(found):
    page = Page(render_search_page(found))
    text = " ".join(page.text)
    for words in (found["verdict"][0], "0.940 to 0.980", "a+c", "d: it cannot be read", "87%"):
        assert words in text
    assert "The merge worth making" in text
    assert "No merge worth making" in " ".join(
        Page(render_search_page({**found, "advice": "do not merge"})).text
    )


def test_nothing_is_loaded_from_elsewhere(found):
    page = Page(render_search_page(found))
    assert not [name for name, given in page.tags if "src" in given or name == "link"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_on_the_page_and_in_the_card(found, name):
    hostile = copy.deepcopy(found)
    hostile["members"][0] = hostile["kept"][0]["model"] = name
    hostile["models"][name] = name
    hostile["samples"][name] = hostile["samples"]["a"]
    hostile["tried"][0]["members"] = hostile["path"][0]["members"] = name
    page = Page(render_search_page(hostile))
    assert [tag for tag, _ in page.tags if tag == "script"] == ["script"]
    assert name in " ".join(page.text)
    front = yaml.safe_load(model_card(hostile).split("---")[1])
    assert front["base_model"][1] == name


def test_without_a_verification_the_scorer_is_named(found):
    judged = {**found, "verified": None, "samples": {}}
    judged["kept"] = [{"model": "a", "forecast": 0.94}, {"model": "b", "forecast": 0.93}]
    assert "scorer is the judge" in " ".join(Page(render_search_page(judged)).text)
    assert "scorer was the judge" in model_card(judged)
    assert any("scorer" in part for part in search_parts(judged) if isinstance(part, str))


def test_a_cell_of_the_card_cannot_end_early(found):
    found["kept"][0]["model"] = "a|b\nc"
    found["models"]["a|b\nc"] = "x"
    rows = [line for line in model_card(found).splitlines() if line.startswith("| a")]
    assert rows == ["| a\\|b c | x | 0.940 | 0.960 | 0.940 to 0.980 |"]


def test_the_screen_has_the_verdict_first(found):
    parts = search_parts(found)
    assert parts[0] == found["verdict"][0]
    kept, tried = (part for part in parts if isinstance(part, Table))
    assert kept.rows == [["a", "0.940", "0.960", "0.940 to 0.980"],
                         ["b", "0.930", "0.940", "0.920 to 0.960"]]  # fmt: skip
    assert tried.rows == [["a+b", "ties", "0.940", "0.950", "50"]]


def test_the_path_stays_inside_its_picture(found):
    curve = path_curve(found["path"])
    assert curve["line"].startswith("M46.0 ")
    for dot in curve["dots"]:
        assert 0 <= dot["x"] <= 560
        assert 0 <= dot["y"] <= 240
    assert len(curve["ticks_y"]) > 1
    assert path_curve(found["path"][:1])["line"].count("M") == 1
