import numpy as np
import pandas as pd

from mergecast.tables.show import as_html, as_text


def test_the_head_of_a_table_and_how_much_more_there_is():
    frame = pd.DataFrame(np.arange(60.0).reshape(6, 10), columns=[f"c{k}" for k in range(10)])
    assert as_text(["what it is"], frame, rows=2, columns=3).splitlines() == [
        "what it is",
        " c0  c1  c2",
        "  0   1   2",
        " 10  11  12",
        "… 4 more rows, 7 more columns",
    ]
    assert "more" not in as_text([], frame, rows=6, columns=10)


def test_what_is_missing_is_no_number():
    assert "nan" not in as_text([], pd.DataFrame({"a": [np.nan, 0.123456]})).lower()
    assert "0.1235" in as_text([], pd.DataFrame({"a": [np.nan, 0.123456]}))


def test_a_long_line_is_folded_and_html_is_escaped():
    frame = pd.DataFrame({"a": ["<i>"]})
    text = as_text(["word " * 50], frame)
    assert max(map(len, text.splitlines())) <= 100
    page = as_html(["<b>"], frame)
    assert "<b>" not in page
    assert "<i>" not in page
    assert "&lt;b&gt;" in page


def test_notes_come_after_the_table_as_far_as_they_fit():
    frame = pd.DataFrame({"a": [1.0]})
    lines = as_text([], frame, notes=["one", "word " * 80]).splitlines()
    assert lines[2] == "one"
    assert len(lines) == 5
    assert lines[-1].endswith(" …")
    many = as_text([], frame, notes=[f"note {k}" for k in range(20)])
    assert many.splitlines()[-1] == "… 12 more"
    assert "&lt;b&gt;" in as_html([], frame, notes=["<b>"])
