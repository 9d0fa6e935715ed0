"""Whatever a table holds comes back from Parquet and from CSV, to the last bit."""

import math
import tempfile
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mergecast.tables.columns import columns_of
from mergecast.tables.missing import MissingMetric, MissingOutcome
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from mergecast.tables.sets import join_members
from mergecast.tables.tiers import TIERS

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NAMES = TEXT.filter(lambda text: text.strip())
MEMBERS = NAMES.filter(lambda text: "+" not in text)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VERSIONS = st.dictionaries(NAMES, st.integers(1, 99), max_size=3)
RECIPES = st.dictionaries(
    TEXT,
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**40), 2**40) | NUMBERS | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)
METRIC = st.text("abc_.", min_size=1, max_size=5)


@st.composite
def pair_tables(draw):
    models = sorted(draw(st.lists(NAMES, min_size=2, max_size=4, unique=True)))
    suites = draw(st.lists(TEXT, min_size=1, max_size=2, unique=True))
    rows = [(suite, *pair) for suite in suites for pair in combinations(models, 2)]
    frame = pd.DataFrame(draw(st.permutations(rows)), columns=["suite", "left", "right"])
    keys = draw(st.lists(METRIC, min_size=1, max_size=4, unique=True))
    tiers, missing = {}, []
    for key in keys:
        tier = draw(st.sampled_from([*TIERS, ""]))
        method = draw(st.sampled_from(["", "ties"]))
        for column in map(str, columns_of(key, method, symmetric=draw(st.booleans()))):
            values = draw(st.lists(NUMBERS | st.none(), min_size=len(rows), max_size=len(rows)))
            frame[column] = pd.Series(values, dtype="float64")
            tiers |= {column: tier} if tier else {}
            missing += [
                MissingMetric(*frame.loc[row, ["suite", "left", "right"]], column, draw(TEXT))
                for row, value in enumerate(values)
                if value is None and draw(st.booleans())
            ]
    return PairTable(
        frame, tiers=tiers, missing=missing, versions=draw(VERSIONS), recipe=draw(RECIPES)
    )


@st.composite
def outcome_tables(draw):
    models = draw(st.lists(MEMBERS, min_size=2, max_size=4, unique=True))
    suite, method, seed = draw(TEXT), draw(NAMES), draw(st.integers(0, 2**31))
    recipes = [method, *(f"{method}({told})" for told in draw(st.sets(TEXT, max_size=2)))]
    rows, missing = [], []
    merges = [
        (recipe, members)
        for recipe in recipes
        for size in {2, len(models)}
        for members in combinations(sorted(models), size)
    ]
    for recipe, members in merges:
        for task in members:
            score = draw(st.floats(0, 1) | st.none())
            score = math.nan if score is None else score
            key = (suite, method, join_members(members), task)
            rows.append((recipe, *key, score, 0.5, score / 0.5, math.nan, 0.1, 10, seed))
            if math.isnan(score):
                missing.append(MissingOutcome(*key, seed, draw(TEXT), recipe=recipe))
    columns = ["recipe", "suite", "method", "members", "task", "score", "single_score", "retention",
               "loss", "single_loss", "n_eval", "seed"]  # fmt: skip
    frame = pd.DataFrame(rows, columns=columns)
    for kind in draw(st.sets(st.sampled_from(["text", "whole", "flag", "number"]))):
        values = {"text": TEXT, "whole": st.integers(-(2**52), 2**52), "flag": st.booleans(),
                  "number": NUMBERS}[kind]  # fmt: skip
        frame[f"more {kind}"] = draw(st.lists(values, min_size=len(rows), max_size=len(rows)))
    return OutcomeTable(frame, missing=missing, versions=draw(VERSIONS), recipe=draw(RECIPES))


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("tables", [pair_tables(), outcome_tables()], ids=["pairs", "outcomes"])
def test_everything_comes_back(suffix, tables):
    @settings(max_examples=60, deadline=None)
    @given(tables)
    def comes_back(table):
        with tempfile.TemporaryDirectory() as folder:
            back = type(table).read(table.write(Path(folder) / f"t{suffix}"))
        pd.testing.assert_frame_equal(back.frame, table.frame, check_exact=True)
        assert back.metadata() == table.metadata()
        assert back == table

    comes_back()
