"""The laws of a predictor, checked on synthetic rows of pairs whose outcome has a cause."""

from __future__ import annotations

from functools import cache, cached_property
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from mergecast.errors import UndefinedError
from mergecast.forecast.estimators.predictors import PREDICTORS, Predictor
from mergecast.forecast.estimators.stored import StoredModel
from mergecast.forecast.rows import IDENTITY
from mergecast.forecast.training import TrainingRows
from mergecast.testing.check import Laws, expect
from mergecast.typing import Floats

_TASKS = [f"t{number}" for number in range(8)]
_SUITE = "toy"


def check_predictor(name: str) -> None:
    """Run every common test of a predictor, and of its stored form where it has one.

    Parameters
    ----------
    name : str
        What it is registered as.

    Raises
    ------
    AssertionError
        It breaks a law; the message says which and how.
    UsageError
        No such predictor.

    Examples
    --------
    >>> check_predictor("ridge")
    """
    for check in LAWS.of(name, Trial(PREDICTORS.get(name))):
        check()


class Trial:
    """A predictor fitted on synthetic rows that have the metrics it needs."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.rows = _rows(tuple(x for one in predictor.alternatives for x in one))

    @cached_property
    def fitted(self) -> Any:
        """Fitted once."""
        return self.fit()

    def fit(self) -> Any:
        """Fitted anew, from seed 0 where it draws numbers."""
        return self.predictor.seeded(0).make().fit(self.rows.X.copy(), self.rows.y.copy())

    def predict(self, X: pd.DataFrame) -> Floats:
        """What the fitted estimator says, held to one finite number a row."""
        numbers = self.fitted.predict(X)
        shape = getattr(numbers, "shape", None)
        expect(shape == (len(X),), f"it gave {type(numbers).__name__} of shape {shape}")
        expect(bool(np.isfinite(numbers).all()), "it gave NaN or infinity")
        return np.asarray(numbers, dtype=np.float64)

    @property
    def strangers(self) -> pd.DataFrame:
        """The same rows, of models that nobody has heard of."""
        X = self.rows.X
        return X.assign(member="new " + X["member"], partner="new " + X["partner"])

    @cached_property
    def stored(self) -> StoredModel | None:
        """The fit as a file gives it back; None where there is no form."""
        form = self.predictor.stored
        if form is None:
            return None
        return form.model_validate_json(form.of(self.fitted, self.rows).model_dump_json())


def it_is_an_estimator_of_scikit_learn(trial: Trial) -> None:
    """Made anew each time, with parameters that a clone shares."""
    made = trial.predictor.make()
    expect(made is not trial.predictor.make(), "it makes the same object twice")
    same = clone(made).get_params().keys() == made.get_params().keys()
    expect(same, "a clone has other parameters")
    expect(bool(trial.predictor.summary), "has no summary")


def it_gives_a_finite_number_for_every_row(trial: Trial) -> None:
    """The same one each time it is fitted, and however many rows it is asked about."""
    X = trial.rows.X
    whole = trial.predict(X)
    expect(np.allclose(whole, trial.fit().predict(X), atol=1e-9), "a second fit says other things")
    pairs = [trial.predict(X.iloc[start : start + 2]) for start in range(0, len(X), 2)]
    together = np.allclose(np.concatenate(pairs), whole, atol=1e-9)
    expect(together, "what it says of a pair depends on the other pairs asked about")


def it_alters_nothing_that_it_is_given(trial: Trial) -> None:
    """Rows are other predictors' input as well."""
    X, y = trial.rows.X.copy(), trial.rows.y.copy()
    trial.predictor.make().fit(X, y).predict(X)
    same = X.equals(trial.rows.X) and np.array_equal(y, trial.rows.y)
    expect(same, "it wrote into the rows that it was given")


def new_models_have_a_forecast_unless_it_is_warm(trial: Trial) -> None:
    """Only what is declared warm may need outcomes of a model that it knows by name."""
    try:
        trial.predict(trial.strangers)
    except UndefinedError:
        expect(trial.predictor.warm, "declared cold, it has no forecast of new models")


def what_is_stored_says_the_same(trial: Trial) -> None:
    """Through a file, of known models and of strangers, by the metrics that it needs alone."""
    stored = trial.stored
    if stored is None:
        return
    X = trial.rows.X
    expect(set(stored.needs) <= set(X.columns), "it needs metrics that it was not fitted on")
    needed = X[[*IDENTITY, *stored.needs]]
    numbers, reasons = stored.predict(needed, _SUITE)
    expect(np.allclose(numbers, trial.predict(X), atol=1e-9), "read from a file it says otherwise")
    expect(len(reasons) == len(X), f"it gives reasons of {len(reasons)} rows of {len(X)}")
    if not trial.predictor.warm:
        others = np.allclose(stored.predict(needed)[0], trial.predict(trial.strangers), atol=1e-9)
        expect(others, "read from a file it says otherwise of models that it does not know")


def a_row_without_a_metric_has_no_number(trial: Trial) -> None:
    """One that the stored form needs; the other rows keep theirs."""
    stored = trial.stored
    if stored is None or not stored.needs:
        return
    holed = trial.rows.X.copy()
    holed.loc[holed.index[0], stored.needs[0]] = np.nan
    whole, _ = stored.predict(trial.rows.X, _SUITE)
    partial, _ = stored.predict(holed, _SUITE)
    expect(bool(np.isnan(partial[0])), f"without {stored.needs[0]!r} a row has a number")
    rest = np.allclose(partial[1:], whole[1:], atol=1e-12)
    expect(rest, "a row without a metric changes what it says of others")


LAWS: Laws[Predictor, Trial] = Laws(
    PREDICTORS,
    (
        it_is_an_estimator_of_scikit_learn,
        it_gives_a_finite_number_for_every_row,
        it_alters_nothing_that_it_is_given,
        new_models_have_a_forecast_unless_it_is_warm,
        what_is_stored_says_the_same,
        a_row_without_a_metric_has_no_number,
    ),
    Trial,
)


@cache
def _rows(needs: tuple[str, ...]) -> TrainingRows:
    """Two rows a pair of eight tasks: retention follows one metric, the member and noise."""
    draw = np.random.default_rng(0)
    own = dict(zip(_TASKS, draw.normal(0, 0.03, len(_TASKS)), strict=True))
    ordered = [pair for a, b in _pairs() for pair in ((a, b), (b, a))]
    X = pd.DataFrame(ordered, columns=["member", "partner"])
    X.insert(0, "suite", _SUITE)
    for name in sorted({*needs, "overlap", "reach", "size"}):
        X[name] = draw.uniform(0.2, 0.9, len(X))
    cause = next(iter(needs), "reach")
    y = 0.6 + 0.3 * X[cause] + X["member"].map(own) + 0.005 * draw.normal(size=len(X))
    keys = pd.DataFrame([(*sorted(pair), pair[0]) for pair in ordered])
    keys = keys.set_axis(["left", "right", "member"], axis=1)
    keys.insert(0, "suite", _SUITE)
    return TrainingRows(X, y.to_numpy(dtype=float), keys)


def _pairs() -> list[tuple[str, str]]:
    return [pair for pair in permutations(_TASKS, 2) if pair[0] < pair[1]]
