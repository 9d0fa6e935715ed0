"""What a forecast's report says of measured merges, as plain data: the key `measured` of JSON."""

from __future__ import annotations

from typing import TypedDict

Number = float | None


class MeasuredMember(TypedDict):
    """A member of a measured pair beside forecasts that did not know what was measured of it.

    `before` any merge of the family was measured, and from the `others`, all measured pairs but its
    own; `mean` is that of the others by the method. None where there is none.
    """

    suite: str
    method: str
    left: str
    right: str
    member: str
    measured: float
    stderr: float
    before: Number
    before_lower: Number
    before_upper: Number
    before_inside: bool | None
    others: Number
    others_lower: Number
    others_upper: Number
    others_inside: bool | None
    mean: Number


class MeasuredSummary(TypedDict):
    """Measured pairs beside their forecasts: mean absolute errors of members, in retention.

    All are over the members of which there is the number; `n_inside` of `n_intervals` members lie
    in the interval of the forecast that `inside_of` names (others, before, or "" without any).
    """

    n_merges: int
    n_members: int
    before_error: Number
    others_error: Number
    mean_error: Number
    inside_of: str
    n_inside: int
    n_intervals: int
    sentence: str
    members: list[MeasuredMember]
