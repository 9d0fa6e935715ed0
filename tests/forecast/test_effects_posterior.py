"""Measured residuals say of the others what brute-force Gaussian conditioning says."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from mergecast.forecast.effects_posterior import Effects, Rows, condition, draws, posterior

N_METHODS, N_MODELS = 2, 5


@pytest.fixture
def rows():
    """Every member row of five models under two methods."""
    codes = [(m, i, j) for m in range(N_METHODS) for i, j in permutations(range(N_MODELS), 2)]
    method, member, partner = np.array(codes, dtype=np.intp).T
    random = np.random.default_rng(0)
    z = random.normal(size=len(codes)) * 0.1
    rest = 0.05 + 0.05 * random.random(len(codes))
    return Rows(method, member, partner, z, np.where(method == 0, 0.05, 0.08), rest,
                np.full(len(codes), 0.04))  # fmt: skip


def effects_of(rows, sizes):
    """Each row as a sum of independent standard normal effects: (n, effects)."""
    shift, slope, own, partner, rest = sizes.sd
    columns = {}
    for r in range(len(rows.z)):
        m, i, j = rows.method[r], rows.member[r], rows.partner[r]
        level = {("shift",): shift * rows.scale[r], ("slope",): slope * rows.z[r]}
        sizes_of_models = {("own", i): own, ("partner", j): partner}
        mine = {name: size * rows.scale[r] for name, size in sizes_of_models.items()}
        mine[("rest", i, j)] = rest * rows.rest[r]
        shared = {**sizes_of_models, ("rest", i, j): rest}
        parts = [((m, *name), size) for name, size in level.items()]
        parts += [((m, *name), size * np.sqrt(1 - sizes.share)) for name, size in mine.items()]
        parts += [
            (("all", *name), size * rows.common[r] * np.sqrt(sizes.share))
            for name, size in shared.items()
        ]
        for name, size in parts:
            columns.setdefault(name, {})[r] = size
    design = np.zeros((len(rows.z), len(columns)))
    for c, values in enumerate(columns.values()):
        for r, value in values.items():
            design[r, c] = value
    return design


SIZES = Effects(np.array([0.6, 0.4, 0.7, 0.3, 0.5]), 0.4)


def test_conditioning_is_that_of_the_effects_it_describes(rows):
    design = effects_of(rows, SIZES)
    joint = design @ design.T
    here = np.isin(np.arange(len(rows.z)), [0, 3, 7, 21, 30])
    noise = np.array([0.01, 0.02, 0.01, 0.03, 0.02]) ** 2
    residuals = np.array([0.1, -0.05, 0.02, 0.2, -0.1])
    mean, variance = condition(rows.take(here), residuals, noise, rows, SIZES)
    gain = joint[:, here] @ np.linalg.inv(joint[np.ix_(here, here)] + np.diag(noise))
    np.testing.assert_allclose(mean, gain @ residuals, atol=1e-10)
    np.testing.assert_allclose(variance, np.diag(joint - gain @ joint[here]), atol=1e-10)


def test_the_mixture_is_weighed_by_the_likelihood(rows):
    here = np.arange(len(rows.z)) < 4
    noise, residuals = np.full(4, 1e-4), np.array([0.1, 0.12, 0.09, 0.11])
    weights, means = [], []
    for effects in draws():
        known = effects_of(rows.take(here), effects)
        matrix = known @ known.T + np.diag(noise)
        log_determinant = np.linalg.slogdet(matrix)[1]
        weights.append(-0.5 * (residuals @ np.linalg.solve(matrix, residuals) + log_determinant))
        means.append(condition(rows.take(here), residuals, noise, rows, effects)[0])
    shares = np.exp(np.array(weights) - max(weights))
    expected = shares @ np.array(means) / shares.sum()
    np.testing.assert_allclose(posterior(rows.take(here), residuals, noise, rows)[0], expected,
                               atol=1e-6)  # fmt: skip


def test_intervals_hold_what_they_say_and_narrow_with_what_was_learned(rows):
    random = np.random.default_rng(1)
    design, first = effects_of(rows, SIZES), np.minimum(rows.member, rows.partner)
    second = np.maximum(rows.member, rows.partner)
    inside, widths = [], {1: [], 4: []}
    for _ in range(30):
        truth = design @ random.normal(size=design.shape[1])
        for n, pairs in ((1, [(0, 1)]), (4, [(0, 1), (2, 3), (0, 4), (1, 2)])):
            here = np.array([pair in pairs for pair in zip(first, second, strict=True)])
            noise = np.full(here.sum(), 1e-4)
            seen = truth[here] + 1e-2 * random.normal(size=here.sum())
            mean, variance = posterior(rows.take(here), seen, noise, rows)
            inside += list(np.abs(truth - mean)[~here] < 1.645 * np.sqrt(variance[~here]))
            widths[n].append(np.sqrt(variance[~here]).mean())
    assert 0.85 < np.mean(inside) < 0.98
    assert np.mean(widths[4]) < 0.9 * np.mean(widths[1])


def test_a_method_that_is_left_to_chance_gets_wider_intervals_than_one_that_is_not(rows):
    random = np.random.default_rng(2)
    chance = np.where(rows.method == 0, 0.001, 0.1) * random.normal(size=len(rows.z))
    here = np.maximum(rows.member, rows.partner) < 4
    even = replace(rows, scale=np.full(len(rows.z), 0.05), rest=np.full(len(rows.z), 0.05))
    _, variance = posterior(even.take(here), chance[here], np.full(here.sum(), 1e-6), even)
    widths = [np.sqrt(variance[~here & (rows.method == method)]).mean() for method in (0, 1)]
    assert widths[1] > 1.5 * widths[0]
