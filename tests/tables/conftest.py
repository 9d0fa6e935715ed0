import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def pairs():
    table = pd.DataFrame(
        {
            "suite": "toy",
            "left": ["NA", "NA", "b"],
            "right": ["b", "c", "c"],
            "cosine": [0.1, 1 / 3, np.nan],
            "reach:left<-right": [1.0, 2.0, 3.0],
            "reach:right<-left": [4.0, 5.0, 6.0],
        }
    )
    table.attrs["missing"] = [
        {"left": "b", "right": "c", "key": "cosine", "reason": "zero task vector, both"}
    ]
    return table


@pytest.fixture
def outcomes():
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
