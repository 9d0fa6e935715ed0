"""Of what a number of what is kept is a part: scores, or answers where there are no labels."""

from __future__ import annotations

from mergecast.display.kept import Own, kept_table


def row(label, of="score"):
    return {
        "model": label,
        "of": of,
        "forecast": 0.9,
        "seen": 0.8,
        "kept": 0.8,
        "lower": 0.7,
        "upper": 0.9,
    }


def test_with_labels_it_is_scores_and_nothing_else_is_said():
    own = Own({"a": True, "b": True})
    assert (own.each, own.all) == ("its own score", "their own scores")
    assert own.meaning == "the merge's score on its task over its own"
    assert own.caution == ""


def test_without_any_it_is_answers_and_never_scores():
    own = Own({"a": False, "b": False})
    assert (own.each, own.all) == ("its own answers", "their own answers")
    assert own.meaning == "the share of its own answers that the merge gives"
    assert own.caution.startswith("Without labels: the share of a model's own answers")
    assert not [text for text in (own.each, own.all, own.meaning, own.caution) if "score" in text]


def test_those_without_are_named_where_others_have_labels():
    one, two = Own({"a": True, "b": False}), Own({"a": True, "b": False, "c": False})
    assert one.all == "their own scores (b: of its own answers)"
    assert two.title == "What each model keeps of its own score (b, c: of their own answers)"
    assert one.meaning.endswith("; of b, without labels, the share of its own answers that the "
                                "merge gives")  # fmt: skip
    assert two.caution.startswith("Of b, c, without labels, the share of their own answers")


def test_the_table_is_called_by_what_its_rows_are_of():
    titles = [
        kept_table({"verified": {}, "kept": rows}).title
        for rows in ([row("a")], [row("a", "answers")], [row("a"), row("b", "answers")])
    ]
    assert titles == [
        "What each model keeps of its own score",
        "What each model keeps of its own answers",
        "What each model keeps of its own score (b: of its own answers)",
    ]
