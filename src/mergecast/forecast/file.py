"""The forecaster file: JSON with a schema, so that a forecast can be read, checked and kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn

from pydantic import (
    Field,
    PlainValidator,
    SerializeAsAny,
    ValidationError,
    model_validator,
)

from mergecast.errors import MergecastError, ResourceError, UsageError
from mergecast.forecast.estimators.predictors import stored_form
from mergecast.forecast.estimators.stored import Count, NonNegative, StoredModel, Strict
from mergecast.forecast.older_files import from_version_2
from mergecast.runtime.files import write_text
from mergecast.tables.columns import Column

SCHEMA: Final = "mergecast.forecaster"
VERSION: Final = 4
# A list of nothing but numbers and nulls; no text of JSON holds a raw line break.
_NUMBERS: Final = re.compile(r"\[\n([-+.,\seE0-9nul]*)\]")
_REMEDY: Final = "write one with `mergecast fit`"


def _of_kind(data: Any) -> StoredModel:
    """The member of the union that `kind` names; predictors of other packages extend it."""
    if isinstance(data, StoredModel):
        return data
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str):
        raise ValueError("is no stored model: it has no kind")
    return stored_form(kind).model_validate(data)


#: A discriminated union on `kind` of the forms that registered predictors are stored in.
AnyStoredModel = Annotated[SerializeAsAny[StoredModel], PlainValidator(_of_kind)]


class Feature(Strict):
    """A metric of the training rows, and where it lay."""

    name: str
    low: float
    high: float

    @model_validator(mode="after")
    def _consistent(self) -> Feature:
        if self.low > self.high:
            raise ValueError(f"feature {self.name!r} has low above high")
        return self


class Quantile(Strict):
    """Half the width of an interval, of a `MethodModel` with `least_loss` over what is lost.

    Null where there are too few residuals for the level.
    """

    level: float = Field(gt=0, lt=1)
    half_width: NonNegative | None


class Score(Strict):
    """How a predictor did on held-out pairs: both tasks unseen, of a warm model one of them."""

    mae: NonNegative
    pooled_r: float | None


class MethodModel(Strict):
    """The forecast of one merging method: a fit of one predictor, and how far it is to be trusted.

    Attributes
    ----------
    predictor : str
        What was fitted.
    why : str
        Why it was chosen.
    model : StoredModel
        The fit.
    features : list of Feature
        Ranges outside which a metric is reported.
    residual_quantiles, known_quantiles : list of Quantile
        Intervals; the second of members with known outcomes, where the first are of new ones.
    n_residuals, n_pairs : int
        Behind the quantiles and behind the fit.
    domain : list of str
        Metrics that put a pair out of the domain where they lie too far outside their range; empty
        where a file of an earlier version does not say.
    most_kept : float or None
        The most that a member of a training pair kept: no forecast goes beyond it. None where a
        file of an earlier version does not say.
    validation : dict of str to Score
        Errors of the predictor and of those it was chosen from.
    least_loss : float or None
        Quantiles are of errors divided by it plus what the forecast says is lost; of errors as they
        are for None.
    between_suites : bool
        Whether quantiles and errors are of kinds of models that the fits had not seen; of new
        models of the same kind otherwise.
    """

    predictor: str
    why: str
    model: AnyStoredModel
    features: list[Feature]
    residual_quantiles: list[Quantile]
    known_quantiles: list[Quantile] = Field(default=[])
    n_residuals: Count
    validation: dict[str, Score]
    n_pairs: Count
    domain: list[str] = Field(default=[])
    most_kept: NonNegative | None = Field(default=None)
    least_loss: NonNegative | None = Field(default=None)
    between_suites: bool = False

    @property
    def needs(self) -> list[str]:
        """Names of the metrics that move the number."""
        return self.model.needs

    @property
    def watched(self) -> list[str]:
        """The domain's metrics; those that move the number and do not fade where none is said."""
        return self.domain or [name for name in self.needs if name not in self.model.fading]

    @property
    def known_models(self) -> set[tuple[str, str]]:
        """(suite, label) of the models whose outcomes it knows by name."""
        return self.model.known_models


class Training(Strict):
    """What the forecaster has seen."""

    suites: list[str]
    tasks: list[str]
    notes: list[str]
    versions: dict[str, int] = Field(
        default={},
        description="stage of computation to the version that the training tables were made with",
    )


