"""What tests of searches share: a pool, a judge that knows the truth, a search of tiny models."""

from __future__ import annotations

from itertools import combinations

import numpy as np

import mergecast as mc
from mergecast.merging import Recipe
from mergecast.search.beliefs import Rows, covariance
from mergecast.search.candidates import Candidate, Priced
from mergecast.search.judge import Seen, levels
from mergecast.search.policy import draws_of
from mergecast.testing.tiny import tiny_tasks

LABELS = ("a", "b", "c", "d", "e")
METHODS = ("weight_avg", "task_arithmetic", "ties")


def priced(sd=0.05, seed=0, sizes=(2, 3)):
    """All sets of some sizes by three methods, each with a forecast."""
    draw = np.random.default_rng(seed)
    return [
        Priced(
            Candidate(members, Recipe(method), method),
            draw.uniform(0.8, 1.0, len(members)),
            np.full(len(members), sd),
        )
        for size in sizes
        for members in combinations(LABELS, size)
        for method in METHODS
    ]


class Truth:
    """A judge that knows what every merge keeps, and answers with the noise of its samples."""

    at_once, most = 1, 400

    def __init__(self, merges, seed=0):
        rows = Rows.of(LABELS, merges)
        joint = covariance(rows, rows) + 1e-9 * np.eye(len(rows.mean))
        values = draws_of(rows.mean, joint, 1, seed)[0]
        self.kept = {
            one.candidate.key: values[rows.merge == place] for place, one in enumerate(merges)
        }
        self.asked = []

    def levels(self, candidate):
        del candidate
        return levels(self.most)

    def counts(self, candidate, samples):
        return np.full(len(candidate.members), float(samples))

    def variance(self, candidate, kept):
        del candidate
        return np.full(len(kept), 0.1)

    def cost(self, candidate, first, last):
        return float(len(candidate.members) * (last - first))

    def see(self, asked):
        found = []
        for candidate, samples in asked:
            self.asked.append((candidate.key, samples))
            truth = self.kept[candidate.key]
            noise = np.random.default_rng(len(self.asked)).standard_normal(len(truth))
            variance = np.full(len(truth), 0.1 / samples)
            counts = (samples,) * len(truth)
            found.append(Seen(truth + noise * np.sqrt(variance), variance, counts))
        return found


def find(family, **options):
    """A search of a tiny family: pairs, a few methods, a few measurements."""
    methods = ("weight_avg", "task_arithmetic", "ties")
    given = {"tasks": tiny_tasks(), "methods": methods, "size": 2, "budget": 8, "workers": 1}
    return mc.search(family, **(given | options))


def studies(folder):
    """The trials of every study that Optuna holds in a search's cache."""
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    storage = JournalStorage(JournalFileBackend(str(folder / "trials.log")))
    return [
        optuna.load_study(study_name=one.study_name, storage=storage).trials
        for one in optuna.get_all_study_summaries(storage)
    ]
