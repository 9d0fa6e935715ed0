"""Results and samples as lm-evaluation-harness writes them, made small."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

DATE = "2026-01-02T03-04-05.678901"
TASKS = {
    "arc": {"acc,none": True, "acc_norm,none": True},
    "gsm": {"exact_match,strict-match": True, "exact_match,flexible-extract": True},
    "lines": {"word_perplexity,none": False},
}
SCORES = """\
suite: llm
models:
  a: {results: a, task: arc}
  b: {results: b, task: gsm}
merges:
  ties:
    b+a: ab
"""


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def content(answers, **more):
    """A results file; `answers` are task to key to the values of its documents."""
    results, better = {}, {}
    for task, keys in answers.items():
        row = {"name": task, "alias": task, "sample_len": len(next(iter(keys.values())))}
        for key, values in keys.items():
            metric, _, kind = key.partition(",")
            row |= {key: sum(values) / len(values), f"{metric}_stderr,{kind}": "N/A"}
            better.setdefault(task, {})[metric] = TASKS.get(task, {}).get(key, True)
        results[task] = row
    sizes = {task: row["sample_len"] for task, row in results.items()}
    return {
        "results": results,
        "group_subtasks": {},
        "configs": {
            task: {
                "task": task,
                "metric_list": [
                    {"metric": metric, "aggregation": "mean", "higher_is_better": up}
                    for metric, up in metrics.items()
                ],
            }
            for task, metrics in better.items()
        },
        "versions": dict.fromkeys(results, 1.0),
        "n-shot": dict.fromkeys(results, 0),
        "higher_is_better": better,
        "n-samples": {task: {"original": 1000, "effective": n} for task, n in sizes.items()},
        "config": {"model": "hf", "limit": None, "gen_kwargs": None, "fewshot_seed": 1234},
        "task_hashes": {task: digest(f"{task}{n}") for task, n in sizes.items()},
        "chat_template_sha": None,
        "system_instruction_sha": None,
        **more,
    }


def write(folder, answers, *, samples=True, documents=None, **more):
    """A folder of results, and of samples where `samples`; returns the results file."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for task, keys in answers.items() if samples else ():
        lines = []
        for kind in dict.fromkeys(key.partition(",")[2] for key in keys):
            values = {k.partition(",")[0]: v for k, v in keys.items() if k.endswith(f",{kind}")}
            size = len(next(iter(values.values())))
            for i, name in enumerate((documents or {}).get(task, range(size))):
                row = {
                    "doc_id": i,
                    "filter": kind,
                    "metrics": list(values),
                    "doc_hash": digest(f"{task} {name}"),
                    "prompt_hash": digest(f"?{task} {name}"),
                }
                lines.append(json.dumps(row | {m: v[i] for m, v in values.items()}))
        path = folder / f"samples_{task}_{DATE}.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    results = folder / f"results_{DATE}.json"
    results.write_text(json.dumps(content(answers, **more)), encoding="utf-8")
    return results


def answers(arc, gsm=(1.0, 0.0, 0.0, 1.0)):
    """Two tasks' answers: each the same under both of its keys."""
    return {
        "arc": {"acc,none": list(arc), "acc_norm,none": [1.0] * len(arc)},
        "gsm": {"exact_match,strict-match": list(gsm), "exact_match,flexible-extract": list(gsm)},
    }


def write_case(folder, *, merged=(1.0, 1.0, 0.0, 0.0), **more):
    """Two models and their merge; `more` is of the merge's files. Returns the file of scores."""
    write(folder / "a", answers([1.0, 1.0, 1.0, 0.0]))
    write(folder / "b", answers([0.0, 0.0, 0.0, 0.0]))
    write(folder / "ab", answers(merged, (1.0, 0.0, 0.0, 0.0)), **more)
    path = folder / "scores.yaml"
    path.write_text(SCORES, encoding="utf-8")
    return path
