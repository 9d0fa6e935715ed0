"""How far superposition is drawn towards what a model keeps alone, and what intervals are made of.

python benchmarks/tempered.py

On the measured tables that come with the package. First errors of a pair's retention, over the
suite's own mean's, of six methods and of all recipes, and what choosing each pair's method of all
recipes loses, by `share` and `great_loss` (`forecast/estimators/tempered.py`), with labels and
without; 0 is superposition as it is. Then errors over all recipes where both were chosen, by least
error, on the other kinds of models. Then what choosing loses where what a pair says of a method
counts whole beyond so much (`forecast/recommend.py`, CERTAIN; "inf": three tenths of it, however
large). Then by how much spreads (`forecast/intervals.py`) have to be multiplied so that nine
tenths of each suite's members lie within, and the widest over the narrowest: alike is better, since
a new suite's multiplier is not known. Last, the share of members in their 90 % interval where
quantiles of the other kinds count alike, and where the kind that errs most decides: `as it is`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import product

import pandas as pd

import mergecast as mc
from mergecast.forecast.estimators.tempered import GREAT_LOSS, SHARE, alone_of, tempered
from mergecast.forecast.intervals import (
    LEAST_APART,
    conformal_half_width,
    half_width_alike,
    spread,
)
from mergecast.forecast.recommend import CERTAIN, preference
from mergecast.forecast.rows import ROW_KEYS, kin, member_rows
from mergecast.forecast.shipped import measured_folders
from mergecast.suites.merges import SIX

WAYS = ("labelled", "unlabelled")
SHARES, GREAT_LOSSES = (0.0, 0.1, 0.15, 0.2, 0.25, 0.35), (0.05, 0.1, 0.2)
LEASTS = (0.03, 0.05, 0.1)
CERTAINS = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, float("inf"))


def main() -> None:
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    rows = member_table()
    for way in WAYS:
        print(f"\n{way}: error over the own mean's, six methods / all / what choosing one loses")
        grid = list(product(SHARES[1:], GREAT_LOSSES))
        settings = [(0.0, GREAT_LOSS), *grid]
        six = rows[rows["method"].isin(SIX)]
        errors = {one: errors_of(rows, way, *one) for one in settings}
        table = {
            f"{share:g} from {great:g}": errors_of(six, way, share, great).map("{:.2f}".format)
            + " / "
            + errors[share, great].map("{:.2f}".format)
            + " / "
            + losses_of(rows, way, share, great).map("{:.4f}".format)
            for share, great in settings
        }
        print(pd.DataFrame(table).T.to_string())
        chosen = {}
        for suite in errors[SHARE, GREAT_LOSS].index:
            others = [kin(one) != kin(suite) for one in errors[SHARE, GREAT_LOSS].index]
            best = min(settings, key=lambda one: errors[one][others].mean())
            chosen[suite] = f"{errors[best][suite]:.2f} ({best[0]:g} from {best[1]:g})"
        print(f"chosen on other kinds: {chosen}")
        certain = {str(one): losses_of(rows, way, SHARE, GREAT_LOSS, one) for one in CERTAINS}
        print(f"\n{way}: what choosing a method loses, by what is certain")
        print(pd.DataFrame(certain).T.round(4).to_string())
        print(f"\n{way}: multiplier of the spread for nine tenths")
        print(pd.DataFrame(dict(multipliers(rows, way))).T.round(2).to_string())
        print(f"\n{way}: members in their 90 % interval, six methods")
        print(pd.DataFrame(inside(six, way)).T.round(3).to_string())


def member_table() -> pd.DataFrame:
    """Member rows of every suite and recipe, with what was measured."""
    pairs, outcomes = mc.load_run(*measured_folders())
    truth = outcomes.members().rename(columns={"retention": "measured"})
    tables = []
    for method in outcomes.recipes:
        rows = member_rows(pairs, method)
        tables.append(rows.merge(truth[truth["method"] == method], on=ROW_KEYS))
    return pd.concat(tables, ignore_index=True)


def sources(rows: pd.DataFrame, way: str) -> tuple[pd.Series, pd.Series]:
    """Retention by superposition, and of the model alone."""
    name = f"superposed_expected_{way}"
    return rows[name].clip(lower=0.0), rows[alone_of(name)].clip(lower=0.0)


def told(rows: pd.DataFrame, way: str, share: float, great_loss: float) -> pd.DataFrame:
    """The rows with `retention`, the forecast."""
    superposed, alone = (one.to_numpy() for one in sources(rows, way))
    return rows.assign(retention=tempered(superposed, alone, share, great_loss))


def errors_of(rows: pd.DataFrame, way: str, share: float, great_loss: float) -> pd.Series:
    """By suite, the mean over methods of a pair's error over that of the suite's own mean."""
    rows = told(rows, way, share, great_loss)
    keys = ["suite", "method", "left", "right"]
    means = rows.groupby(keys)[["retention", "measured"]].mean().reset_index()
    own = means.groupby(["suite", "method"])["measured"].transform("mean")
    means = means.assign(
        error=(means["retention"] - means["measured"]).abs(), own=(own - means["measured"]).abs()
    )
    found = means.groupby(["suite", "method"])[["error", "own"]].mean().groupby("suite").mean()
    return found["error"] / found["own"]


def losses_of(
    rows: pd.DataFrame, way: str, share: float, great_loss: float, certain: float = CERTAIN
) -> pd.Series:
    """By suite, what choosing every pair's method loses against the best in hindsight."""
    found = {}
    for suite, table in told(rows, way, share, great_loss).groupby("suite"):
        keys = ["left", "right", "method"]
        means = table.groupby(keys)[["retention", "measured"]].mean().reset_index()
        means = means.assign(mean=means["retention"], known=False)
        means["sought"] = preference(means, ["left", "right"], certain)
        best = means.loc[means.groupby(["left", "right"])["sought"].idxmax(), "measured"].to_numpy()
        most = means.groupby(["left", "right"])["measured"].max().to_numpy()
        found[suite] = float((most - best).mean())
    return pd.Series(found)


