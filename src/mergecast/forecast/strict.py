"""What all parts of the forecaster file share: nothing extra, nothing infinite, nothing changed."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    """A part of the file."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)
