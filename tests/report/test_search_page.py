"""A search as a page, a card and a screen: the same data, and nothing in it is markup."""

from __future__ import annotations

import copy

import pytest
import yaml
from search_page_case import found_by_a_scorer, found_search
from test_html import HOSTILE, Page

from mergecast.display.notebook import as_html
from mergecast.report.model_card import model_card
from mergecast.report.search_page import path_curve, render_search_page
from mergecast.report.table import Table
from mergecast.search.shown import search_parts


@pytest.fixture
def found():
    return found_search()


def test_the_page_says_what_was_found_tried_and_left_out(found):
    page = Page(render_search_page(found))
    text = " ".join(page.text)
    for words in (found["verdict"][0], "0.940 to 0.980", "a+c", "d: it cannot be read", "87%"):
        assert words in text
    assert found["untried"][0]["why"] in text
    assert "The merge worth making" in text
    assert "No merge worth making" in " ".join(
        Page(render_search_page({**found, "advice": "do not merge"})).text
    )


def test_the_page_is_headed_by_what_the_merge_is_worth(found):
    def heading(**told):
        return " ".join(Page(render_search_page({**found, **told})).text)

    assert "The merge worth making" in heading()
    assert "The best merge there is, at a loss" in heading(below=["b"])
    assert "No merge worth making" in heading(below=["b"], advice="do not merge")


def test_without_labels_neither_page_nor_card_speaks_of_scores(found):
    for one in found["kept"]:
        one["of"] = "answers"
    page = " ".join(Page(render_search_page(found)).text)
    for text in (page, model_card(found)):
        assert "What each model keeps of its own answers" in text
        assert "own score" not in text
    assert "is the share of its own answers that the merge gives : 1 is" in page.replace(":", " :")
    found["kept"][0]["of"] = "score"
    page = " ".join(Page(render_search_page(found)).text)
    assert "of b, without labels, the share of its own answers" in page
    assert "## What each model keeps of its own score (b: of its own answers)" in model_card(found)


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


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_in_a_notebook(found, name):
    found["kept"][0]["model"] = found["tried"][0]["members"] = name
    page = Page(as_html(search_parts(found)))
    assert not page.all("script")
    assert name in " ".join(page.text)
    assert "What each model keeps of its own score" in " ".join(page.text)


def test_without_a_verification_the_scorer_is_named(found):
    judged = {**found, "verified": None, "samples": {}, "judged": "The scorer is the judge."}
    rows = [("a", 0.94, 0.955), ("b", 0.93, None)]
    judged["kept"] = [{"model": x, "forecast": told, "seen": seen} for x, told, seen in rows]
    assert "scorer is the judge" in " ".join(Page(render_search_page(judged)).text)
    assert "kept (scorer)" in " ".join(Page(render_search_page(judged)).text)
    assert "scorer is the judge" in model_card(judged)
    assert "| a | a/ | 0.940 | 0.955 | – |" in model_card(judged)
    # How many samples it took nobody here knows: its runs are counted.
    parts = search_parts(judged)
    assert any("runs of the scorer" in part for part in parts if isinstance(part, str))
    assert all("samples" not in part.headings for part in parts if isinstance(part, Table))


def test_a_scorer_that_verified_is_shown_with_its_scores_and_no_interval():
    found = found_by_a_scorer()
    page, card = " ".join(Page(render_search_page(found)).text), model_card(found)
    assert "| a | a/ | 0.940 | 0.960 | 31.25 | 30 |" in card
    assert "Verification scorer: `./eval.sh {model} {task}`" in card
    for words in ("own score", "merge's score", "there is no interval", "31.25", "./eval.sh"):
        assert words in page
        assert words in card
    assert "| interval |" not in card
    parts = search_parts(found)
    kept = next(part for part in parts if isinstance(part, Table))
    assert [*kept.headings] == ["model", "forecast", "kept", "own score", "merge's score"]
    assert kept.rows[0] == ["a", "0.940", "0.960", "31.25", "30"]
    assert found["judged"] in parts
    assert "Verification scorer: ./eval.sh {model} {task}" in parts


@pytest.mark.parametrize("by", ["score `{model}` <script>", "``x` {model}\n# y"])
def test_a_command_is_text_on_the_page_and_in_the_card(by):
    found = found_by_a_scorer(by)
    page = Page(render_search_page(found))
    assert [tag for tag, _ in page.tags if tag == "script"] == ["script"]
    assert " ".join(by.split()) in " ".join(" ".join(page.text).split())
    [line] = [x for x in model_card(found).splitlines() if x.startswith("Verification scorer")]
    fence = line.removeprefix("Verification scorer: ").split(" ", 1)[0]
    assert set(fence) == {"`"}
    assert fence not in " ".join(by.split())
    assert line.endswith(f" {' '.join(by.split())} {fence}")


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
