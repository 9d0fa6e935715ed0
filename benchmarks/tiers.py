"""What each tier of evidence tells about digits-14: correlations with true pair retention.

python benchmarks/tiers.py [--run DIR …] [--seeds 3] [--dir DIR] [--calibration 40] [--json FILE]

Finished runs of the suite are taken from --run (one folder a seed); otherwise seeds 0, 1, … are
run into --dir first (minutes each). Three tables: the best single metric of each tier; retention
alone with nothing fitted (the partner unseen); one or two coefficients fitted with both tasks
unseen, with what each interference metric adds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

from mergecast.evidence import (
    METRICS,
    MergeSettings,
    MetricSpec,
    ProbeSettings,
    Session,
    collect_evidence,
)
from mergecast.family import Family
from mergecast.forecast.splitters import LeaveTwoTasksOut
from mergecast.forecast.validation.scoring import pearson
from mergecast.suites.folder import run_tasks
from mergecast.suites.run import run_suite
from mergecast.tables.columns import Column
from mergecast.tables.outcomes import OutcomeTable

METHODS = ("ties", "task_arithmetic", "isotropic", "weight_avg", "dare", "tsv")
TIERS = ("weights", "activations", "gradients", "probe")
RETENTION = tuple(
    f"{prefix}_{form}"
    for prefix, forms in (
        (
            "retention",
            (
                "probability_unlabelled",
                "kept_unlabelled",
                "overlap_unlabelled",
                "margin_unlabelled",
                "loss_unlabelled",
                "accuracy_unlabelled",
                "probability_labelled",
                "kept_labelled",
                "margin_labelled",
                "loss_labelled",
                "accuracy_labelled",
            ),
        ),
        (
            "retention_scrambled",
            (
                "probability_unlabelled",
                "kept_unlabelled",
                "overlap_unlabelled",
                "probability_labelled",
                "kept_labelled",
            ),
        ),
    )
    for form in forms
)
FITTED = (
    "retention_kept_unlabelled",
    "retention_overlap_unlabelled",
    "retention_kept_labelled",
    "retention_scrambled_kept_unlabelled",
    "retention_scrambled_overlap_unlabelled",
    "retention_scrambled_kept_labelled",
)
NORMS = "norms"
#: What the weights alone tell of a pair, beside interference.
WEIGHTS = ("task_vector_cosine_similarity", "right_subspace_overlap_top_k")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, nargs="+", help="finished runs, one a seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dir", type=Path, default=Path("benchmarks/runs"))
    parser.add_argument("--calibration", type=int, default=40)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    runs = arguments.run or [finished(arguments.dir, seed) for seed in range(arguments.seeds)]
    tables = [measured(run, arguments.calibration) for run in runs]
    seeds = ", ".join(str(seed_of(run)) for run in runs)
    print(f"digits-14, seeds {seeds}, {arguments.calibration} calibration samples a task\n")
    figures = {
        "best": best_of_tiers(tables),
        "alone": retention_alone(tables),
        "fitted": both_unseen(tables),
    }
    if arguments.json:
        arguments.json.write_text(
            json.dumps({k: v.to_dict("split") for k, v in figures.items()}, indent=1) + "\n"
        )


def finished(folder: Path, seed: int) -> Path:
    """A finished run of `seed`; what is there already is not computed again."""
    return run_suite("digits-14", folder / f"digits-14-{seed}", seed=seed, workers=1)


def measured(run: Path, samples: int) -> pd.DataFrame:
    """One row a pair: the mean of both directions of every metric, and each method's outcome."""
    tasks = run_tasks(run)
    models = {task: run / "models" / f"{task}.safetensors" for task in tasks}
    family = Family.open(run / "base.safetensors", models)
    seed = seed_of(run)
    settings = ProbeSettings(samples, seed, cache=run / "units" / "probes")
    merges = MergeSettings(samples=samples, merge_seed=seed)
    with Session(family, tasks, settings, merges) as session:
        table = collect_evidence(session, "probe", "all").table(family.names)
    wide = table.frame.set_index(["left", "right"])
    values = {
        key: wide[list(dict.fromkeys(both))].mean(axis=1, skipna=False)
        for key, both in table.features().items()
    }
    distance, dot = wide["task_vector_l2_distance"], wide["task_vector_dot_product"]
    values[NORMS] = np.sqrt(distance**2 + 2 * dot)
    pairs = OutcomeTable.read(run / "outcomes.parquet").pairs()
    mean = pairs.set_index(["method", "left", "right"])["retention"]
    for method in METHODS:
        values[f"outcome/{method}"] = mean[method].reindex(wide.index)
    return pd.DataFrame(values)


