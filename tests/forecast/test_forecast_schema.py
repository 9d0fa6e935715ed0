import json

import pytest

from mergecast.errors import UsageError
from mergecast.forecast.file import read_forecaster
from mergecast.forecast.forecaster import Forecaster


def linear(**term):
    known = {"name": "a", "coefficient": 1, "mean": 0, "scale": 1, "low": 0, "high": 0}
    return {"kind": "linear", "intercept": 0, "reach": 0, "terms": [known | term]}


@pytest.fixture
def stored(make_suite, tmp_path):
    path = Forecaster.fit(*make_suite(n_tasks=4), "ridge").save(tmp_path / "f.json")
    return path, json.loads(path.read_text())


def test_the_file_names_its_schema_and_what_it_has_seen(stored):
    _, data = stored
    assert (data["schema_name"], data["schema_version"]) == ("mergecast.forecaster", 4)
    assert data["training"]["tasks"] == ["t00", "t01", "t02", "t03"]
    assert data["training"]["suites"] == ["toy"]
    model = data["tiers"]["all"]["ties"]
    assert set(model["validation"]) == {"constant", "ridge"}
    assert {q["level"] for q in model["residual_quantiles"]} == {0.5, 0.8, 0.9, 0.95}
    assert model["model"]["kind"] == "linear"
    terms = model["model"]["terms"]
    assert set(terms[0]) == {"name", "coefficient", "mean", "scale", "low", "high", "fades"}
    # A metric that is constant in training moves nothing, but its range is known.
    assert [term["name"] for term in terms] == ["cosine", "reach"]
    assert [feature["name"] for feature in model["features"]] == ["cosine", "flat", "reach"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[1, 2]", "not a forecaster file: schema_name is None"),
        ('{"schema_name": "mergecast.report"}', "schema_name is 'mergecast.report'"),
        ('{"a": NaN}', "not valid JSON: NaN is not allowed"),
        ('{"schema_name": "mergecast.forecaster"}', "field schema_version: Field required"),
        (
            '{"schema_name": "mergecast.forecaster", "schema_version": 9, '
            '"mergecast_version": "4"}',
            r"schema version 9 \(mergecast 4\) is newer than 4, the last known; upgrade",
        ),
        (
            '{"schema_name": "mergecast.forecaster", "schema_version": 1, '
            '"mergecast_version": "0"}',
            r"schema version 1 \(mergecast 0\) is older than 2; fit it again",
        ),
    ],
)
def test_a_bad_file_is_refused_in_one_line_that_names_it(text, message, tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"bad.json: .*{message}") as caught:
        read_forecaster(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": linear() | {"intercept": "high"}}, "tiers.all.ties.model.intercept"),
        ({"n_pairs": 1e999}, "not valid JSON|finite"),
        ({"surprise": 1}, "tiers.all.ties.surprise"),
        ({"model": linear() | {"surprise": 1}}, "tiers.all.ties.model.surprise"),
        ({"model": linear(scale=0)}, "tiers.all.ties.model.terms.0.scale: .* greater than 0"),
        ({"model": linear(low=1)}, "term 'a' has low above high"),
        ({"features": [{"name": "a", "low": 1, "high": 0}]}, "'a' has low above high"),
        ({"model": {"terms": []}}, "tiers.all.ties.model: .*is no stored model: it has no kind"),
        ({"model": {"kind": "tree"}},
         "tiers.all.ties.model: kind 'tree' of stored models: no predictor of this installation "
         "has it; install the package that brings it"),
    ],
)  # fmt: skip
def test_a_field_that_breaks_the_schema_is_named(change, message, stored):
    path, data = stored
    data["tiers"]["all"]["ties"] |= change
    path.write_text(json.dumps(data))
    with pytest.raises(UsageError, match=message):
        read_forecaster(path)


def test_a_missing_file_a_folder_and_bytes_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no such file; write one with `mergecast fit`"):
        read_forecaster(tmp_path / "absent.json")
    with pytest.raises(UsageError, match="is a folder"):
        read_forecaster(tmp_path)
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not valid JSON"):
        read_forecaster(tmp_path / "b.json")
