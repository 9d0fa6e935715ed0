"""A report as Markdown: what the terminal says, and nothing in a name is markup."""

import pytest
from test_html import HOSTILE, forecast_summary, run_summary

from mergecast.report.markdown import as_markdown, escaped, render_markdown
from mergecast.report.table import Table


def test_a_forecast_says_what_to_do_and_has_one_row_a_pair():
    text = render_markdown(forecast_summary())
    assert text.startswith("# 1 of 3 pairs can be merged\n")
    rows = [line for line in text.splitlines() if line.startswith("| a + ")]
    assert rows[0] == "| a + b | ties | 0.950 | a 0.95 \\[0.85, 1.05\\] |"
    assert "- Keep apart: a + c" in text
    assert "- next: mergecast merge --method ties base.safetensors" in text


def test_a_run_has_its_methods():
    text = render_markdown(run_summary())
    assert "| ties | 0.87 ± 0.09 | 0.83 ± 0.13 |" in text


@pytest.mark.parametrize("make", [run_summary, forecast_summary])
def test_hostile_names_stay_text(make):
    names = tuple(sorted((*HOSTILE[1:], "<script>|**x**")))
    text = render_markdown(make(names))
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "**x**" not in text
    header = next(line for line in text.splitlines() if line.startswith("| pair"))
    for row in (line for line in text.splitlines() if " + " in line and line.startswith("| ")):
        assert row.replace("\\|", "").count("|") == header.count("|")


def test_a_table_keeps_its_order_and_loses_its_rules():
    table = Table("t", ["x", "y"], [["a", "1"], None, ["b\nc", "2"]], caption="one\ntwo")
    assert as_markdown("h", ["before", table, "", "after"]).splitlines() == [
        "# h", "", "- before", "", "**t**", "", "| x | y |", "|:---|---:|", "| a | 1 |",
        "| b c | 2 |", "", "one", "", "two", "", "- after",
    ]  # fmt: skip


def test_what_markdown_reads_is_escaped():
    assert escaped("a_b [c](d) <e> `f` | #g") == "a\\_b \\[c\\](d) \\<e\\> \\`f\\` \\| \\#g"
