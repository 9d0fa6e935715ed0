"""An evaluation as tables: scores beside the baselines, then what decisions would cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from mergecast.forecast.unseen_suites import SuiteScores
from mergecast.forecast.validation.beside import NORM, PARTNER
from mergecast.forecast.validation.choices import MEASURED_PAIRS
from mergecast.forecast.validation.decisions import Choices
from mergecast.forecast.validation.evaluation import CEILING, Evaluation
from mergecast.forecast.validation.protocols import PROTOCOLS
from mergecast.report.table import (
    MISSING,
    Column,
    Table,
    decimals,
    frame_table,
    number,
    percent,
)

# (column of the results, heading, digits of the score, digits of its interval)
_SCORES = (
    ("per_fold_r", "r by fold", 3, 2),
    ("per_fold_rho", "ρ by fold", 3, 2),
    ("pooled_r", "pooled r", 3, 2),
    ("mae", "MAE", 4, 3),
    ("r2", "R²", 2, 2),
    ("coverage", "coverage", 2, 2),
    ("gain", "gain", 4, 3),
    ("ratio", "ratio", 2, 2),
    ("ratio_without", "without", 2, 2),
)
_TASK = Column("task", "the task", lambda task: str(task) or MISSING)
_NULLS = (Column("p_per_fold_r", "p by fold", number), Column("p_pooled_r", "p pooled", number))
_SEEDS = (
    Column("per_fold_r_seed_sd", "sd r", decimals(4)),
    Column("mae_seed_sd", "sd MAE", decimals(4)),
)


def evaluation_parts(evaluation: Evaluation) -> Iterator[Table | str]:
    """The scores of every predictor, by method, and the notes on what was left out."""
    results = evaluation.results
    scores = [score for score in _SCORES if results[score[0]].notna().any()]
    nulls = [column for column in _NULLS if _defined(results, column.key)]
    # A spread of 0 everywhere is a sentence, not two columns.
    moves = any(_defined(results, c.key) and (results[c.key] > 0).any() for c in _SEEDS)
    extra = [_TASK, *nulls, *(_SEEDS if moves else ())]
    width = len(scores) + len(extra)
    rows: list[list[str] | None] = []
    for method, predictors in results.groupby("method", sort=False):
        # A method is a line of its own: a column for it would leave no room for intervals.
        rows += [*([None] if rows else []), [_heading(method, predictors), *[""] * width]]
        for row in predictors.to_dict("records"):
            cells = ["n/a"] * width  # it does not apply here, which is not the same as undefined
            if not row["note"]:
                cells = [_score(row, *score) for score in scores]
                cells += [column.show(row[column.key]) for column in extra]
            rows.append([f"  {_name(row)}", *cells])
    yield Table(
        f"{evaluation.protocol}: {PROTOCOLS.get(evaluation.protocol).summary}",
        ["predictor", *(score[1] for score in scores), *(column.heading for column in extra)],
        rows,
        caption="\n".join(_captions(evaluation, bool(nulls), moves)),
    )
    notes = dict.fromkeys([*results["note"], *evaluation.notes])
    yield from (f"note: {note}" for note in notes if note)


def _heading(method: object, predictors: pd.DataFrame) -> str:
    """A method, and what r its noisy outcomes allow at most."""
    ceiling = predictors[CEILING].iloc[0]
    return str(method) if pd.isna(ceiling) else f"{method} (r at most {number(ceiling, 2)})"


def suite_parts(found: SuiteScores) -> Iterator[Table | str]:
    """Every suite as a forecaster of the others has it: one table a tier, means over methods."""
    for tier, rows in found.overview().groupby("tier", sort=False):
        yield frame_table(
            f"A suite unseen, from {tier}: means over methods",
            rows,
            [
                Column("suite", "suite"),
                Column("predictor", "predictor"),
                Column("pooled_r", "r", decimals(2)),
                Column("r_ceiling", "r at most", decimals(2)),
                Column("r_null", "by chance", decimals(2)),
                Column("mae", "MAE", decimals(3)),
                Column("mae_constant", "own mean's", decimals(3)),
                Column("mae_tried", "tried", decimals(3)),
                Column("coverage90", "inside", percent),
                Column("width90", "width", decimals(2)),
                Column("answered", "answered", percent),
            ],
            caption="r, MAE: of a pair's retention; r at most: what the noise of the outcomes "
            "allows; by chance: what 5 % of forecasts pass whose models are relabelled at random; "
            "own mean's: the error of the suite's own mean, which nobody knows before; "
            "tried: that of making every merge and trying it on 100 labelled samples a task; "
            "inside, width: of 90 % intervals; answered: pairs with a number; "
            f"{NORM}: by the length of a member's task vector, a line fitted on the other suites; "
            f"{PARTNER}: the mean of both models' other merges, which nobody knows of new models",
        )
    if not found.choices.empty:
        yield frame_table(
            "Choosing each pair's method by these forecasts",
            found.choices,
            [
                Column("tier", "tier"),
                Column("suite", "suite"),
                Column("n_methods", "methods", decimals(0)),
                Column("regret", "regret", decimals(3)),
                Column("fixed_regret", "best fixed", decimals(3)),
                Column("fixed_method", "which"),
                Column("gain_low", "gain from", decimals(3)),
                Column("gain_high", "to", decimals(3)),
            ],
            caption="regret: retention lost against each pair's best method; best fixed: by the "
            "one method that does best for all pairs of the suite, which nobody knows before; "
            "gain: best fixed less regret, in 90 % of draws of tasks",
        )
    defined = found.over_tasks.dropna(subset="ratio")
    if not defined.empty:
        yield frame_table(
            "Errors over those of the suite's own mean, and the tasks they hang on",
            defined,
            [
                Column("tier", "tier"),
                Column("suite", "suite"),
                Column("ratio", "ratio", decimals(2)),
                Column("ratio_low", "from", decimals(2)),
                Column("ratio_high", "to", decimals(2)),
                Column("ratio_without", "without", decimals(2)),
                Column("task", "the task"),
            ],
            caption="means over all methods; from, to: in 90 % of draws of tasks; without: without "
            "the pairs of the task that counts most",
        )
        yield frame_table(
            "How many members lie in their 90 % intervals, by all methods",
            defined,
            [
                Column("tier", "tier"),
                Column("suite", "suite"),
                Column("inside", "inside", percent),
                Column("inside_low", "from", percent),
                Column("inside_high", "to", percent),
            ],
            caption="from, to: in 90 % of draws of tasks",
        )
    yield from (f"note: {note}" for note in found.notes)


def choice_parts(choices: Choices) -> Iterator[Table]:
    """Regret of methods, partners and sets chosen by each predictor."""
    if not choices.methods.empty:
        yield _methods(choices.methods, choices.threshold)
    if not choices.partners.empty:
        yield _partners(choices.partners)
    if not choices.sets.empty:
        yield _sets(choices.sets)


def _methods(table: pd.DataFrame, threshold: float) -> Table:
    best = ", ".join(dict.fromkeys(table["fixed_method"]))
    return frame_table(
        f"Choosing a method for each of {int(table['n_pairs'].max())} pairs: retention lost "
        "against the best choice in hindsight",
        table,
        [
            Column("predictor", "predictor"),
            Column("regret", "regret", decimals(4)),
            Column("fixed_regret", "fixed", decimals(4)),
            Column("chosen_best", "best chosen", percent),
            Column("refused", "refused", percent),
            Column("refused_rightly", "rightly", percent),
            Column("bad_merges", "bad merges", percent),
        ],
        caption=f"fixed: {best} for every pair, the best such rule in hindsight; refused: worst "
        f"member forecast below {threshold:g}; rightly: of these, it was; bad merges: of "
        "the others, it was",
    )


def _partners(table: pd.DataFrame) -> Table:
    rows = []
    for predictor, methods in table.groupby("predictor", sort=False):
        means = methods[["regret", "random_regret", "rho"]].mean(skipna=False)
        regret = methods.set_index("method")["regret"]
        worst = str(regret.idxmax()) if regret.notna().any() else MISSING
        numbers = [number(means["regret"], 4), number(means["random_regret"], 4)]
        rows.append(
            [str(predictor), *numbers, number(means["rho"], 2), number(regret.max(), 4), worst]
        )
    return Table(
        "Choosing a partner for each held-out task: retention lost against the best partner",
        ["predictor", "regret", "at random", "ρ", "worst", "under method"],
        rows,
        caption="means over methods; by method with --json",
    )


def _sets(table: pd.DataFrame) -> Table:
    columns = [
        (score, rule, digits)
        for score, digits in (("r", 3), ("rho", 3), ("mae", 4))
        for rule in ("pair_mean", "directed")
    ]
    rows: list[list[str] | None] = []
    for method, predictors in table.groupby("method", sort=True):
        counts = predictors.groupby("size")["n_sets"].max()
        title = f"{method}, {counts.sum()} sets of {', '.join(map(str, counts.index))}"
        rows += [*([None] if rows else []), [title, *[""] * len(columns)]]
        for name, rules in predictors.groupby("predictor", sort=False):
            means = rules.groupby("rule")[["r", "rho", "mae"]].mean()
            cells = [number(means[score][rule], digits) for score, rule, digits in columns]
            rows.append([f"  {name}", *cells])
    return Table(
        "Merges of three and more models, from forecasts of their pairs",
        ["predictor", *(f"{word} {rule}" for word in ("r", "ρ", "MAE")
                        for rule in ("mean", "directed"))],
        rows,
        caption="mean: of the set's pairs, as the paper does; directed: each partner costs a "
        f"factor of its own; {MEASURED_PAIRS}: the rules on known outcomes of pairs; means over "
        "sizes, each by itself with --json",
    )  # fmt: skip


def _captions(evaluation: Evaluation, nulls: bool, moves: bool) -> Iterator[str]:
    results = evaluation.results
    counted = results[results["n_folds"] > 0]
    pairs, folds = int(counted["n_pairs"].max()), int(counted["n_folds"].max())
    yield f"{pairs} pairs, {folds} folds; MAE in retention; (warm): knows partners' outcomes"
    if _defined(results, "mae_low"):
        yield "[ ]: 90% interval when tasks are drawn anew (bootstrap)"
    if results["per_fold_r"].notna().any():
        undefined = counted.groupby("predictor", sort=False)["n_undefined_folds"].max()
        for name, n in undefined[undefined > 0].items():
            yield f"r by fold of {name} is undefined in {n:.0f} folds"
    else:
        yield "r by fold is undefined: no fold has three pairs that differ"
    if evaluation.protocol == "l2to":
        yield "coverage: share of members inside their 90% interval"
        yield (
            "pooled r: fits change with the fold, which makes it too low (that of the constant is "
            "negative); of one fit, on other suites: evaluate --default"
        )
    yield (
        "gain: MAE of the constant less a predictor's; ratio: of the two; without: the same but "
        "for the pairs of the task that counts most"
    )
    if nulls:
        yield "p: share of permuted outcomes (by task, refitted) that score as high"
    if moves:
        yield "sd: standard deviation over seeds, 0 for what draws no numbers"
    elif _defined(results, "mae_seed_sd"):
        yield "no seed moves a score: none of these predictors draws numbers"


def _score(row: Mapping[Any, Any], key: str, _heading: str, digits: int, inner: int) -> str:
    text = number(row[key], digits)
    low, high = (number(row.get(f"{key}_{end}"), inner) for end in ("low", "high"))
    return text if MISSING in (text, low, high) else f"{text} [{low}, {high}]"


def _name(row: Mapping[Any, Any]) -> str:
    name = str(row["predictor"])
    return f"{name} (warm)" if row["warm"] and not name.endswith("_warm") else name


def _defined(results: pd.DataFrame, key: str) -> bool:
    return key in results and bool(results[key].notna().any())
