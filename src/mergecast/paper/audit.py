"""What is wrong with a released setting: its tables, its neighbours, its fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mergecast.analysis.audit import ERROR, INFO, WARNING, AuditFinding, audit, ordered
from mergecast.analysis.comparison import OUTCOME, compare_settings
from mergecast.paper.fits import ReleasedFit
from mergecast.paper.replay import NORMALIZED, RAW, Replay
from mergecast.paper.results import PublishedSetting
from mergecast.paper.selection import Selection

# Notes of the selection that change what is analysed; the others are for information.
_WARNED = {"missing_metric", "missing_method", "sparse_method"}
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
    setting, selection : the setting and what of it is analysed.
    others : other settings of the same folder, to find copies.
    fits, replays : released fits and what their coefficients give again, by method.
    """
    found = audit(setting.pairs, setting.outcomes)
    found += [
        AuditFinding(code, WARNING if code in _WARNED else INFO, text)
        for code, text in selection.notes
    ]
    if selection.missing:
        pairs = ", ".join(pair for pair, _ in selection.missing)
        text = f"{len(selection.missing)} of {selection.expected} pairs drop out of the analysis"
        found.append(AuditFinding("missing_pairs", WARNING, f"{text}: {pairs}"))
    if selection.others:
        text = f"{', '.join(selection.others)}: refitted with one task unseen only"
        found.append(AuditFinding("refitted_in_part", INFO, text))
    found += _failed_merges(setting)
    for other in others:
        found += _copies(setting, other)
    found += _released(fits, replays)
    return ordered(found)


def _failed_merges(setting: PublishedSetting) -> Iterator[AuditFinding]:
    for method in sorted({failure.method for failure in setting.failures}):
        mine = [failure for failure in setting.failures if failure.method == method]
        pairs = ", ".join(f"{failure.left}+{failure.right}" for failure in mine[:8])
        more = f" and {len(mine) - 8} more" if len(mine) > 8 else ""
        text = f"{method}: {len(mine)} of {len(setting.pairs)} pairs have no outcome: {pairs}{more}"
        yield AuditFinding("failed_merges", WARNING, f"{text} ({mine[0].reason})")


def _copies(setting: PublishedSetting, other: PublishedSetting) -> Iterator[AuditFinding]:
    for row in compare_settings(setting, other):
        if row.n_pairs < 3 or row.n_identical < row.n_pairs / 2:
            continue
        what = f"outcomes of {row.name}" if row.kind == OUTCOME else row.name
        code = "duplicated_outcomes" if row.kind == OUTCOME else "duplicated_metric"
        if row.n_identical < row.n_pairs:
            text = f"{what}: {row.n_identical} of {row.n_pairs} pairs equal those of {other.name}"
        else:
            text = f"{what}: all {row.n_pairs} common pairs equal those of {other.name}"
        text += " to the last digit: the settings are not independent"
        yield AuditFinding(code, ERROR, text)


def _released(
    fits: Mapping[str, ReleasedFit], replays: Mapping[str, Replay]
) -> Iterator[AuditFinding]:
    if not fits:
        text = "no released coefficients for this setting: nothing to compare refits with"
        yield AuditFinding("no_released_fits", INFO, text)
    raw = [method for method, found in replays.items() if found.target == RAW]
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
    for method, found in replays.items():
        if found.target is None:
            text = f"{method}: released coefficients do not give the released r (off by up to"
            yield AuditFinding("released_fit_not_reproduced", WARNING, f"{text} {found.worst:.3f})")
    for method, fit in fits.items():
        if fit.pooled_r < fit.per_fold_r - _OFFSET:
            yield AuditFinding(
                "per_fold_r_hides_offset",
                WARNING,
                f"{method}: released r is {fit.per_fold_r:.3f} within folds and "
                f"{fit.pooled_r:.3f} over all: its numbers cannot be compared between tasks",
            )
