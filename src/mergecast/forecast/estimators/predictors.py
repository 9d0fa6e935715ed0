"""The registry of predictors: what each is called, needs and how a fit of it is stored.

An estimator is registered in its own file; another package names its file by an entry point in the
group ``mergecast.predictors``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from mergecast.errors import UsageError
from mergecast.forecast.estimators.stored import StoredModel
from mergecast.registry import Registry
from mergecast.typing import Floats

F = TypeVar("F", bound=Callable[..., Any])

#: Every other predictor is read against them: one without metrics, one without new models.
BASELINES = ["constant", "partner_mean"]


@dataclass(frozen=True)
class Predictor:
    """An entry of the registry.

    Attributes
    ----------
    name : str
        Its key.
    make : callable
        Returns a fresh, unfitted scikit-learn regressor of member rows.
    warm : bool
        Whether it needs known outcomes of a partner of the pair to predict. Warm predictors do not
        apply where both tasks are unseen.
    summary : str
        One line for tables and help.
    needs : tuple of (str or tuple of str)
        Metrics of which it takes one, or several that it takes together; empty where any will do.
    stored : type of StoredModel, optional
        The form in which a forecaster file keeps a fit; without one it is there to be evaluated.
    """

    name: str
    make: Callable[[], Any]
    warm: bool
    summary: str
    needs: tuple[str | tuple[str, ...], ...] = ()
    stored: type[StoredModel] | None = None

    def lacks(self, metrics: Iterable[str]) -> str:
        """Why it says nothing of rows with these metrics; "" where it does."""
        known, either = set(metrics), self.alternatives
        if not either or any(known.issuperset(one) for one in either):
            return ""
        names = ", ".join(" with ".join(one) for one in either)
        return f"not applicable: the pair table has none of {names}"

    @property
    def alternatives(self) -> list[tuple[str, ...]]:
        """The metrics of `needs`, those together that it takes together."""
        return [(one,) if isinstance(one, str) else one for one in self.needs]

    @property
    def draws(self) -> bool:
        """Whether it draws numbers, so that a seed decides what it says."""
        return bool(_seeds(self.make()))

    def seeded(self, seed: int) -> Predictor:
        """The same predictor from another seed."""
        return replace(self, make=lambda: seeded(self.make(), seed))


PREDICTORS: Registry[Predictor] = Registry(
    "predictor", Predictor, modules=("mergecast.forecast.estimators.*",)
)


def predictor(
    name: str,
    summary: str,
    *,
    warm: bool = False,
    needs: tuple[str | tuple[str, ...], ...] = (),
    stored: type[StoredModel] | None = None,
    **parameters: object,
) -> Callable[[F], F]:
    """Register an estimator, or a function that makes one, as a predictor of retention.

    Parameters
    ----------
    name : str
        What it is called in commands, tables and files.
    summary, warm, needs, stored
        See `Predictor`.
    **parameters : object
        Given to the decorated class or function when an estimator is made.

    Returns
    -------
    callable
        A decorator, which may be repeated for other parameters.

    Raises
    ------
    UsageError
        The name is taken.

    Examples
    --------
    >>> from sklearn.linear_model import HuberRegressor
    >>> from sklearn.pipeline import make_pipeline
    >>> from mergecast.forecast.estimators.scaling import MetricsOnly, Standardise
    >>> with PREDICTORS.isolated():
    ...     @predictor("huber", "robust regression on standardised metrics")
    ...     def huber():
    ...         return make_pipeline(MetricsOnly(), Standardise(), HuberRegressor())
    ...     PREDICTORS.get("huber").warm
    False
    """

    def register(make: F) -> F:
        made = partial(make, **parameters) if parameters else make
        entry = Predictor(name, made, warm, summary, needs, stored)
        PREDICTORS.add(name, entry, module=make.__module__)
        return make

    return register


def seeded(estimator: Any, seed: int) -> Any:
    """The estimator with every one of its random states set to `seed`."""
    return estimator.set_params(**dict.fromkeys(_seeds(estimator), seed))


def checked_numbers(numbers: Any, n: int, name: str) -> Floats:
    """What a predictor said of n rows, as floats; raises UsageError where it is anything else."""
    try:
        values = np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape == (n,):
        return values
    package = PREDICTORS.package(name) if name in PREDICTORS else "unknown"
    raise UsageError(
        f"predictor {name!r} of package {package!r}",
        f"gave {type(numbers).__name__} of shape {np.shape(numbers)} for {n} rows",
        "it must give one number for each row",
    )


def stored_form(kind: str) -> type[StoredModel]:
    """The stored model of a kind, as the registered predictors have it.

    Raises
    ------
    UsageError
        No predictor here has it, or two have different ones.
    """
    forms = {
        form: entry.name
        for entry in PREDICTORS
        if (form := entry.stored) is not None and form.model_fields["kind"].default == kind
    }
    if len(forms) > 1:
        names = ", ".join(map(repr, forms.values()))
        raise UsageError(
            f"kind {kind!r} of stored models",
            f"is that of the different predictors {names}",
            "uninstall one of the packages that bring them",
        )
    if not forms:
        raise UsageError(
            f"kind {kind!r} of stored models",
            "no predictor of this installation has it",
            "install the package that brings it, or upgrade mergecast",
        )
    return next(iter(forms))


def _seeds(estimator: Any) -> list[str]:
    parameters = estimator.get_params()
    return [name for name in parameters if name.split("__")[-1] == "random_state"]
