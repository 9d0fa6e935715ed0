"""The evidence that ``mergecast forecast`` gathers: which tier, what of it, and why not all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mergecast.cli.console import note, weight_findings
from mergecast.tables.tiers import ABOUT

if TYPE_CHECKING:
    import pandas as pd

    from mergecast.evidence import Session
    from mergecast.forecast.file import ForecasterFile


def tier_to_gather(file: ForecasterFile, asked: str | None, tasks: Path | None) -> str:
    """The evidence to gather: what was asked for, or the richest that the forecaster reads."""
    from mergecast.errors import UsageError
    from mergecast.tables.tiers import ALL, known_tier

    tier = known_tier(asked) if asked else next(reversed(file.tiers)) if tasks else "weights"
    if tier == ALL:  # fitted on a table that does not say what its metrics took
        tier = "gradients"
    if tier != "weights" and tasks is None:
        raise UsageError("--tasks", f"not given, but tier {tier!r} runs models", "give a file")
    return tier


def pair_metrics(
    session: Session, tier: str, file: ForecasterFile, *, warm: bool
) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """The pair table, the refused models with reasons, and what the task vectors show.

    Beyond weights only what the forecaster's models of that tier read is collected; `warm` counts
    in those that know outcomes.
    """
    from mergecast.errors import FamilyError
    from mergecast.evidence import collect_evidence, with_companions
    from mergecast.runtime.progress import progress_bars

    family = session.family
    read = [file.tiers[tier]] if tier in file.tiers else [*file.tiers.values()]
    if warm:
        read += [file.warm[tier]] if tier in file.warm else [*file.warm.values()]
    keys, others = (
        {name for models in some for model in models.values() for name in model.needs}
        for some in (read, file.tiers.values())
    )
    with progress_bars() as bars:
        session.progress = bars
        evidence = collect_evidence(session, tier, keys=with_companions(keys, others))
    fingerprints = evidence.weights
    refused = {label: str(error) for label, error in family.refused.items()}
    refused |= fingerprints.refused
    findings = []
    for finding in weight_findings(fingerprints):
        text = f"{finding.message}; {finding.remedy}"
        if finding.severity != "error":
            findings.append(f"{finding.about}: {text}")
        elif finding.about == "family":
            raise FamilyError("models", finding.message, finding.remedy)
        else:
            refused[finding.about] = text
    for label in sorted(refused.keys() - family.refused.keys()):
        note(f"refused {label}: {refused[label]}")
    usable = [label for label in family.names if label not in refused]
    if len(usable) < 2:
        raise FamilyError(
            "models", f"{len(usable)} of them usable", "a forecast is of pairs: give two or more"
        )
    table = evidence.table(usable)
    return table, refused, findings


def why_less(file: ForecasterFile, pairs: pd.DataFrame, asked: str, used: str) -> str:
    """Why a forecast comes from less evidence than was gathered."""
    needs = {name for model in file.tiers[asked].values() for name in model.needs}
    reasons = [
        f" ({entry['key']}: {entry['reason']})"
        for entry in pairs.attrs["missing"]
        if entry["key"].partition(":")[0].partition(ABOUT)[0] in needs
    ]
    return (
        f"forecast from {used}: what the forecaster reads of {asked} is missing for every pair"
        f"{reasons[0] if reasons else ''}"
    )
