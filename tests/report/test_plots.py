import pytest

from mergecast.report import plots


def row(predicted, measured, lower=None, upper=None, inside=None, member="a", method="ties"):
    return {
        "left": "a", "right": "b", "method": method, "member": member, "predicted": predicted,
        "measured": measured, "lower": lower, "upper": upper, "inside": inside,
    }  # fmt: skip


def test_an_exact_forecast_lies_on_the_diagonal():
    point = plots.scatter([row(0.8, 0.8)], (0.5, 1.0))["points"][0]
    assert float(point["x"]) + float(point["y"]) == pytest.approx(plots.SIDE, abs=0.11)


def test_intervals_are_drawn_and_counted_only_where_there_are_any():
    rows = [row(0.8, 0.9, 0.7, 1.0, True), row(0.8, 0.6, 0.7, None, False), row(0.7, 0.7)]
    panel = plots.scatter(rows, (0.5, 1.0))
    assert (panel["n_inside"], panel["n_intervals"]) == (1, 2)
    assert panel["intervals"].count("M") == 2


def test_members_without_a_number_are_counted_not_drawn():
    panel = plots.scatter([row(None, 0.9), row(0.9, None), row(0.9, 0.9)], (0.5, 1.0))
    assert (len(panel["points"]), panel["n_left_out"]) == (1, 2)


def test_marks_of_several_methods_say_which():
    rows = [row(0.8, 0.9), row(0.8, 0.9, method="dare")]
    points = plots.scatter(rows, (0.5, 1.0), by_method=True)["points"]
    assert [point["label"] for point in points] == [
        f"a in a + b by {method}: forecast 0.800, measured 0.900" for method in ("ties", "dare")
    ]
    [one] = plots.scatter(rows[:1], (0.5, 1.0))["points"]
    assert one["label"] == "a in a + b: forecast 0.800, measured 0.900"


def test_values_beyond_the_domain_stay_in_the_picture():
    point = plots.scatter([row(-3.0, 9.0)], (0.5, 1.0))["points"][0]
    assert (float(point["x"]), float(point["y"])) == (plots.MARGIN, 8.0)


def entry(measured):
    members = [row(0.7, measured), row(0.9, measured, member="b")]
    return {"left": "a", "right": "b", "predicted": 0.8, "measured": measured, "members": members}


def test_a_map_mirrors_measured_below_and_forecast_above():
    cells = plots.heatmap([entry(0.6)], ["a", "b"], (0.5, 1.0))["cells"]
    assert [cell["label"] for cell in cells] == ["a + b, measured: 0.600", "a + b, forecast: 0.800"]
    assert [(cell["x"], cell["y"]) for cell in cells] == [(0, 120), (120, 0)]


def test_without_outcomes_a_cell_is_what_the_row_keeps():
    cells = plots.heatmap([entry(None)], ["a", "b"], (0.5, 1.0))["cells"]
    assert [cell["label"] for cell in cells] == ["a + b, a: 0.700", "a + b, b: 0.900"]
    assert [(cell["x"], cell["y"]) for cell in cells] == [(120, 0), (0, 120)]


def test_a_missing_value_has_no_colour():
    gone = entry(0.6) | {"predicted": None}
    cells = plots.heatmap([gone], ["a", "b"], (0.5, 1.0))["cells"]
    assert cells[1]["fill"] is None
    assert cells[1]["label"].endswith("no value")


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.95, None], (0.8, 1.0)), ([0.31, 1.04], (0.3, 1.1)), ([], (0.8, 1.0)), ([0.0], (0.0, 1.0))],
)
def test_domain_holds_all_values_and_one(values, expected):
    assert plots.domain_of(values) == pytest.approx(expected)


@pytest.mark.parametrize("domain", [(0.8, 1.0), (0.3, 1.1), (0.0, 1.0), (0.0, 7.3)])
def test_ticks_are_few_and_inside(domain):
    found = plots.ticks(domain)
    assert 3 <= len(found) <= 7
    assert domain[0] <= found[0]
    assert found[-1] <= domain[1]


def test_colours_run_from_dark_to_light():
    def lightness(colour):
        r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    steps = [lightness(step["fill"]) for step in plots.scale((0.5, 1.0))]
    assert steps == sorted(steps)
    assert plots.colour(7.0, (0.5, 1.0)) == plots.colour(1.0, (0.5, 1.0))


def test_a_frame_puts_values_between_its_axes_and_cuts_what_lies_beyond():
    frame = plots.Frame((0.0, 2.0), (0.5, 1.0), width=112.0, height=92.0)
    assert (frame.left, frame.right, frame.top, frame.bottom) == (46, 100, 12, 62)
    assert (frame.x(0), frame.x(1), frame.x(2), frame.x(9)) == (46, 73, 100, 100)
    assert (frame.y(0.5), frame.y(0.75), frame.y(1.0), frame.y(0.0)) == (62, 37, 12, 62)
    assert frame.line([0, 1], [0.5, 1]) == "M46.0 62.0L73.0 12.0"
    assert frame.line([], []) == ""
    assert frame.ticks_y[0] == {"at": 62, "text": "0.5"}


@pytest.mark.parametrize(
    ("value", "ink"), [(0.0, "#fff"), (0.4, "#fff"), (0.8, "#000"), (1, "#000")]
)
def test_numbers_are_written_in_what_contrasts_most(value, ink):
    assert plots.ink(value, (0.0, 1.0)) == ink


@pytest.mark.parametrize("domain", [(0.9, 1.1), (0.96, 1.02), (0.3, 1.1)])
def test_axes_are_labelled_with_the_values_at_their_ticks(domain):
    texts = [tick["text"] for tick in plots.scatter([], domain)["ticks"]]
    assert [float(text) for text in texts] == pytest.approx(plots.ticks(domain))