class ForecasterFile(Strict):
    """The whole file."""

    schema_name: Literal["mergecast.forecaster"] = SCHEMA
    schema_version: Literal[4]
    mergecast_version: str
    target: Literal["retention"] = "retention"
    protocol: Literal["l2to"] = "l2to"
    training: Training
    tiers: dict[str, Annotated[dict[str, MethodModel], Field(min_length=1)]] = Field(
        min_length=1,
        description="tier of evidence, cheapest first, to the models that need no more than it",
    )

    warm: dict[str, dict[str, MethodModel]] = Field(
        default={},
        description="beside those of `tiers`, for pairs with a model whose outcomes are known; "
        "errors and quantiles with one task unseen (LOTO)",
    )

    @model_validator(mode="after")
    def _warm_beside_cold(self) -> ForecasterFile:
        for tier, models in self.warm.items():
            for method, model in models.items():
                if method not in self.tiers.get(tier, {}):
                    raise ValueError(f"warm.{tier}.{method} has no model in tiers beside it")
                if not model.known_models:
                    raise ValueError(f"warm.{tier}.{method} knows no models by name")
        return self

    @property
    def methods(self) -> dict[str, MethodModel]:
        """The models by method that take the richest evidence."""
        return next(reversed(self.tiers.values()))

    def tier_for(self, columns: Iterable[str]) -> str:
        """The richest tier all of whose models find their metrics; the cheapest where none does.

        Parameters
        ----------
        columns : iterable of str
            Metric columns of a pair table.
        """
        names = {Column.parse(column).name for column in columns}
        for tier, models in reversed(self.tiers.items()):
            if all(names.issuperset(model.needs) for model in models.values()):
                return tier
        return next(iter(self.tiers))


def write_forecaster(file: ForecasterFile, path: str | Path) -> Path:
    """Write the file atomically; raises ResourceError."""
    # Numbers of one list on one line: a matrix can then be read, and takes half the room.
    text = _NUMBERS.sub(_on_one_line, file.model_dump_json(indent=2)) + "\n"
    return write_text(Path(path), text)


def read_forecaster(path: str | Path) -> ForecasterFile:
    """Read and check a forecaster file, of this schema version or the two before.

    Raises
    ------
    UsageError
        No such file, not JSON, another schema, a newer version, a stored model of a kind that no
        predictor here has, NaN or a field that breaks the schema.
    ResourceError
        The file cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(path, "is a folder" if path.is_dir() else "no such file", _REMEDY)
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except OSError as error:
        raise ResourceError(path, f"cannot be read: {error.strerror}", "check the file") from error
    except (ValueError, RecursionError) as error:  # JSON, UTF-8, NaN, nested too deep
        raise UsageError(path, f"not valid JSON: {error}", _REMEDY) from error
    try:
        return ForecasterFile.model_validate(_of_this_version(path, data))
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        where = ".".join(map(str, first["loc"])) or "the file"
        if isinstance(cause, MergecastError):
            raise cause.about(f"{path}: field {where}") from error
        raise UsageError(path, f"field {where}: {first['msg']}", _REMEDY) from error


def _of_this_version(path: Path, data: Any) -> Any:
    """The content as this version writes it; raises UsageError where that cannot be had."""
    name = data.get("schema_name") if isinstance(data, dict) else None
    if name != SCHEMA:
        raise UsageError(path, f"not a forecaster file: schema_name is {name!r}", _REMEDY)
    version = data.get("schema_version")
    if version == 3:
        return {**data, "schema_version": VERSION}
    if version == 2:
        try:
            return from_version_2(data)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            problem = f"damaged: no forecaster file of schema version 2 ({error!r})"
            raise UsageError(path, problem, _REMEDY) from error
    if isinstance(version, int) and version != VERSION:
        made = data.get("mergecast_version", "unknown")
        newer = version > VERSION
        age = f"newer than {VERSION}, the last known" if newer else "older than 2"
        raise UsageError(
            path,
            f"schema version {version} (mergecast {made}) is {age}",
            "upgrade mergecast" if newer else "fit it again with `mergecast fit`",
        )
    return data


def _on_one_line(match: re.Match[str]) -> str:
    return "[" + " ".join(match.group(1).split()) + "]"


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not allowed")
