"""Noise of merges that were measured on the same samples: against simulation and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from search_case import LABELS, priced

from mergecast.search.beliefs import Beliefs, Rows, covariance
from mergecast.search.judge import Seen
from mergecast.search.noise import ALIKE, Noise
from mergecast.search.objective import Objective
from mergecast.search.outlook import Outlook


def drawn(draw, counts, alike=0.8):
    """Two merges of one model, measured on its first samples, as many as `counts` says."""
    single = (draw.random(max(counts)) < 0.9).astype(float)
    shared = draw.random(max(counts))
    found = []
    for n in counts:
        lost = np.where(draw.random(max(counts)) < alike, shared, draw.random(max(counts))) < 0.2
        found.append(Seen.of([(single * ~lost)[:n]], [single[:n]]))
    return found


@pytest.mark.parametrize("counts", [(200, 200), (100, 400)])
def test_noise_is_as_much_alike_as_estimates_of_many_draws_are(counts):
    draw = np.random.default_rng(0)
    kept, told = [], []
    for _ in range(1500):
        seen = drawn(draw, counts)
        kept.append([one.kept[0] for one in seen])
        told.append(Noise.of([(("a",), one) for one in seen]).covariance)
    true, said = np.cov(np.transpose(kept)), np.mean(told, axis=0)
    np.testing.assert_allclose(said, true, rtol=0.12)
    assert true[0, 1] > 0.3 * np.sqrt(true[0, 0] * true[1, 1])


def test_variances_are_those_that_were_seen_and_other_samples_are_apart():
    draw = np.random.default_rng(1)
    single = [(draw.random(60) < 0.9).astype(float) for _ in range(3)]
    seen = [
        Seen.of([one * (draw.random(60) < 0.8) for one in some], some)
        for some in (single[:2], single[1:])
    ]
    noise = Noise.of([(("a", "b"), seen[0]), (("b", "c"), seen[1])])
    np.testing.assert_allclose(np.diag(noise.covariance), np.r_[seen[0].variance, seen[1].variance])
    assert noise.covariance[1, 2] != 0
    assert not noise.covariance[np.ix_([0, 3], [1, 2])].any()
    assert np.linalg.eigvalsh(noise.covariance).min() > 0


def test_numbers_without_samples_are_apart():
    scored = Seen(np.array([0.9, 0.8]), np.full(2, 1e-6), (1, 1))
    noise = Noise.of([(("a", "b"), scored)] * 2)
    np.testing.assert_array_equal(noise.covariance, np.diag(np.full(4, 1e-6)))
    _, beside = noise.ahead(("a", "b"), np.ones(2), np.full(2, 1e-6), np.ones(2), None)
    assert not beside.any()


def test_a_look_moves_beliefs_as_conditioning_a_joint_normal_does():
    merges = priced()[:9]
    rows = Rows.of(LABELS, merges)
    draw = np.random.default_rng(2)
    single = {x: (draw.random(100) < 0.9).astype(float) for x in LABELS}
    measured = []
    for place, n in ((0, 100), (3, 50)):
        names = merges[place].candidate.members
        some = [single[x][:n] for x in names]
        seen = Seen.of([one * (draw.random(n) < 0.85) for one in some], some)
        measured.append((place, names, seen))
    noise = Noise.of([(names, seen) for _, names, seen in measured])
    known = np.concatenate([np.flatnonzero(rows.merge == place) for place, *_ in measured])
    values = np.concatenate([seen.kept for *_, seen in measured])
    beliefs = Beliefs.given(rows, known, values, noise)
    short = np.arange(9)
    members = [one.candidate.members for one in merges]
    found = Outlook.of(beliefs, Objective(), short, members, 0)

    n_known = len(known)
    prior = beliefs.scale * covariance(rows, rows)
    seen = prior[np.ix_(known, known)] + noise.covariance
    own = np.diag(noise.covariance) * noise.counts
    looks = {3: (100.0, 2), 4: (50.0, None)}  # one measured on 50 samples, and one never
    for place, (count, row) in looks.items():
        mine = np.flatnonzero(rows.merge == place)
        names, each, slopes = merges[place].candidate.members, np.full(2, 0.2), np.full(2, 0.5)
        counts = np.full(2, count)
        variance, beside = noise.ahead(names, counts, each, slopes, row)
        moved = found.moved(
            np.array([place]), np.array([variance]), beliefs.freed(beside[:, None])
        )[:, 0]

        # The same with the noise of what is looked at as further unknowns.
        across = np.zeros((n_known, 2))
        for at, name in enumerate(names):
            for other in range(n_known):
                if row is not None and noise.covariance[row + at, other]:
                    before = max(noise.counts[row + at], noise.counts[other])
                    shared = noise.covariance[row + at, other] * before
                elif row is None and noise.members[other] == name:
                    shared = ALIKE * np.sqrt(each[at] * own[other])
                else:
                    continue
                across[other, at] = shared / max(noise.counts[other], count)
        mean_of = np.kron(np.eye(9), np.full(2, 0.5))
        with_looked = prior[:, mine] @ slopes
        gain = np.linalg.inv(seen)
        told = prior[known][:, mine] @ slopes + across @ slopes
        change = mean_of @ (with_looked - prior[:, known] @ gain @ told)
        spread = slopes @ prior[np.ix_(mine, mine)] @ slopes + variance - told @ gain @ told
        np.testing.assert_allclose(moved, change / np.sqrt(spread), atol=1e-9)
        fresh = Outlook.of(beliefs, Objective(), short, members, 0).moved(
            np.array([place]), np.array([variance]), np.zeros((n_known, 1))
        )[:, 0]
        assert np.abs(moved - fresh).max() > 1e-4


@pytest.mark.parametrize(("count", "more"), [(200, 150), (50, 0)])
def test_a_further_look_says_what_its_new_samples_say(count, more):
    merges = priced()[:1]
    rows = Rows.of(LABELS, merges)
    draw = np.random.default_rng(3)
    single = (draw.random(50) < 0.9).astype(float)
    seen = Seen.of([single * (draw.random(50) < 0.8)] * 2, [single] * 2)
    noise = Noise.of([(("a", "b"), seen)])
    beliefs = Beliefs.given(rows, np.array([0, 1]), seen.kept, noise)
    found = Outlook.of(beliefs, Objective(), np.array([0]), [("a", "b")], 0)
    variance, beside = noise.ahead(
        ("a", "b"), np.full(2, float(count)), np.ones(2), np.full(2, 0.5), 0
    )
    moved = found.moved(np.array([0]), np.array([variance]), beliefs.freed(beside[:, None]))[0, 0]
    known = found.covariance[0, 0]
    # Of the new samples alone, whose noise is apart from all before; without any there is none.
    fresh = 0.25 * (seen.variance * 50).sum() / more if more else np.inf
    assert moved == pytest.approx(known / np.sqrt(known + fresh), abs=1e-7)
