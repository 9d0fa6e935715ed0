"""What is wrong with a released setting: its tables, its neighbours, its fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mergecast.analysis.audit import ERROR, INFO, WARNING, AuditFinding, audit, ordered
from mergecast.analysis.comparison import OUTCOME, compare_settings
from mergecast.paper.fits import ReleasedFit
from mergecast.paper.replay import NORMALIZED, RAW, Replay
from mergecast.paper.results import PublishedSetting
from mergecast.paper.selection import Selection
from mergecast.tables.sets import join_members

# Notes of the selection that change what is analysed; the others are for information.
_WARNED = {"missing_metric", "missing_method", "sparse_method"}
# Up to so many pairs are named.
_LISTED = 8
# A pooled r so far below the per-fold one means that folds do not share a scale.
_OFFSET = 0.1


def audit_setting(
    setting: PublishedSetting,
    selection: Selection,
    others: Sequence[PublishedSetting],
    fits: Mapping[str, ReleasedFit],
    replays: Mapping[str, Replay],
) -> list[AuditFinding]:
    """Findings on a released setting, errors first.

    Parameters
    ----------
    setting : PublishedSetting
    selection : Selection
        What of it is analysed.
    others : Sequence[PublishedSetting]
        Other settings of the same folder, to find copies.
    fits, replays : Mapping
        Released fits and what their coefficients give again, by method.
    """
    findings = audit(setting.pairs, setting.outcomes)
    findings += _selected(selection)
    findings += _failed_merges(setting)
    for other in others:
        findings += _copies(setting, other)
    findings += _released(fits, replays)
    return ordered(findings)


def _selected(selection: Selection) -> Iterator[AuditFinding]:
    for code, text in selection.notes:
        yield AuditFinding(code, WARNING if code in _WARNED else INFO, text)
    if selection.missing:
        pairs = ", ".join(pair for pair, _ in selection.missing)
        text = f"{len(selection.missing)} of {selection.expected} pairs drop out of the analysis"
        yield AuditFinding("missing_pairs", WARNING, f"{text}: {pairs}")
    if selection.others:
        text = f"{', '.join(selection.others)}: refitted with one task unseen only"
        yield AuditFinding("refitted_in_part", INFO, text)


def _failed_merges(setting: PublishedSetting) -> Iterator[AuditFinding]:
    for method in sorted({failure.method for failure in setting.failures}):
        failures = [failure for failure in setting.failures if failure.method == method]
        pairs = ", ".join(join_members((f.left, f.right)) for f in failures[:_LISTED])
        more = f" and {len(failures) - _LISTED} more" if len(failures) > _LISTED else ""
        count = f"{len(failures)} of {len(setting.pairs)}"
        text = f"{method}: {count} pairs have no outcome: {pairs}{more} ({failures[0].reason})"
        yield AuditFinding("failed_merges", WARNING, text)


def _copies(setting: PublishedSetting, other: PublishedSetting) -> Iterator[AuditFinding]:
    for row in compare_settings(setting, other):
        if row.n_pairs < 3 or row.n_identical < row.n_pairs / 2:
            continue
        what, code = row.name, "duplicated_metric"
        if row.kind == OUTCOME:
            what, code = f"outcomes of {row.name}", "duplicated_outcomes"
        count = f"all {row.n_pairs} common"
        if row.n_identical < row.n_pairs:
            count = f"{row.n_identical} of {row.n_pairs}"
        text = f"{what}: {count} pairs equal those of {other.name} to the last digit"
        yield AuditFinding(code, ERROR, f"{text}: the settings are not independent")


def _released(
    fits: Mapping[str, ReleasedFit], replays: Mapping[str, Replay]
) -> Iterator[AuditFinding]:
    if not fits:
        text = "no released coefficients for this setting: nothing to compare refits with"
        yield AuditFinding("no_released_fits", INFO, text)
    raw = [method for method, replay in replays.items() if replay.target == RAW]
    if raw:
        both = [(replays[m].per_fold_r[RAW], replays[m].per_fold_r[NORMALIZED]) for m in raw]
        means = [sum(values) / len(both) for values in zip(*both, strict=True)]
        yield AuditFinding(
            "released_fits_use_raw_target",
            WARNING,
            f"the released fits of {', '.join(raw)} were made to raw accuracy, not to the "
            "normalized accuracy of the paper: their coefficients reproduce the released r with "
            f"raw accuracy in every fold (mean {means[0]:.3f}) and give {means[1]:.3f} with "
            "normalized accuracy",
        )
    for method, replay in replays.items():
        if replay.target is None:
            text = f"{method}: released coefficients do not give the released r (off by up to"
            text += f" {replay.worst:.3f})"
            yield AuditFinding("released_fit_not_reproduced", WARNING, text)
    for method, fit in fits.items():
        if fit.pooled_r < fit.per_fold_r - _OFFSET:
            yield AuditFinding(
                "per_fold_r_hides_offset",
                WARNING,
                f"{method}: released r is {fit.per_fold_r:.3f} within folds and "
                f"{fit.pooled_r:.3f} over all: its numbers cannot be compared between tasks",
            )
