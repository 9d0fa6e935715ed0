"""A fit of `AdditivePlus` put together by model: what forecasts are made of, and what is stored.

The fit is a sum over training rows of similarities times weights. Every similarity there is depends
on a row's two models and their descriptors only, so the sum over rows collapses, without loss, to
an effect for each model and a slope for each model and metric: few numbers, which can be read,
where the rows' weights would be many that cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mergecast.forecast.estimators.descriptors import Names, Parts
from mergecast.typing import Floats

OWN, PARTNER = "own", "partner"
PARTNER_METRICS, OWN_METRICS = "partner metrics", "own metrics"
MEMBER_SLOPES, PARTNER_SLOPES = "own × partner metrics", "partner × own metrics"


@dataclass(frozen=True)
class Shares:
    """What the forecasts of n rows are made of; with the mean they sum to the forecast.

    Attributes
    ----------
    member, partner : ndarray of shape (n,)
        Effects of the two models, whatever their metrics.
    metrics : ndarray of shape (n, p)
        What each metric adds.
    """

    member: Floats
    partner: Floats
    metrics: Floats


@dataclass(frozen=True)
class Effects:
    """Effects of m models and p metrics, in retention.

    Attributes
    ----------
    mean : float
        Of the training rows, by generalised least squares.
    member, partner : ndarray of shape (m,)
        Effect of each model as member, and on its partners.
    own_metrics, partner_metrics : ndarray of shape (p,)
        Effect of one unit of a member's and of a partner's descriptor.
    member_slopes, partner_slopes : ndarray of shape (m, p)
        How each model answers to partners of a kind, and how it hits members of a kind.
    """

    mean: float
    member: Floats
    partner: Floats
    own_metrics: Floats
    partner_metrics: Floats
    member_slopes: Floats
    partner_slopes: Floats

    @classmethod
    def of_rows(
        cls,
        mean: float,
        variances: Mapping[str, float],
        weights: Floats,
        train: Parts,
        models: Names,
    ) -> Effects:
        """From a fit on training rows.

        Parameters
        ----------
        mean, weights : float, ndarray of shape (n,)
            Of `Components`.
        variances : mapping of str to float
            Term to its variance; a term that is not in the fit has none.
        train : Parts
            The n training rows.
        models : ndarray of shape (m,)
            Names; empty where rows name none.
        """
        p = max(train.own.shape[1], 1)
        own, other = weights[:, None] * train.own / p, weights[:, None] * train.other / p
        is_member = (models[:, None] == train.member[None]).astype(np.float64)
        is_partner = (models[:, None] == train.partner[None]).astype(np.float64)
        return cls(
            mean,
            variances.get(OWN, 0.0) * (is_member @ weights),
            variances.get(PARTNER, 0.0) * (is_partner @ weights),
            variances.get(OWN_METRICS, 0.0) * own.sum(axis=0),
            variances.get(PARTNER_METRICS, 0.0) * other.sum(axis=0),
            variances.get(MEMBER_SLOPES, 0.0) * (is_member @ other),
            variances.get(PARTNER_SLOPES, 0.0) * (is_partner @ own),
        )

    def shares(self, rows: Parts, like_member: Floats, like_partner: Floats) -> Shares:
        """What the forecasts of rows are made of.

        Parameters
        ----------
        rows : Parts
            n rows.
        like_member, like_partner : ndarray of shape (n, m)
            Likeness of each row's member and partner with each model of the fit.
        """
        own = self.own_metrics + like_partner @ self.partner_slopes
        other = self.partner_metrics + like_member @ self.member_slopes
        return Shares(
            like_member @ self.member,
            like_partner @ self.partner,
            rows.own * own + rows.other * other,
        )
