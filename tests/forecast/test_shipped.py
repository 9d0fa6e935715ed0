import pytest

from mergecast.errors import UsageError
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.shipped import load_forecaster, shipped_forecasters
from mergecast.forecast.validation.evaluation import evaluate
from synthetic_suite import build_suite


@pytest.fixture(scope="module")
def fitted():
    return Forecaster.fit(*build_suite(n_tasks=5), predictor="constant")


@pytest.fixture
def data(tmp_path, fitted):
    for name in ("zoo", "digits-14"):
        fitted.save(tmp_path / "data" / f"{name}.json")
    return tmp_path / "data"


def test_names_are_those_of_the_files(data):
    assert shipped_forecasters(data) == ["digits-14", "zoo"]


def test_a_name_a_file_or_the_default(data, fitted):
    assert load_forecaster("zoo", data)[0] == "zoo"
    assert load_forecaster(None, data)[0] == "digits-14"
    name, loaded = load_forecaster(data / "zoo.json", data)
    assert name == str(data / "zoo.json")
    assert loaded.file == fitted.file


def test_what_is_not_there_is_said(data, tmp_path):
    with pytest.raises(UsageError, match=r"'zo': unknown; give a file or one of: digits-14, zoo"):
        load_forecaster("zo", data)
    with pytest.raises(UsageError, match="no such file"):
        load_forecaster("absent/zoo", data)
    with pytest.raises(UsageError, match="none comes with this installation"):
        load_forecaster(None, tmp_path / "empty")


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
