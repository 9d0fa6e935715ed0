"""The forecaster file: JSON with a schema, so that a forecast can be read, checked and kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn

from pydantic import Field, ValidationError, model_validator

from mergecast.errors import ResourceError, UsageError
from mergecast.forecast.additive_schema import AdditiveModel
from mergecast.forecast.strict import Count, NonNegative, Strict
from mergecast.runtime.files import write_text
from mergecast.tables.columns import Column

SCHEMA: Final = "mergecast.forecaster"
VERSION: Final = 2
# A list of nothing but numbers and nulls; no text of JSON holds a raw line break.
_NUMBERS: Final = re.compile(r"\[\n([-+.,\seE0-9nul]*)\]")
ADDITIVE: Final = "additive_plus"
_REMEDY = "write one with `mergecast fit`"


class Feature(Strict):
    """A metric of a fit: its effect, and where it lay in training."""

    name: str
    coefficient: float = Field(description="retention per standard deviation of the metric")
    mean: float
    scale: NonNegative = Field(description="standard deviation; 0 if constant in training")
    low: float
    high: float

    @model_validator(mode="after")
    def _consistent(self) -> Feature:
        if self.coefficient != 0 and self.scale == 0:
            raise ValueError(f"feature {self.name!r} has an effect but no spread")
        if self.low > self.high:
            raise ValueError(f"feature {self.name!r} has low above high")
        return self


class Quantile(Strict):
    """Half the width of an interval; null where there are too few residuals for the level."""

    level: float = Field(gt=0, lt=1)
    half_width: NonNegative | None


class Score(Strict):
    """How a predictor did on held-out pairs: both tasks unseen, of a warm model one of them."""

    mae: NonNegative
    pooled_r: float | None


class MethodModel(Strict):
    """The forecast of one merging method: intercept + Σ coefficient (metric − mean) / scale.

    A metric counts up to `reach` widths of its training range beyond that range, and no further.
    Where `additive` is there, it is the forecast, and `features` say only where metrics lay.
    """

    predictor: str
    why: str
    reach: NonNegative
    intercept: float
    features: list[Feature]
    residual_quantiles: list[Quantile]
    n_residuals: Count
    validation: dict[str, Score]
    n_pairs: Count
    additive: AdditiveModel | None = None
    known_quantiles: list[Quantile] = Field(
        default=[],
        description="of members with known outcomes, where `residual_quantiles` are of new ones",
    )

    @model_validator(mode="after")
    def _one_form(self) -> MethodModel:
        if self.predictor.startswith(ADDITIVE) and self.additive is None:
            raise ValueError(f"additive is missing, which {self.predictor!r} needs")
        if self.additive is not None and not self.predictor.startswith(ADDITIVE):
            raise ValueError(f"additive is not the form of {self.predictor!r}")
        return self

    @property
    def needs(self) -> set[str]:
        """Names of the metrics that move the number."""
        if self.additive is not None:
            return set(self.additive.metrics)
        return {feature.name for feature in self.features if feature.coefficient != 0}

    @property
    def known_models(self) -> set[tuple[str, str]]:
        """(suite, label) of the models whose outcomes it knows by name."""
        if self.additive is None or not self.additive.by_name:
            return set()
        return set(self.additive.models)


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

    schema_name: Literal["mergecast.forecaster"]
    schema_version: Literal[2]
    mergecast_version: str
    target: Literal["retention"]
    protocol: Literal["l2to"]
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
        columns : metric columns of a pair table.
        """
        known = {Column.parse(column).name for column in columns}
        for tier, models in reversed(self.tiers.items()):
            if all(model.needs <= known for model in models.values()):
                return tier
        return next(iter(self.tiers))


def write_forecaster(file: ForecasterFile, path: str | Path) -> Path:
    """Write the file atomically; raises ResourceError."""
    # Numbers of one list on one line: a matrix can then be read, and takes half the room.
    text = _NUMBERS.sub(_on_one_line, file.model_dump_json(indent=2)) + "\n"
    return write_text(Path(path), text)


def read_forecaster(path: str | Path) -> ForecasterFile:
    """Read and check a forecaster file.

    Raises
    ------
    UsageError
        No such file, not JSON, another schema, a newer version, NaN or a field that breaks the
        schema.
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
    _check_version(path, data)
    try:
        return ForecasterFile.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(path, f"field {where}: {first['msg']}", _REMEDY) from error


def _check_version(path: Path, data: Any) -> None:
    name = data.get("schema_name") if isinstance(data, dict) else None
    if name != SCHEMA:
        raise UsageError(path, f"not a forecaster file: schema_name is {name!r}", _REMEDY)
    version = data.get("schema_version")
    if isinstance(version, int) and version != VERSION:
        made = data.get("mergecast_version", "unknown")
        newer = version > VERSION
        age = f"newer than {VERSION}, the last known" if newer else f"older than {VERSION}"
        raise UsageError(
            path,
            f"schema version {version} (mergecast {made}) is {age}",
            "upgrade mergecast" if newer else "fit it again with `mergecast fit`",
        )


def _on_one_line(found: re.Match[str]) -> str:
    return "[" + " ".join(found.group(1).split()) + "]"


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not allowed")
