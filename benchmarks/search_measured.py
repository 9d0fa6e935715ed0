"""Merges that were all measured, and a judge of searches that looks them up: for `search.py`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from mergecast.search.candidates import Candidate
from mergecast.search.judge import Seen, expected_variance, levels
from mergecast.tables.sets import split_members
from mergecast.typing import Floats
from search_ways import Key


class Measured:
    """Merges that were all measured: scores of every sample, by set, recipe and member."""

    def __init__(self, tables: Sequence[Path]) -> None:
        self.scores: dict[Key, list[Floats]] = {}
        self.single: dict[str, Floats] = {}
        for table in tables:
            frame = pd.read_parquet(table.with_name(f"{table.stem}.samples.parquet"))
            for (members, recipe), rows in frame.groupby(["members", "recipe"], sort=True):
                by_task = rows.set_index("task")
                names = tuple(split_members(str(members)))
                if by_task["scores"].map(len).min() == 0:
                    continue
                self.scores[names, str(recipe)] = [
                    np.asarray(by_task["scores"][name], dtype=np.float32) for name in names
                ]
                for name in names:
                    single = np.asarray(by_task["single_scores"][name], dtype=np.float32)
                    self.single[name] = single

    @cached_property
    def labels(self) -> list[str]:
        return sorted(self.single)


class TableJudge:
    """Measures by looking up; a part of every task's samples, in an order of its own."""

    at_once = 1

    def __init__(self, measured: Measured, order: dict[str, np.ndarray]) -> None:
        self.measured, self.order = measured, order
        self.samples = 0
        self._seen: dict[Key, int] = {}

    def levels(self, candidate: Candidate) -> tuple[int, ...]:
        return levels(max(len(self.order[label]) for label in candidate.members))

    def variance(self, candidate: Candidate, kept: Floats) -> Floats:
        single = np.array([self.measured.single[x].mean() for x in candidate.members])
        return expected_variance(kept, single)

    def cost(self, candidate: Candidate, first: int, last: int) -> float:
        more = self.counts(candidate, last) - self.counts(candidate, first)
        return float((more + 20.0).sum())

    def counts(self, candidate: Candidate, samples: int) -> np.ndarray:
        most = [len(self.order[label]) for label in candidate.members]
        return np.minimum(most, float(samples))

    def see(self, asked: Sequence[tuple[Candidate, int]]) -> list[Seen]:
        return [self._one(*one) for one in asked]

    def _one(self, candidate: Candidate, samples: int) -> Seen:
        key = (candidate.members, candidate.method)
        before = self.counts(candidate, self._seen.get(key, 0))
        self.samples += int((self.counts(candidate, samples) - before).sum())
        self._seen[key] = samples
        merged, single = [], []
        for member, scores in zip(candidate.members, self.measured.scores[key], strict=True):
            some = self.order[member][:samples]
            merged.append(scores[some].astype(float))
            single.append(self.measured.single[member][some].astype(float))
        return Seen.of(merged, single)
