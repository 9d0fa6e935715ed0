"""Merges that were measured, as a forecast can use them: of its sizes and its parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from mergecast.api.inputs import Tasks, load_tasks
from mergecast.errors import UsageError
from mergecast.forecast.measured import has_shares, left_out_sentences
from mergecast.merging.method import METHODS
from mergecast.merging.recipe import Recipe
from mergecast.merging.recipe_text import has_values_apart
from mergecast.tables.outcomes import OutcomeTable, as_outcomes

if TYPE_CHECKING:
    from mergecast.suites.own import Measured
    from mergecast.tasks.task import Task

#: A table, its file, or what `mergecast.measure` returns.
MeasuredLike: TypeAlias = "OutcomeTable | pd.DataFrame | Measured | str | Path | None"


@dataclass(frozen=True)
class KnownMerges:
    """Measured merges by what they are for.

    Attributes
    ----------
    pairs, sets : OutcomeTable or None
        Pairs, and sets of the size asked for where that is more than two; None for none.
    left_out : tuple of str
        What neither is, with the reason: a sentence a reason.
    warnings : tuple of str
        What was assumed of them.
    """

    pairs: OutcomeTable | None = None
    sets: OutcomeTable | None = None
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def known_merges(measured: MeasuredLike, size: int | None, tasks: Tasks = None) -> KnownMerges:
    """Read measured merges, without those of other sizes or parameters than a forecast's.

    Parameters
    ----------
    measured : OutcomeTable, DataFrame, Measured, str, Path or None
        A table, its ``.parquet`` or ``.csv`` file, or what `mergecast.measure` returns.
    size : int or None
        Size of the sets that are to be ranked.
    tasks : mapping of str to Task, str or Path, optional
        Label to task, or their file: where a row's score is a share and nothing says of how many
        samples, it is taken to be of the task's test samples.

    Raises
    ------
    TableError, ResourceError
        No table of outcomes, or a file that cannot be read.
    UsageError
        No merge of the table is of use.
    """
    if measured is None:
        return KnownMerges()
    by_label = load_tasks(tasks) if isinstance(tasks, str | Path) else tasks or {}
    table, counts = _counted(_with_labels(_table(measured)), by_label)
    frame, sizes = table.by_recipe, table.sizes
    reasons = pd.Series(list(_differences(table)), index=frame.index)
    wanted = sorted({2, size or 2})
    for n in sorted(set(sizes) - set(wanted)):
        more = f"; ask for sets of {n}" if n > 2 else ", which is no merge"
        what = f"{n} models" if n > 1 else "one model"
        reasons[(sizes == n) & (reasons == "")] = f"of {what}{more}"
    left_out = tuple(left_out_sentences(frame.assign(reason=reasons)[reasons != ""]))
    found = {n: table.keep(keep) for n in wanted if (keep := (reasons == "") & (sizes == n)).any()}
    if not found:
        raise UsageError(
            "measured merges",
            f"none can be used: {'; '.join(left_out)}",
            "give merges of pairs by the methods' default parameters",
        )
    said = _assumed(counts, [one.frame["task"] for one in found.values()])
    pairs = found.pop(2, None)
    return KnownMerges(pairs, found.get(size or 2), left_out, said)


def _counted(table: OutcomeTable, tasks: Mapping[str, Task]) -> tuple[OutcomeTable, dict[str, int]]:
    """The table with `n_eval` where only the tasks tell it, and these numbers by task."""
    frame = table.frame
    silent = has_shares(frame) & frame["n_eval"].isna().to_numpy()
    if "retention_stderr" in frame:
        silent &= frame["retention_stderr"].isna().to_numpy()
    counts = {}
    for label in sorted({*frame["task"][silent]} & {*tasks}):
        try:
            counts[label] = tasks[label].size("test")
        except UsageError as error:
            if not error.thing.endswith("split 'test'"):
                raise
    filled = frame["n_eval"].where(~silent, frame["task"].map(counts))
    return replace(table, frame=frame.assign(n_eval=filled)), counts


def _assumed(counts: Mapping[str, int], used: Sequence[pd.Series]) -> tuple[str, ...]:
    """That scores are taken to be of as many samples as tasks have, of the tasks `used`."""
    named = {name for tasks in used for name in tasks}
    said = [f"{label}: {count}" for label, count in sorted(counts.items()) if label in named]
    if not said:
        return ()
    return (
        "measured merges without n_eval and retention_stderr are taken to be scored on their "
        f"tasks' test samples ({', '.join(said)}), from which their standard errors follow; if "
        "they were not, give the table a column n_eval (samples that a score is a share of)",
    )


def _table(measured: object) -> OutcomeTable:
    if isinstance(measured, str | Path):
        return OutcomeTable.read(measured)
    if isinstance(measured, OutcomeTable | pd.DataFrame):
        return as_outcomes(measured)
    from mergecast.suites.own import Measured

    return measured.outcomes if isinstance(measured, Measured) else as_outcomes(measured)


def _with_labels(table: OutcomeTable) -> OutcomeTable:
    """Recipes as a forecast calls them, however people wrote them; of unknown methods as they are.

    Raises UsageError for a recipe that cannot be read or be.
    """
    frame = table.frame
    label = {
        recipe: Recipe.of(recipe).label
        for method, recipe in zip(frame["method"], frame["recipe"], strict=True)
        if method in METHODS and not has_values_apart(recipe)
    }
    return replace(table, frame=frame.assign(recipe=frame["recipe"].replace(label)))


def _differences(table: OutcomeTable) -> Iterator[str]:
    """For each row what its merge was told otherwise than those forecast; empty where nothing.

    By the table's recipe, and by columns that are called as a parameter.
    """
    recipes = _recipes(table.recipe)
    for row in table.frame.to_dict("records"):
        name = str(row["recipe"])
        if has_values_apart(name):
            yield f"by {name}, which no forecast has"
            continue
        params = Recipe.of(name).as_mapping()["params"] if row["method"] in METHODS else {}
        plain = json.loads(json.dumps(params))
        told = [recipe[name] for recipe in recipes if name in recipe]
        told.append({key: row[key] for key in plain if key in row and not pd.isna(row[key])})
        other = {k: v for given in told for k, v in given.items() if k in plain and plain[k] != v}
        text = ", ".join(f"{key}={value}, forecast: {plain[key]}" for key, value in other.items())
        yield f"by {name} with {text}" if text else ""


def _recipes(recipe: Mapping[str, Any]) -> list[dict[str, dict[str, Any]]]:
    """What merges were told, by recipe, of each run that a table is made of."""
    found = []
    for run in recipe.get("runs", [recipe]):
        merging = run.get("merging", run.get("suite", {}).get("merging", {}))
        found.append({name: told for name, told in merging.items() if isinstance(told, dict)})
    return found
