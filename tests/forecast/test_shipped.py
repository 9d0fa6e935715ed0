import pytest

from mergecast.errors import UsageError
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.shipped import find_forecaster, shipped_forecasters
from mergecast.forecast.validation.evaluate import evaluate
from synthetic_suite import build_suite


@pytest.fixture(scope="module")
def fitted():
    return Forecaster.fit(*build_suite(n_tasks=5), predictor="constant")


@pytest.fixture
def data(tmp_path, fitted):
    for name in ("zoo", "suites"):
        fitted.save(tmp_path / "data" / f"{name}.json")
    return tmp_path / "data"


def test_names_are_those_of_the_files(data):
    assert shipped_forecasters(data) == ["suites", "zoo"]


def test_a_name_a_file_or_the_default(data, fitted):
    assert find_forecaster("zoo", data) == ("zoo", data / "zoo.json")
    assert find_forecaster(None, data)[0] == "suites"
    path = data / "zoo.json"
    assert find_forecaster(path, data) == (str(path), path)
    loaded = Forecaster.load(path)
    assert loaded.name == str(path)
    assert loaded.file == fitted.file


def test_one_door_for_shipped_names_and_files():
    shipped = Forecaster.load("suites")
    assert shipped.name == "suites"
    assert Forecaster.load().file == shipped.file
    assert shipped.only(["ties"]).name == "suites"


def test_what_is_not_there_is_said(data, tmp_path):
    with pytest.raises(UsageError, match=r"'zo': unknown; give a file or one of: suites, zoo"):
        find_forecaster("zo", data)
    with pytest.raises(UsageError, match="no such file"):
        Forecaster.load("absent/zoo")
    with pytest.raises(UsageError, match="none comes with this installation"):
        find_forecaster(None, tmp_path / "empty")


def test_a_fit_that_takes_over_an_evaluation_is_the_same_fit():
    tables = build_suite(n_tasks=5)
    validation = evaluate(*tables, protocol="l2to")
    assert Forecaster.fit(*tables, validation=validation).file == Forecaster.fit(*tables).file


def test_a_fit_refuses_the_evaluation_of_other_tables():
    tables = build_suite(n_tasks=5)
    with pytest.raises(UsageError, match="evaluate the same tables under l2to"):
        Forecaster.fit(*tables, validation=evaluate(*build_suite(n_tasks=6), protocol="l2to"))
    with pytest.raises(UsageError, match=r"validation \(loto\)"):
        Forecaster.fit(*tables, validation=evaluate(*tables, protocol="loto"))
    other = evaluate(*build_suite(n_tasks=5, suite="other"), protocol="l2to")
    with pytest.raises(UsageError, match="evaluate the same tables"):
        Forecaster.fit(*tables, validation=other)