def multipliers(rows: pd.DataFrame, way: str) -> dict[str, pd.Series]:
    """By what a spread is made of, the multiplier of every suite, and widest over narrowest."""
    rows = told(rows, way, SHARE, GREAT_LOSS)
    superposed, alone = sources(rows, way)
    error, lost = (rows["retention"] - rows["measured"]).abs(), (1 - rows["retention"]).abs()
    spreads: dict[str, Callable[[float], pd.Series]] = {
        "loss": lambda least: least + lost,
        "loss and distance": lambda least: least + lost + (superposed - alone).abs(),
    }
    found = {}
    for (name, make), least in product(spreads.items(), LEASTS):
        suites = (error / make(least)).groupby(rows["suite"]).quantile(0.9)
        found[f"{name}, at least {least:g}"] = pd.concat(
            [suites, pd.Series({"widest / narrowest": suites.max() / suites.min()})]
        )
    return found


def inside(rows: pd.DataFrame, way: str) -> dict[str, pd.Series]:
    """By how kinds of models count, each suite's share of members within intervals of the others'.

    As `evaluate --default`, but that bounds do not end where no merge was seen to go.
    """
    rows = told(rows, way, SHARE, GREAT_LOSS)
    superposed, alone = sources(rows, way)
    width = spread(rows["retention"].to_numpy(), LEAST_APART, (superposed - alone).abs().to_numpy())
    rows = rows.assign(error=(rows["retention"] - rows["measured"]).abs() / width)
    rows = rows.dropna(subset="error").assign(kin=rows["suite"].map(kin))
    rules = {"alike": half_width_alike, "as it is": conformal_half_width}
    found: dict[str, dict[str, list[float]]] = {rule: {} for rule in rules}
    for (suite, method), mine in rows.groupby(["suite", "method"]):
        others = rows[(rows["kin"] != kin(suite)) & (rows["method"] == method)]
        for rule, half_width in rules.items():
            half = half_width(others["error"].to_numpy(), 0.9, others["kin"].to_numpy())
            found[rule].setdefault(suite, []).append(float((mine["error"] <= half).mean()))
    return {rule: pd.DataFrame(of).mean() for rule, of in found.items()}


if __name__ == "__main__":
    main()
