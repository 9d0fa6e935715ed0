"""Σ x xᵀ of many rows: exactly, or from a bounded number of signed sums of them."""

from __future__ import annotations

import torch
from torch import Tensor


class SecondMoment:
    """The second moment of rows of `width` numbers, in the dtype of the rows.

    Up to `limit` numbers wide, and without a limit, it is the (width, width) matrix itself. A
    wider one is kept as `limit` sums of rows with random signs (a count sketch, Charikar, Chen
    and Farach-Colton 2002), whose own second moment has the right expectation: quadratic forms in
    it cost limit/width as much. It is exact as long as no more than `limit` rows were added.

    Parameters
    ----------
    width : int
        Numbers a row.
    limit : int or None
        Widest exact matrix, and number of sums beyond it; None for any width.
    signs : torch.Generator or None
        Draws the signs; needed only where there is a limit.
    """

    def __init__(
        self, width: int, limit: int | None = None, signs: torch.Generator | None = None
    ) -> None:
        self.width = width
        self.exact = limit is None or width <= limit
        self._limit = width if limit is None else limit
        self._signs = signs
        self._sum: Tensor | None = None
        self.rows = 0

    def add(self, rows: Tensor, product: Tensor | None = None) -> Tensor | None:
        """Add (r, width) rows; returns their rowsᵀ rows, if it was needed, for reuse as `product`.

        Raises nothing: what is not finite stays so, and is noticed in the sums over pairs.
        """
        if self.exact:
            product = rows.mT @ rows if product is None else product
            self._sum = product.clone() if self._sum is None else self._sum.add_(product)
            self.rows += len(rows)
            return product
        if self._sum is None:
            self._sum = rows.new_zeros(self._limit, rows.shape[1])
        signs = torch.randint(0, 2, (len(rows),), generator=self._signs) * 2 - 1
        slots = torch.arange(self.rows, self.rows + len(rows)) % self._limit
        signed = rows * signs.to(rows.device, rows.dtype)[:, None]
        self._sum.index_add_(0, slots.to(rows.device), signed)
        self.rows += len(rows)
        return None

    def matrix(self) -> Tensor:
        """(width, width): the sum of xᵀ x; an estimate of it beyond the limit."""
        total = self._total()
        return total if self.exact else total.mT @ total

    def factor(self) -> Tensor:
        """(k, width) with factorᵀ factor = `matrix`, k at most the limit."""
        total = self._total()
        if not self.exact:
            return total
        if not bool(torch.isfinite(total).all()):
            return torch.full_like(total, torch.nan)
        values, vectors = torch.linalg.eigh(total.double())
        factor: Tensor = (vectors * values.clamp(min=0).sqrt()).mT.to(total.dtype)
        return factor

    def _total(self) -> Tensor:
        if self._sum is None:
            raise ValueError("no rows were added to this second moment")
        return self._sum
