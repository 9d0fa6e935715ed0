"""A forecast of three models of which merges were measured, small enough to check by hand."""

import numpy as np
import pandas as pd
import report_case as case
from test_family_summary import forecaster_file, model

from mergecast.report.family_summary import summarise_forecast


def member(method, left, right, member, measured, before, others, mean=0.8):
    return {
        "suite": "", "method": method, "left": left, "right": right, "member": member,
        "measured": measured, "stderr": 0.01, "before": before, "before_lower": before - 0.05,
        "before_upper": before + 0.05, "others": others, "others_lower": others - 0.05,
        "others_upper": others + 0.05, "mean": mean,
    }  # fmt: skip


def beside(names="abc"):
    a, b, c = names
    return pd.DataFrame(
        [
            member("ties", a, b, a, 0.90, 0.80, 0.88),
            member("ties", a, b, b, 0.80, 0.90, 0.82),
            member("ties", a, c, a, 0.90, 0.90, 0.90),
            member("ties", a, c, c, 0.70, 0.80, 0.78),
            member("dare", a, b, a, 0.85, np.nan, np.nan, np.nan),
            member("dare", a, b, b, 0.85, 0.85, 0.80, np.nan),
        ]
    )


def measured_forecast(names="abc", table=None):
    return summarise_forecast(
        case.forecast(
            forecaster_file(ties=model("ridge", 0.04), dare=model("constant", 0.08)),
            names,
            base="base.safetensors",
            models=dict.fromkeys(names, "somewhere"),
            beside=beside(names) if table is None else table,
        )
    )
