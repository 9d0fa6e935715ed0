"""A run of three tasks and two methods, small enough to check every number by hand."""

import numpy as np
import pandas as pd

from mergecast.forecast.recommend import recommend
from mergecast.forecast.result import Forecast
from mergecast.forecast.validation.evaluate import NOT_APPLICABLE
from mergecast.forecast.validation.evaluation import RESULT_COLUMNS, Evaluation
from mergecast.report.inputs import RunInputs
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable

MEASURED = {
    "ties": {"ab": (0.9, 0.8), "ac": (1.0, 0.9), "bc": (0.7, 0.7)},
    "dare": {"ab": (0.8, 0.8), "ac": (0.9, 0.7), "bc": (0.9, 0.9)},
}
RIDGE = {"ab": (0.92, 0.84), "ac": (0.95, 0.95), "bc": (0.70, 0.85)}
CONSTANT = {"ties": 0.8, "dare": 0.85}


def pair_table(names="abc"):
    a, b, c = names
    pairs = pd.DataFrame(
        {"suite": "toy", "left": [a, a, b], "right": [b, c, c], "cosine": [0.1, np.nan, 0.3]}
    )
    reason = {"left": a, "right": c, "key": "cosine", "reason": "zero task vector"}
    return PairTable.from_pandas(pairs, missing=[reason])


def outcome_table(names="abc"):
    label = dict(zip("abc", names, strict=True))
    rows = []
    for method, pairs in MEASURED.items():
        for pair, values in pairs.items():
            for task, value in zip(pair, values, strict=True):
                rows.append(
                    {
                        "suite": "toy",
                        "method": method,
                        "members": "+".join(label[t] for t in pair),
                        "task": label[task],
                        "score": value,
                        "single_score": 1.0,
                        "retention": value,
                        "loss": 0.3,
                        "single_loss": 0.2,
                        "n_eval": 100,
                        "seed": 0,
                    }
                )
    return OutcomeTable(pd.DataFrame(rows))


def predictions(names="abc", intervals=True):
    label = dict(zip("abc", names, strict=True))
    rows = []
    for method, pairs in MEASURED.items():
        for predictor in ("constant", "ridge"):
            for pair, values in pairs.items():
                for i, task in enumerate(pair):
                    predicted = RIDGE[pair][i] if predictor == "ridge" else CONSTANT[method]
                    row = {
                        "method": method,
                        "predictor": predictor,
                        "fold": pair,
                        "suite": "toy",
                        "left": label[pair[0]],
                        "right": label[pair[1]],
                        "member": label[task],
                        "predicted": predicted,
                        "measured": values[i],
                    }
                    if intervals:
                        row |= {"lower": predicted - 0.1, "upper": predicted + 0.1}
                    rows.append(row)
    return pd.DataFrame(rows)


def evaluation(protocol="l2to", names="abc", ridge_mae=(0.04, 0.06), coverage=5 / 6):
    rows = []
    for method, constant, ridge in (("dare", 0.05, ridge_mae[1]), ("ties", 0.1, ridge_mae[0])):
        head = {"protocol": protocol, "method": method, "n_pairs": 3, "note": ""}
        rows += [
            {**head, "predictor": "constant", "warm": False, "mae": constant, "coverage": 1.0},
            {**head, "predictor": "partner_mean", "warm": True, "note": NOT_APPLICABLE},
            {**head, "predictor": "ridge", "warm": False, "mae": ridge, "pooled_r": 0.7,
             "per_fold_r": 0.6, "coverage": coverage},
        ]  # fmt: skip
        if protocol == "loto":
            rows[-2] |= {"mae": 0.03, "per_fold_r": 0.9, "pooled_r": 0.5, "note": ""}
    table = predictions(names, intervals=protocol != "loto")
    return Evaluation(protocol, pd.DataFrame(rows, columns=RESULT_COLUMNS), table, ["a note"])


def inputs(names="abc"):
    tasks = pd.DataFrame(
        {
            "task": list(names),
            "base_score": [0.5, 0.5, 0.8],
            "single_score": [0.9, np.nan, 0.81],
            "majority": [0.6, 0.1, 0.1],
        }
    )
    suite = {"recipe": {"steps": 3}, "versions": {"torch": "2.13.0"}}
    return RunInputs(pair_table(names), outcome_table(names), tasks, suite)


def forecast(file=None, names="abc", **more):
    """What a forecaster says of new models: `ties` known, `dare` missing for the first pair."""
    a, b, c = names
    rows = []
    for left, right in ((a, b), (a, c), (b, c)):
        for method in ("dare", "ties"):
            for member in (left, right):
                gone = method == "dare" and right == b
                value = np.nan if gone else 0.95 - 0.1 * (member == c)
                rows.append(
                    {
                        "suite": "toy",
                        "method": method,
                        "left": left,
                        "right": right,
                        "member": member,
                        "basis": "cold",
                        "retention": value,
                        "lower": value - 0.1,
                        "upper": np.inf if member == c else value + 0.1,
                        "out_of_range": ["cosine"] if right == c else [],
                        "reasons": []
                        if gone
                        else [{"metric": "cosine", "value": 0.1, "contribution": -0.02}],
                        "note": "metric cosine missing: zero task vector" if gone else "",
                    }
                )
    table = pd.DataFrame(rows)
    return Forecast(table, recommend(table), 0.9, 0.9, "weights", pair_table(names), file, **more)
