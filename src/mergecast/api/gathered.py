"""A forecast of pairs with all that it was made of: what `forecast` and `search` share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mergecast.api.inputs import Tasks, log_refused
from mergecast.api.metrics import Measurement, measure
from mergecast.errors import FamilyError, UsageError
from mergecast.evidence import wanted, with_companions
from mergecast.family.family import Family
from mergecast.family.findings import NO_MODEL
from mergecast.family.models import Models
from mergecast.forecast.few_samples import FewSamples
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.result import Forecast
from mergecast.merging.method import METHODS
from mergecast.merging.recipe import Recipe
from mergecast.runtime.progress import Progress
from mergecast.tables.columns import Column
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.tiers import ALL, known_tier
from mergecast.typing import Names, listed


@dataclass(frozen=True)
class Gathered:
    """A forecast of pairs and what it rests on.

    Attributes
    ----------
    made : Forecast
        Of the usable models' pairs, advice and notes of the family not yet in it.
    gathering : Measurement
        The evidence.
    usable : list of str
        Labels of the models that were not refused.
    refused, doubtful : mapping of str to str
        As of `Forecast`.
    warnings : list of str
        What a reader should know first.
    """

    made: Forecast
    gathering: Measurement
    usable: list[str]
    refused: Mapping[str, str]
    doubtful: Mapping[str, str]
    warnings: list[str]


def gathered_forecast(
    family: Family | str | Path,
    models: Models | None = None,
    *,
    tasks: Tasks = None,
    forecaster: Forecaster | str | Path | None = None,
    tier: str | None = None,
    metrics: str | None = None,
    methods: Names | None = None,
    suite: str | None = None,
    measured: OutcomeTable | None = None,
    calibration: int | Mapping[str, int] | None = None,
    seed: int = 0,
    merge_seed: int = 0,
    device: str = "cpu",
    batch_size: int = 32,
    cache: str | Path | None = None,
    private: Names = (),
    strict: bool = True,
    vocabulary: str | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> Gathered:
    """Gather what the forecaster reads and ask it; words and errors as of `forecast`."""
    chosen = forecaster if isinstance(forecaster, Forecaster) else Forecaster.load(forecaster)
    if methods:
        chosen = _only(chosen, [_label(method) for method in listed(methods)])
    reach, warm = _tier(chosen, tier, tasks is not None), suite is not None
    keys = with_companions(chosen.reads(reach, warm=warm), chosen.reads(ALL, warm=warm))
    if metrics is not None:
        keys |= {spec.key for spec in wanted(reach, metrics)}
    gathering = measure(
        family,
        models,
        tasks=tasks,
        tier=reach,
        keys=keys,
        methods=[*chosen.file.methods],
        merge_seed=merge_seed,
        calibration=calibration,
        seed=seed,
        device=device,
        batch_size=batch_size,
        cache=cache,
        private=private,
        strict=strict,
        vocabulary=vocabulary,
        on_error="refuse",
        workers=workers,
        progress=progress,
    )
    refused, warnings = _preflight(gathering)
    usable = [label for label in gathering.family.names if label not in refused]
    if len(usable) < 2:
        raise FamilyError(
            "models", f"{len(usable)} of them usable", "a forecast is of pairs: give two or more"
        )
    made = chosen.forecast(gathering.table(usable), suite=suite, measured=measured)
    doubtful = {one.about: one.message for one in gathering.doubts if one.rule == NO_MODEL}
    doubtful = {label: text for label, text in doubtful.items() if label in usable}
    if forecaster is None:
        warnings[:0] = [_stranger(chosen.name), *_other_scores(gathering, usable)]
    if few := FewSamples.of(made.metrics).said(usable):
        warnings.append(few)
    if reach in chosen.file.tiers and made.tier != reach:
        warnings.append(_why_less(chosen, made, reach))
    return Gathered(made, gathering, usable, refused, doubtful, warnings)


def _label(method: str) -> str:
    """A method as a forecaster calls it: a recipe by its label."""
    return Recipe.of(method).label if "(" in method else method


def _only(forecaster: Forecaster, methods: list[str]) -> Forecaster:
    """The forecaster of these methods alone; a method that it was not fitted on is no unknown one.

    Raises UsageError.
    """
    for name in methods:
        if name in METHODS and name not in forecaster.file.methods:
            raise UsageError(
                f"method {name!r}",
                f"is none that {forecaster.name} forecasts (these are: "
                f"{', '.join(forecaster.file.methods)})",
                "leave it out, or fit a forecaster on outcomes of merges by it (mergecast fit)",
            )
    return forecaster.only(methods)


def _tier(forecaster: Forecaster, asked: str | None, has_tasks: bool) -> str:
    """The evidence to gather: what was asked for, or the richest that the forecaster reads."""
    if asked is None and not has_tasks:
        return "weights"
    tier = known_tier(asked) if asked else next(reversed(forecaster.file.tiers))
    # Fitted on a table that does not say what its metrics took: anything short of real merges.
    return "gradients" if tier == ALL else tier


def _preflight(measured: Measurement) -> tuple[dict[str, str], list[str]]:
    """The models to leave out with reasons, and warnings of the others; raises FamilyError."""
    spoilt, warnings = {}, []
    for finding in measured.findings:
        text = f"{finding.message}; {finding.remedy}"
        if finding.severity != "error":
            warnings.append(f"{finding.about}: {text}")
        elif finding.subject != "model":
            raise FamilyError("models", finding.message, finding.remedy)
        else:
            spoilt[finding.about] = text
    log_refused(spoilt)
    return {**measured.refused, **spoilt}, warnings


def _stranger(name: str) -> str:
    return (
        f"no forecaster given: the one that comes with mergecast ({name}) is used, with intervals "
        "as for kinds of models that it never saw; merges of yours that were measured (--measured) "
        "narrow them"
    )


def _other_scores(gathering: Measurement, usable: list[str]) -> list[str]:
    """That the shipped forecaster's intervals come from another score than some tasks ask for."""
    tasks = gathering.asked.session.tasks or {}
    names = {x: tasks[x].score_name for x in usable if x in tasks}
    others = {label: name for label, name in names.items() if name != "accuracy"}
    if not others:
        return []
    scores = " and ".join(sorted({*others.values()}))
    return [
        f"{', '.join(others)}: judged by {scores}, and all suites that the intervals come from by "
        "accuracy: how often they hold is not known here"
    ]


def _why_less(forecaster: Forecaster, forecast: Forecast, asked: str) -> str:
    """Why a forecast comes from less evidence than was gathered."""
    needs = forecaster.reads(asked)
    reasons = [
        f" ({entry.key}: {entry.reason})"
        for entry in forecast.metrics.missing
        if Column.parse(entry.key).name in needs
    ]
    return (
        f"forecast from {forecast.tier}: what the forecaster reads of {asked} is missing for "
        f"every pair{reasons[0] if reasons else ''}"
    )
