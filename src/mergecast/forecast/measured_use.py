"""What a forecast made of merges that were measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from mergecast.typing import Floats

#: Standard error of a measured retention where a table does not tell it.
ASSUMED_ERROR = 0.02


@dataclass(frozen=True)
class MeasuredUse:
    """What a forecast made of measured merges.

    Attributes
    ----------
    n_merges : int
        Merges used.
    methods : tuple of str
        Their merging methods.
    n_moved : int
        Member rows of pairs, or sets, that were not measured.
    moved, shift : float
        By how much those moved, in retention: mean absolute change, and mean change.
    left_out : tuple of str
        Merges that were not used, with the reason: a sentence a reason.
    size : int
        Members of each merge.
    n_assumed : int
        Rows of these merges, one a member and seed, whose standard error is `ASSUMED_ERROR`, since
        the table does not tell it.
    """

    n_merges: int
    methods: tuple[str, ...]
    n_moved: int
    moved: float
    shift: float
    left_out: tuple[str, ...] = ()
    size: int = 2
    n_assumed: int = 0

    @classmethod
    def of(
        cls, known: pd.DataFrame, change: Floats, left_out: tuple[str, ...], size: int = 2
    ) -> MeasuredUse:
        """Of member rows of merges that were used, and of the change of all others."""
        some = len(change) > 0
        return cls(
            n_merges=len(known) // size,
            methods=tuple(sorted(known["method"].unique())),
            n_moved=len(change),
            moved=float(abs(change).mean()) if some else 0.0,
            shift=float(change.mean()) if some else 0.0,
            left_out=left_out,
            size=size,
            n_assumed=int(known["assumed"].sum()),
        )

    def without(self, left_out: tuple[str, ...]) -> MeasuredUse:
        """The same, with merges that were left out before."""
        return replace(self, left_out=(*left_out, *self.left_out))

    @property
    def doubt(self) -> str:
        """That standard errors were assumed, of how many rows, and what tells them; or empty."""
        if not self.n_assumed:
            return ""
        rows = (
            "1 row of measured merges has"
            if self.n_assumed == 1
            else (f"{self.n_assumed} rows of measured merges have")
        )
        what = "" if self.size == 2 else f" (sets of {self.size})"
        return (
            f"{rows}{what} neither an error nor a number of samples that would tell it: a standard "
            f"error of {ASSUMED_ERROR:g} of retention was assumed; give the table a column n_eval "
            "(samples that a score is a share of) or retention_stderr"
        )

    @property
    def sentence(self) -> str:
        """How many were used and what they did, in one line."""
        noun = "merge" if self.size == 2 else f"set of {self.size}"
        some = f"1 measured {noun}"
        if self.n_merges != 1:
            plural = noun.replace("merge", "merges").replace("set", "sets")
            some = f"{self.n_merges} measured {plural}"
        head = f"{some} of this family used ({', '.join(self.methods)})"
        if not self.n_moved:
            return f"{head}."
        return (
            f"{head}: forecasts of the others moved by {self.moved:.3f} on average "
            f"({self.shift:+.3f} in the mean)."
        )
