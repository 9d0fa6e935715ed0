import pytest
from rich.console import Console

from mergecast.cli.tables import blocks, number, percent, print_table, say

HEADS = ["method", "partner_mean", "additive_plus_warm", "layerwise_effective_rank"]
ROWS = [["task_arithmetic", "0.123", "-0.456", "0.789"], None, ["mean", "–", "1.000", "0.5"]]


def printed(width, *arguments, **options):
    console = Console(width=width, force_terminal=False, highlight=False, markup=False)
    with console.capture() as capture:
        print_table(console, *arguments, **options)
    return capture.get()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_word_is_broken_and_no_cell_is_lost_at_any_width(width):
    lines = printed(width, "title", HEADS, ROWS).splitlines()
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    for word in ("task_arithmetic", "partner_", "additive_", "effective_", "0.123", "1.000"):
        assert word in text
    assert "…" not in text


def test_what_does_not_fit_stands_below_with_its_row_names():
    wide, narrow = (printed(width, "title", HEADS, ROWS) for width in (120, 40))
    assert wide.count("task_arithmetic") == 1
    assert narrow.count("task_arithmetic") == 2


def test_a_narrow_gap_saves_a_second_block():
    rows = [["a" * 10, "1" * 10, "2" * 9]]
    assert printed(40, "t", ["x", "y", "z"], [["a" * 20, "1" * 10, "2" * 8]]).count("aa") == 10
    assert "a" * 10 + "  " + "1" * 10 in printed(40, "t", ["x", "y", "z"], rows)


def test_every_block_has_a_column_even_where_none_fits():
    assert blocks([10, 50, 50], keys=1, width=40) == [[0, 1], [0, 2]]
    assert blocks([10], keys=1, width=40) == [[0]]


def test_text_in_square_brackets_is_text():
    assert "0.5 [0.1, 0.9]" in printed(80, "t", ["a", "b"], [["x", "0.5 [0.1, 0.9]"]])
    assert printed(80, "t", ["a", "b"], []) == ""


def test_a_sentence_is_one_line_in_a_pipe():
    console = Console(width=40, force_terminal=False, highlight=False, markup=False)
    with console.capture() as capture:
        say(console, "word " * 30)
    assert capture.get().count("\n") == 1


def test_undefined_numbers_are_dashes():
    assert [number(None), number(float("nan")), percent(float("nan"))] == ["–"] * 3
    assert number(0.12345, 2, signed=True) == "+0.12"
    assert number(-0.001, 2) == "0.00"
    assert percent(0.5) == "50.0 %"
