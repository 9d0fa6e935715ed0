import pytest
from rich.console import Console

from mergecast.report.table import Table, blocks, number, percent, show, wrapped

HEADS = ["method", "partner_mean", "additive_plus_warm", "layerwise_effective_rank"]
ROWS = [["task_arithmetic", "0.123", "-0.456", "0.789"], None, ["mean", "–", "1.000", "0.5"]]


def printed(width, *arguments, **options):
    console = Console(width=width, force_terminal=False, highlight=False, markup=False)
    with console.capture() as capture:
        show(console, [Table(*arguments, **options)])
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


def test_a_long_cell_stands_in_lines_beside_its_numbers():
    names = wrapped("at-least-five + left-half + mirrored", 20)
    assert names == "at-least-five +\nleft-half + mirrored"
    lines = printed(40, "t", ["set", "kept"], [[names, "0.8"]]).splitlines()
    assert [" ".join(line.split()) for line in lines[-2:]] == [
        "at-least-five + 0.8",
        "left-half + mirrored",
    ]


def test_headings_stand_just_above_the_rule():
    lines = printed(80, "t", ["a long heading", "short"], [["x", "1"]]).splitlines()
    assert "heading" in lines[-3]
    assert "short" in lines[-3]


def test_a_sentence_is_one_line_in_a_pipe():
    console = Console(width=40, force_terminal=False, highlight=False, markup=False)
    with console.capture() as capture:
        show(console, ["word " * 30])
    assert capture.get().count("\n") == 1


def test_undefined_numbers_are_dashes():
    assert [number(None), number(float("nan")), percent(float("nan"))] == ["–"] * 3
    assert number(None, signed=True) == "–"


def test_numbers_as_people_read_them():
    assert (number(-0.1234), number(0.5, 1), number(-0.001, 2)) == ("−0.123", "0.5", "0.00")
    assert number(0.12345, 2, signed=True) == "+0.12"
    assert number(-0.02, signed=True) == "−0.020"
    assert percent(0.256) == "26%"
    assert percent(0.5, 1) == "50.0%"
