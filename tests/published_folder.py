"""A tiny results folder in the authors' layout, for tests of everything that reads it."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np

TASKS = ["pets", "cars", "digits", "Flowers", "faces", "maps"]
SINGLE = dict(zip(TASKS, (0.9, 0.8, 0.95, 0.85, 0.7, 0.75), strict=True))
METRICS = ("task_vector_cosine_similarity", "task_vector_l2_distance", "effective_rank",
           "activation_l2_distance")  # fmt: skip
SETTING = "Net-S_Adam"


def write_json(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def change(path, edit):
    """Read a JSON file, let `edit` change the object in place, write it back."""
    data = json.loads(Path(path).read_text())
    edit(data)
    Path(path).write_text(json.dumps(data))


def metrics_file(folder, setting=SETTING, n=6):
    return folder / "mergeability" / setting / f"pairwise_metrics_N{n}.json"


def summary_file(folder, method="arithmetic", setting=SETTING, n=6):
    return folder / setting / method / f"all_pairwise_summary_N{n}.json"


def fit_file(folder, method="arithmetic", experiment="loto_cv_l1_lambda1.0", setting=SETTING):
    name = setting.replace("Net-S", "net-s")
    home = folder / "metric_linear_optimization_v2" / name / experiment
    return home / f"{method}_loto_results.json"


def write_results(
    folder, setting=SETTING, tasks=TASKS, methods=("arithmetic", "tsv"), fits=True, seed=0
):
    """Write a setting: `arithmetic` is a sum of two task effects, others follow the cosine."""
    rng = np.random.default_rng(seed)
    n = len(tasks)
    places = list(combinations(range(n), 2))
    values = {key: rng.uniform(0.1, 0.9, len(places)) for key in METRICS}
    values["effective_rank"] += 1
    matrices = {}
    for key, column in values.items():
        matrix = [[None] * n for _ in range(n)]
        for (i, j), value in zip(places, column, strict=True):
            matrix[i][j] = float(value)
        matrices[key] = {"matrix": matrix}
    write_json(
        metrics_file(folder, setting, n),
        {"model_name": setting.rpartition("_")[0], "datasets": list(tasks), "metrics": matrices},
    )
    write_json(folder / "finetuning" / "accs.json", {setting.rpartition("_")[0]: SINGLE})
    own = rng.normal(0, 0.05, n)
    for method in methods:
        summary, raw = {}, []
        for p, (i, j) in enumerate(places):
            cause = values["task_vector_cosine_similarity"][p]
            entry = {}
            for here in (i, j):
                effect = own[here] if method == "arithmetic" else 0.2 * (cause - 0.5)
                retention = float(0.8 + effect + 0.002 * rng.normal())
                task = tasks[here]
                entry[task] = [
                    {
                        f"acc/test/{task}": SINGLE[task] * retention,
                        f"loss/test/{task}": 0.4,
                        f"normalized_acc/test/{task}": retention,
                    }
                ]
            raw.append(np.mean([entry[t][0][f"acc/test/{t}"] for t in entry]))
            summary[f"{tasks[i]}__{tasks[j]}"] = entry | {"avg": [{"acc/test/avg": raw[-1]}]}
        write_json(summary_file(folder, method, setting, n), summary)
        if fits:
            own_rng = np.random.default_rng(seed + 1)  # tables are the same without fits
            folds = list(_folds(values, places, np.array(raw), tasks, own_rng))
            write_json(
                fit_file(folder, method, setting=setting),
                {"aggregate_metrics": {"val_r": 0.1}, "fold_results": folds},
            )
    return folder


def _folds(values, places, raw, tasks, rng):
    X = np.stack([values[key] for key in METRICS], axis=1)
    for held, task in enumerate(tasks):
        test = np.array([held in place for place in places])
        low, high = X[~test].min(axis=0), X[~test].max(axis=0)
        weights = rng.normal(size=X.shape[1])
        prediction = ((X[test] - low) / (high - low)) @ weights
        yield {
            "held_out_task": task,
            "n_val_pairs": int(test.sum()),
            "val_r": float(np.corrcoef(prediction, raw[test])[0, 1]),
            "coefficients": dict(zip(METRICS, map(float, weights), strict=True)),
        }
