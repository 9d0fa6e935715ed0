import numpy as np
import pandas as pd
import pytest

from mergecast.tables.missing import MissingMetric
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "suite": "toy",
            "left": ["NA", "NA", "b"],
            "right": ["b", "c", "c"],
            "cosine": [0.1, 1 / 3, np.nan],
            "reach:left<-right": [1.0, 2.0, 3.0],
            "reach:right<-left": [4.0, 5.0, 6.0],
        }
    )


@pytest.fixture
def pairs(frame):
    """A pair table with everything that goes beside rows."""
    reach = dict.fromkeys(["reach:left<-right", "reach:right<-left"], "activations")
    return PairTable(
        frame,
        tiers={"cosine": "weights", **reach},
        missing=[MissingMetric("toy", "b", "c", "cosine", "zero task vector, both")],
        versions={"spectra": 2, "activations": 1},
        recipe={"calibration": 100, "merges": {"seed": 0, "partners": ["base"]}},
    )


@pytest.fixture
def outcome_frame():
    rows = []
    for members in ("NA+b", "NA+c", "b+c"):
        for i, task in enumerate(members.split("+")):
            score, single = 0.7 + 0.1 * i, 0.9
            rows.append(
                {
                    "suite": "toy",
                    "method": "ties",
                    "members": members,
                    "task": task,
                    "score": score,
                    "single_score": single,
                    "retention": score / single,
                    "loss": np.nan,
                    "single_loss": 0.5,
                    "n_eval": 100,
                    "seed": 0,
                }
            )
    return pd.DataFrame(rows)


@pytest.fixture
def outcomes(outcome_frame):
    return OutcomeTable(outcome_frame)
