"""What `mergecast evaluate` prints: scores beside the baselines, then what decisions would cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from mergecast.cli.tables import number, percent, print_table, say
from mergecast.forecast.validation.choices import MEASURED_PAIRS
from mergecast.forecast.validation.decisions import Choices
from mergecast.forecast.validation.evaluation import Evaluation
from mergecast.forecast.validation.protocols import PROTOCOLS

if TYPE_CHECKING:
    from rich.console import Console

# (column of the results, heading, digits of the score, digits of its interval)
_SCORES = (
    ("per_fold_r", "r by fold", 3, 2),
    ("per_fold_rho", "ρ by fold", 3, 2),
    ("pooled_r", "pooled r", 3, 2),
    ("mae", "MAE", 4, 3),
    ("r2", "R²", 2, 2),
    ("coverage", "coverage", 2, 2),
)
_NULLS = (("p_per_fold_r", "p by fold"), ("p_pooled_r", "p pooled"))
_SEEDS = (("per_fold_r_seed_sd", "sd r"), ("mae_seed_sd", "sd MAE"))


def print_evaluation(console: Console, evaluation: Evaluation) -> None:
    """The scores of every predictor, by method, and the notes on what was left out."""
    results = evaluation.results
    columns = [key for key, *_ in _SCORES if results[key].notna().any()]
    shown = [score for score in _SCORES if score[0] in columns]
    nulls = [(key, head) for key, head in _NULLS if _defined(results, key)]
    # A spread of 0 everywhere is a sentence, not two columns.
    moves = any(_defined(results, key) and (results[key] > 0).any() for key, _ in _SEEDS)
    spread = [(key, head) for key, head in _SEEDS if moves]
    rows: list[list[str] | None] = []
    for method, mine in results.groupby("method", sort=False):
        if rows:
            rows.append(None)
        # A method is a line of its own: a column for it would leave no room for intervals.
        width = len(shown) + len(nulls) + len(spread)
        rows.append([str(method), *[""] * width])
        for row in mine.to_dict("records"):
            if row["note"]:  # it does not apply here, which is not the same as undefined
                rows.append([f"  {_name(row)}", *["n/a"] * width])
                continue
            cells = [_score(row, *score) for score in shown]
            cells += [number(row[key], 3) for key, _ in nulls]
            cells += [number(row[key], 4) for key, _ in spread]
            rows.append([f"  {_name(row)}", *cells])
    summary = PROTOCOLS.get(evaluation.protocol).summary
    print_table(
        console,
        f"{evaluation.protocol}: {summary}",
        ["predictor", *(head for _, head, _, _ in shown), *(h for _, h in [*nulls, *spread])],
        rows,
        caption="\n".join(_captions(evaluation, nulls, spread)),
    )
    for note in dict.fromkeys([*results["note"], *evaluation.notes]):
        if note:
            say(console, f"note: {note}")


def print_choices(console: Console, found: Choices) -> None:
    """Regret of methods, partners and sets chosen by each predictor."""
    _methods(console, found)
    _partners(console, found.partners)
    _sets(console, found.sets)


def _methods(console: Console, found: Choices) -> None:
    table = found.methods
    if table.empty:
        return
    rows = [
        [
            str(row["predictor"]),
            number(row["regret"], 4),
            number(row["fixed_regret"], 4),
            percent(row["chosen_best"], 0),
            percent(row["refused"], 0),
            percent(row["refused_rightly"], 0),
            percent(row["bad_merges"], 0),
        ]
        for row in table.to_dict("records")
    ]
    best = ", ".join(dict.fromkeys(table["fixed_method"]))
    print_table(
        console,
        f"Choosing a method for each of {int(table['n_pairs'].max())} pairs: retention lost "
        "against the best choice in hindsight",
        ["predictor", "regret", "fixed", "best chosen", "refused", "rightly", "bad merges"],
        rows,
        caption=f"fixed: {best} for every pair, the best such rule in hindsight; refused: worst "
        f"member forecast below {found.threshold:g}; rightly: of these, it was; bad merges: of "
        "the others, it was",
    )


def _partners(console: Console, table: pd.DataFrame) -> None:
    if table.empty:
        return
    rows = []
    for predictor, mine in table.groupby("predictor", sort=False):
        means = mine[["regret", "random_regret", "rho"]].mean(skipna=False)
        values = mine.set_index("method")["regret"]
        worst = values.idxmax() if values.notna().any() else "–"
        rows.append(
            [
                str(predictor),
                number(means["regret"], 4),
                number(means["random_regret"], 4),
                number(means["rho"], 2),
                number(values.max(), 4),
                str(worst),
            ]
        )
    print_table(
        console,
        "Choosing a partner for each held-out task: retention lost against the best partner",
        ["predictor", "regret", "at random", "ρ", "worst", "under method"],
        rows,
        caption="means over methods; by method with --json",
    )


def _sets(console: Console, table: pd.DataFrame) -> None:
    if table.empty:
        return
    rows: list[list[str] | None] = []
    for method, mine in table.groupby("method", sort=True):
        if rows:
            rows.append(None)
        counts = mine.groupby("size")["n_sets"].max()
        sizes = ", ".join(map(str, counts.index))
        rows.append([f"{method}, {counts.sum()} sets of {sizes}", *[""] * 6])
        for name, rules in mine.groupby("predictor", sort=False):
            values = rules.groupby("rule")[["r", "rho", "mae"]].mean().to_dict("index")
            cells = [
                number(values[rule][key], digits)
                for key, digits in (("r", 3), ("rho", 3), ("mae", 4))
                for rule in ("pair_mean", "directed")
            ]
            rows.append([f"  {name}", *cells])
    heads = [f"{word} {rule}" for word in ("r", "ρ", "MAE") for rule in ("mean", "directed")]
    print_table(
        console,
        "Merges of three and more models, from forecasts of their pairs",
        ["predictor", *heads],
        rows,
        caption="mean: of the set's pairs, as the paper does; directed: each partner costs a "
        f"factor of its own; {MEASURED_PAIRS}: the rules on known outcomes of pairs; means over "
        "sizes, each by itself with --json",
    )


def _captions(
    evaluation: Evaluation, nulls: list[tuple[str, str]], spread: list[tuple[str, str]]
) -> list[str]:
    results = evaluation.results
    counted = results[results["n_folds"] > 0]
    pairs, folds = int(counted["n_pairs"].max()), int(counted["n_folds"].max())
    lines = [f"{pairs} pairs, {folds} folds; MAE in retention; (warm): knows partners' outcomes"]
    if _defined(results, "mae_low"):
        lines.append("[ ]: 90 % interval when tasks are drawn anew (bootstrap)")
    undefined = counted.groupby("predictor", sort=False)["n_undefined_folds"].max()
    missing = {name: int(n) for name, n in undefined[undefined > 0].items()}
    if not results["per_fold_r"].notna().any():
        lines.append("r by fold is undefined: no fold has three pairs that differ")
    else:
        lines += [f"r by fold of {name} is undefined in {n} folds" for name, n in missing.items()]
    if evaluation.protocol == "l2to":
        lines.append("coverage: share of members inside their 90 % interval")
    if nulls:
        lines.append("p: share of permuted outcomes (by task, refitted) that score as high")
    if spread:
        lines.append("sd: standard deviation over seeds, 0 for what draws no numbers")
    elif _defined(results, "mae_seed_sd"):
        lines.append("no seed moves a score: none of these predictors draws numbers")
    return lines


def _score(row: Mapping[Any, Any], key: str, heading: str, digits: int, inner: int) -> str:
    del heading
    text = number(row[key], digits)
    low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
    if low is None or high is None or low != low or row[key] != row[key]:
        return text
    return f"{text} [{number(low, inner)}, {number(high, inner)}]"


def _name(row: Mapping[Any, Any]) -> str:
    name = str(row["predictor"])
    return f"{name} (warm)" if row["warm"] and not name.endswith("_warm") else name


def _defined(results: pd.DataFrame, key: str) -> bool:
    return key in results and bool(results[key].notna().any())
