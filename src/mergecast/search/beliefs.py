"""What is believed of every merge, given what some of them were measured to keep.

What member i keeps in a merge of set S by method m is its forecast and an error, in units of the
forecast's own standard deviation,

    family + method_m + member_i + both_im + Σ_j∈S (partner_j + beside_ij) / √(k - 1) + rest_iSm,

a sum of independent Gaussian effects, so that every real merge teaches about the rest: of the same
method, the same models, and of the same set at other strengths. Conditioning is in closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular

from mergecast.merging.recipe import Recipe
from mergecast.search.candidates import Candidate, Priced
from mergecast.search.noise import Noise
from mergecast.typing import Floats

Places = npt.NDArray[np.intp]

#: Shares of an error's variance, by effect: rounded means over the four measured suites of what is
#: likeliest for the residuals of superposed forecasts.
FAMILY, METHOD, MEMBER, BOTH, PARTNER, BESIDE, REST = 0.05, 0.1, 0.3, 0.2, 0.05, 0.15, 0.15
#: Rows that the forecasts' own statement of their error counts as, against what was measured: few,
#: since intervals are as wide as the kind of models that errs most. Chosen on simulated
#: searches and on pairs of four suites (docs/search.md).
_TRUSTED = 5
#: What their variances may be multiplied by, then, and the least variance of sampling noise.
_SCALES, _EXACT = np.geomspace(0.05, 20, 61), 1e-10
#: Strengths, or weights, by a factor of e^this apart share three fifths of `REST`.
_LENGTH = 0.7


@dataclass(frozen=True)
class Rows:
    """Members of merges, one row a merge and member, in the order of the merges.

    Attributes
    ----------
    merge, member, method, same : (r,) array of int
        The merge; codes of model and method; and of set and method together.
    inside : (r, n) array
        The other members, each 1 / √(k - 1).
    place : (r, 2) array
        Logarithms of the strength against the recipe's own, and of the member's weight.
    mean, sd : (r,) array
        Forecast and standard deviation of its error.
    """

    merge: Places
    member: Places
    method: Places
    same: Places
    inside: Floats
    place: Floats
    mean: Floats
    sd: Floats

    @classmethod
    def of(cls, labels: Sequence[str], priced: Sequence[Priced]) -> Rows:
        """Rows of merges with a forecast."""
        place = {label: row for row, label in enumerate(labels)}
        methods: dict[str, int] = {}
        sets: dict[tuple[str, tuple[str, ...]], int] = {}
        sizes = [len(one.candidate.members) for one in priced]
        merge = np.repeat(np.arange(len(priced)), sizes)
        member = np.array([place[x] for one in priced for x in one.candidate.members])
        method, same = (np.empty(len(priced), dtype=np.intp) for _ in range(2))
        inside = np.zeros((len(priced), len(labels)))
        for row, one in enumerate(priced):
            merged = one.candidate
            method[row] = methods.setdefault(merged.method, len(methods))
            same[row] = sets.setdefault((merged.method, merged.members), len(sets))
            inside[row, [place[x] for x in merged.members]] = 1 / np.sqrt(len(merged.members) - 1)
        others = inside[merge]
        others[np.arange(len(merge)), member] = 0.0
        return cls(
            merge,
            member,
            method[merge],
            same[merge],
            others,
            np.concatenate([_places(one.candidate) for one in priced]),
            np.concatenate([one.kept for one in priced]),
            np.concatenate([one.sd for one in priced]),
        )

    def take(self, rows: Places) -> Rows:
        """Some of them."""
        return Rows(**{name: values[rows] for name, values in vars(self).items()})


def _places(candidate: Candidate) -> Floats:
    """Where a merge stands among those of its set and method, a row a member, (k, 2)."""
    usual, here = Recipe.of(candidate.method).strength, candidate.recipe.strength
    factor = np.log(here / usual) if here and usual and min(here, usual) > 0 else 0.0
    weights = np.array([candidate.recipe.weights.get(x, 1.0) for x in candidate.members])
    logs = np.log(np.maximum(weights, 1e-3))
    return np.column_stack([np.full(len(logs), factor), logs - logs.mean()])


def covariance(a: Rows, b: Rows) -> Floats:
    """Of the errors of two lists of rows, (a, b)."""

    def equal(name: str) -> npt.NDArray[np.bool_]:
        return np.asarray(getattr(a, name)[:, None] == getattr(b, name)[None])

    member, method = equal("member"), equal("method")
    apart = ((a.place[:, None] - b.place[None]) ** 2).sum(axis=-1)
    near = np.exp(-0.5 * apart / _LENGTH**2)
    shared = FAMILY + METHOD * method + MEMBER * member + BOTH * (member & method)
    shared = shared + (PARTNER + BESIDE * member) * (a.inside @ b.inside.T)
    shared += REST * (member & equal("same")) * near
    return np.asarray(shared * a.sd[:, None] * b.sd[None])


@dataclass(frozen=True)
class Beliefs:
    """What is believed of all rows once some were measured.

    Attributes
    ----------
    rows : Rows
        All of them.
    known : array of int
        Those that were measured.
    mean, variance : (r,) array
        Of what each row keeps of infinitely many samples.
    scale : float
        What the variances that forecasts tell of their errors are multiplied by, after what was
        measured.
    noise : Noise
        Of what was measured, in the order of `known`.
    """

    rows: Rows
    known: Places
    mean: Floats
    variance: Floats
    scale: float
    noise: Noise
    _lower: Floats
    _solved: Floats

    @classmethod
    def given(cls, rows: Rows, known: Places, values: Floats, noise: Noise) -> Beliefs:
        """Beliefs after measurements.

        Parameters
        ----------
        rows : Rows
            All that may be asked of.
        known : (n,) array of int
            Rows that were measured.
        values : (n,) array
            What was measured.
        noise : Noise
            Its sampling noise.
        """
        prior = rows.sd**2
        if not len(known):
            none = np.empty((0, len(rows.mean)))
            return cls(rows, known, rows.mean, prior, 1.0, noise, np.empty((0, 0)), none)
        seen, residuals = rows.take(known), values - rows.mean[known]
        inside = covariance(seen, seen)
        scale = _scale_of(inside, residuals, noise.covariance)
        lower = cholesky(scale * inside + noise.covariance, lower=True)
        across = scale * covariance(seen, rows)
        solved = solve_triangular(lower, across, lower=True)
        mean = rows.mean + solve_triangular(lower, residuals, lower=True) @ solved
        variance = np.maximum(scale * prior - np.einsum("ij,ij->j", solved, solved), 1e-12)
        return cls(rows, known, np.asarray(mean), variance, scale, noise, lower, solved)

    def joint(self, rows: Places) -> Floats:
        """Covariance of some rows."""
        some = self.rows.take(rows)
        solved = self._solved[:, rows]
        return np.asarray(self.scale * covariance(some, some) - solved.T @ solved)

    def told(self, rows: Places, slopes: Floats) -> Floats:
        """What was measured, freed of what it shares, tells of sums of some rows, (n, c).

        The covariance of both, the sums with `slopes`, (c, rows).
        """
        return np.asarray(self._solved[:, rows] @ slopes.T)

    def freed(self, beside: Floats) -> Floats:
        """Covariances with the noise of what was measured, (n, o), freed of what that shares."""
        if not len(beside):
            return beside
        return np.asarray(solve_triangular(self._lower, beside, lower=True))


def _scale_of(errors: Floats, residuals: Floats, noise: Floats) -> float:
    """By what forecasts' variances are best multiplied, given how far some of them were off.

    The mean of its posterior over `_SCALES`: of an inverse gamma prior about 1, which weighs as
    much as `_TRUSTED` rows, and of Gaussian residuals with noise. The mean, not the mode: a few
    rows that happen to lie near their forecasts do not make the others certain.

    Parameters
    ----------
    errors : (n, n) array
        Covariance of the forecasts' errors, as they say.
    residuals : (n,) array
        Measured less forecast.
    noise : (n, n) array
        Covariance of the noise of what was measured.
    """
    lower = cholesky(noise + _EXACT * np.eye(len(noise)), lower=True)
    half = solve_triangular(lower, errors, lower=True)
    values, vectors = np.linalg.eigh(solve_triangular(lower, half.T, lower=True))
    told = (vectors.T @ solve_triangular(lower, residuals, lower=True)) ** 2
    spread = 1 + _SCALES[:, None] * np.maximum(values, 0.0)
    doubt = (np.log(spread) + told / spread).sum(axis=1)
    doubt += _TRUSTED * (np.log(_SCALES) + 1 / _SCALES)
    weights = np.exp((doubt.min() - doubt) / 2)
    return float(weights @ _SCALES / weights.sum())
