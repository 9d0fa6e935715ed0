"""Synthetic suites whose outcome has a known cause."""

from itertools import combinations

import numpy as np
import pandas as pd


def build_suite(cause="metric", n_tasks=8, methods=("ties",), seed=0, suite="toy", noise=0.002):
    """A (pairs, outcomes) suite: retention caused by one `metric`, by each task alone
    (`additive`), or by nothing (`noise`)."""
    generator = np.random.default_rng(seed)
    tasks = [f"t{i:02d}" for i in range(n_tasks)]
    own = dict(zip(tasks, generator.normal(0, 0.05, n_tasks), strict=True))
    pairs, outcomes = [], []
    for left, right in combinations(tasks, 2):
        effect = dict(zip((left, right), generator.normal(size=2), strict=True))
        pairs.append(
            {
                "suite": suite,
                "left": left,
                "right": right,
                "cosine": generator.normal(),
                "reach:left<-right": effect[left],
                "reach:right<-left": effect[right],
                "flat": 3.0,
            }
        )
        for method in methods:
            for task in (left, right):
                shift = {"metric": 0.04 * effect[task], "additive": own[task], "noise": 0.0}
                spread = 0.05 if cause == "noise" else noise
                retention = 0.8 + shift[cause] + spread * generator.normal()
                outcomes.append(
                    {
                        "suite": suite,
                        "method": method,
                        "members": f"{left}+{right}",
                        "task": task,
                        "score": 0.9 * retention,
                        "single_score": 0.9,
                        "retention": retention,
                        "loss": 0.5,
                        "single_loss": 0.4,
                        "n_eval": 1000,
                        "seed": 0,
                    }
                )
    return pd.DataFrame(pairs), pd.DataFrame(outcomes)
