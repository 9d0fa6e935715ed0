"""The data card of a suite's finished run: what it is made by, and what its tasks score.

python benchmarks/data_card.py DIR --hours H --date YYYY-MM-DD [--note TEXT] [-o card.md]

DIR is a run folder; hours and date are of the run, `--note` is what else is to be known of it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from mergecast.suites.folder import read_run
from mergecast.suites.suite import SUITES

HEAD = "| task | classes | trained on | tested on | majority | base | fine-tuned |"


def command(described: dict, named: set[str]) -> str:
    """The command that makes the run again."""
    suite = SUITES.get(described["suite"])
    recipe = described["recipe"]
    usual = suite.recipe_type.of({"backbone": recipe["backbone"]} if "backbone" in recipe else {})
    changed = {
        key: value
        for key, value in recipe.items()
        if key != "backbone" and usual.model_dump(mode="json").get(key) != value
    }
    words = ["mergecast bench run", described["suite"], f"--seed {described['seed']}"]
    words += [f"--backbone {recipe['backbone']}"] if "backbone" in recipe else []
    words += [f"--suite-param {key}={value}" for key, value in changed.items()]
    if set(described["tasks"]) != named:
        words.append(f"--only {','.join(described['tasks'])}")
    if tuple(described["methods"]) != suite.recipes:
        kinds = ["recipe" if "(" in one else "method" for one in described["methods"]]
        words += [
            f'--{kind} "{one}"' for kind, one in zip(kinds, described["methods"], strict=True)
        ]
    words += [f"--tier {described['tier']}", f"--n-sets {described['n_sets']}", "-o DIR"]
    return " ".join(words)


def packages(suite: str) -> list[str]:
    """The pinned archives that a suite's weights and data come from; none of one that has none."""
    pinned = getattr(SUITES.get(suite), "packages", ())
    if not pinned:
        return []
    rows = [f"| {one} | `{one.sha256}` |" for one in pinned]
    return [
        "",
        "Weights and data come from these archives:",
        "",
        "| package | SHA-256 |",
        "|---|---|",
        *rows,
    ]


def card(folder: Path, hours: float, date: str, note: str) -> str:
    """The card as Markdown."""
    plan = read_run(folder)
    described = json.loads((folder / "suite.json").read_text())
    tasks = pd.read_parquet(folder / "tasks.parquet")
    outcomes = pd.read_parquet(folder / "outcomes.parquet")
    sizes = outcomes["members"].str.count(r"\+") + 1
    merged = outcomes["members"][sizes > 1].groupby(sizes).nunique()
    sets = ", ".join(f"{merged.get(k, 0)} of {k}" for k in merged.index)
    versions = ", ".join(f"{k} {v}" for k, v in described["versions"].items() if k != "mergecast")
    gain = (tasks["single_score"] - tasks["base_score"]).min()
    rows = [
        f"| {r.task} | {r.n_classes} | {r.n_train} | {r.n_eval} | {r.majority:.3f} "
        f"| {r.base_score:.3f} | {r.single_score:.3f} |"
        for r in tasks.itertuples()
    ]
    lines = [
        f"# {plan.run.label}",
        "",
        f"`{command(described, set(plan.run.suite.tasks))}`",
        "",
        f"{date}, {hours:g} hours of two cores without an accelerator, beside other work; "
        f"{versions}. Merges: {sets}; recipes: {', '.join(described['methods'])}. Metrics up to "
        f"the tier {described['tier']}. {note}".strip(),
        "",
        "Scores are accuracy on the test samples; the base has the fine-tuned model's head. Every "
        f"fine-tuned model is at least {gain:.3f} above it.",
        "",
        HEAD,
        "|---|---|---|---|---|---|---|",
        *rows,
        *packages(described["suite"]),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=float, required=True)
    parser.add_argument("--date", required=True)
    parser.add_argument("--note", default="")
    parser.add_argument("-o", "--out", type=Path)
    given = parser.parse_args()
    text = card(given.folder, given.hours, given.date, given.note)
    if given.out:
        given.out.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