def seed_of(run: Path) -> int:
    return int(json.loads((run / "suite.json").read_text())["seed"])


def best_of_tiers(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Per method and tier, the metric whose median |r| over seeds is largest."""
    rows = []
    for method in METHODS:
        for tier in TIERS:
            keys = [key_of(spec, method) for spec in METRICS if spec.tier == tier]
            found = {key: median_r(tables, method, key) for key in keys if key in tables[0]}
            best = max(found, key=lambda key: -1 if np.isnan(found[key]) else abs(found[key]))
            rows.append({"method": method, "tier": tier, "r": found[best], "metric": best})
    frame = pd.DataFrame(rows)
    print("Best single metric of each tier (median r over seeds; chosen on these same figures)")
    print(frame.to_string(index=False, float_format="%.2f"), "\n")
    return frame


def retention_alone(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Nothing fitted, partner unseen: median r over seeds of every form."""
    frame = pd.DataFrame(
        {
            method: {form: median_r(tables, method, f"{form}@{method}") for form in RETENTION}
            for method in METHODS
        }
    )
    print("Retention alone, nothing fitted, partner unseen (median r over seeds)")
    print(frame.to_string(float_format="%.2f"), "\n")
    return frame


def both_unseen(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Least squares with two tasks left out, pooled r: retention, then with one metric more."""
    rows = []
    for method in METHODS:
        interference = [key_of(s, method) for s in METRICS if s.family == "interference"]
        extras = [NORMS, *WEIGHTS, *interference]
        for form in FITTED:
            key = f"{form}@{method}"
            row: dict[str, object] = {
                "method": method,
                "retention": form.removeprefix("retention_"),
            }
            for extra in ("", *extras):
                name = extra.removeprefix("interference_").removesuffix(f"@{method}")
                chosen = [key, *([extra] if extra else [])]
                row[f"+ {name}" if extra else "alone"] = unseen_r(tables, method, chosen)
                if extra and extra != NORMS:
                    row[f"+ norms + {name}"] = unseen_r(tables, method, [key, NORMS, extra])
            rows.append(row)
    frame = pd.DataFrame(rows)
    print("Both tasks unseen: leave two tasks out, pooled r, median over seeds; + one coefficient")
    for method in METHODS:
        part = frame[frame["method"] == method].drop(columns="method").set_index("retention").T
        print(f"\n{method}\n{part.to_string(float_format='%.2f')}")
    return frame


def key_of(spec: MetricSpec, method: str) -> str:
    return str(Column(spec.key, method if spec.per_method else ""))


def median_r(tables: list[pd.DataFrame], method: str, key: str) -> float:
    """Over the pairs where the metric is defined."""
    found = []
    for table in tables:
        both = table[[key, f"outcome/{method}"]].dropna().to_numpy()
        found.append(pearson(both[:, 0], both[:, 1]))
    return float(np.median(found))


def unseen_r(tables: list[pd.DataFrame], method: str, keys: list[str]) -> float:
    found = []
    for table in tables:
        X, y = table[keys].to_numpy(), table[f"outcome/{method}"].to_numpy()
        predicted = np.full(len(y), np.nan)
        for train, test in LeaveTwoTasksOut().split(groups=list(table.index)):
            predicted[test] = LinearRegression().fit(X[train], y[train]).predict(X[test])
        found.append(pearson(predicted, y))
    return float(np.median(found))


if __name__ == "__main__":
    main()
