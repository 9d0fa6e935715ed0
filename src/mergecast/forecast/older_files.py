"""Forecaster files of earlier versions, in the words of this one; no number changes."""

from __future__ import annotations

from typing import Any

_OF_METHOD = (
    "predictor",
    "why",
    "residual_quantiles",
    "n_residuals",
    "validation",
    "n_pairs",
)


def from_version_2(data: dict[str, Any]) -> dict[str, Any]:
    """The content of a version 2 file as version 4 has it.

    There a method had either a linear form, spread over itself and its `features`, or one called
    `additive` beside it. Content that is not of version 2 raises KeyError, TypeError,
    AttributeError or ValueError.

    Parameters
    ----------
    data : dict
        As JSON gives it; not altered.
    """
    sides = {
        side: {
            tier: {method: _method(entry) for method, entry in methods.items()}
            for tier, methods in data.get(side, {}).items()
        }
        for side in ("tiers", "warm")
    }
    return {**data, "schema_version": 4, **sides}


def _method(entry: dict[str, Any]) -> dict[str, Any]:
    features = entry["features"]
    additive = entry.get("additive")
    if additive is None:
        # A metric without an effect stands among the features for its range alone.
        terms = [feature for feature in features if feature["coefficient"] != 0]
        form = {"kind": "linear", "terms": terms}
        form |= {"intercept": entry["intercept"], "reach": entry["reach"]}
    else:
        form = {"kind": "additive", **additive}
    return {
        **{key: entry[key] for key in _OF_METHOD},
        "known_quantiles": entry.get("known_quantiles", []),
        "model": form,
        "features": [{key: f[key] for key in ("name", "low", "high")} for f in features],
    }
