"""What a fitted predictor leaves in a forecaster file: plain data that predicts by itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mergecast.typing import Floats

if TYPE_CHECKING:
    import pandas as pd

    from mergecast.forecast.training import TrainingRows

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]

#: What moved one row's number, the most first: dicts of `metric, value, contribution`.
Reasons = list[dict[str, str | float]]


class Strict(BaseModel):
    """A part of the file: nothing extra, nothing infinite, nothing changed."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class StoredModel(Strict, ABC):
    """A fit as it is stored; abstract. Members of the union are told apart by `kind`.

    A subclass declares ``kind: Literal["..."] = "..."``, its own fields, and how it is made and
    read. A predictor says that it is stored by naming the subclass where it is registered.

    Attributes
    ----------
    kind : str
        What the file calls this form.
    """

    kind: str
    #: Whether a forecast has two sources, so that `apart` says how far they differ.
    tells_apart: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def of(cls, estimator: Any, rows: TrainingRows) -> Self:
        """The stored form of a fit.

        Parameters
        ----------
        estimator : sklearn.base.RegressorMixin
            Fitted on `rows`.
        rows : TrainingRows
            What it was fitted on.
        """

    @property
    @abstractmethod
    def needs(self) -> list[str]:
        """Names of the metrics that move the number; without one of them there is none."""

    @property
    def fading(self) -> dict[str, float]:
        """Metrics whose effect fades out beyond their range, to how many widths beyond it."""
        return {}

    def apart(self, rows: pd.DataFrame) -> Floats | None:
        """By how much its two sources differ, in retention, (n,): intervals grow by it.

        None where there is one source. `rows` as of `predict`.
        """
        del rows
        return None

    @property
    def known_models(self) -> set[tuple[str, str]]:
        """(suite, label) of the models whose outcomes it knows by name."""
        return set()

    @property
    def summary(self) -> str:
        """What it rests on, in a few words."""
        return ", ".join(self.needs) or "none"

    @abstractmethod
    def predict(self, rows: pd.DataFrame, suite: str | None = None) -> tuple[Floats, list[Reasons]]:
        """Forecasts of member rows, not clipped, and what moved each of them.

        Parameters
        ----------
        rows : DataFrame
            As `mergecast.forecast.rows.member_rows` gives them, n rows. One that lacks a needed
            metric is NaN, without reasons, and must not change what the others get.
        suite : str, optional
            The suite whose labels name `known_models`; a model of any other suite is a stranger,
            whatever its label.

        Returns
        -------
        numbers : ndarray of shape (n,)
            Retention.
        reasons : list of list of str
            See `sorted_reasons`.
        """


def sorted_reasons(names: list[str], values: Floats, contributions: Floats) -> Reasons:
    """What moved the number of one row, by |contribution|; nothing where one is NaN.

    Parameters
    ----------
    names : list of str
        Of k metrics, or of what else acts.
    values : ndarray of shape (k,)
        The metrics' values.
    contributions : ndarray of shape (k,)
        What each adds, in retention.

    Returns
    -------
    list of dict
        `metric`, `value`, `contribution`; what adds nothing is left out.
    """
    if np.isnan(contributions).any():
        return []
    order = np.argsort(-np.abs(contributions), kind="stable")
    return [
        {
            "metric": names[i],
            "value": float(values[i]),
            "contribution": float(contributions[i]),
        }
        for i in order
        if contributions[i] != 0
    ]
