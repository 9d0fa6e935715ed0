"""How merges are made when they are probed; importing it costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mergecast.errors import UsageError


@dataclass(frozen=True)
class MergeSettings:
    """How merges are made and measured, alike for retention, interference and pair probes.

    Attributes
    ----------
    samples : calibration samples a task; None takes as many as the other evidence. Retention was
        validated with 40: a mean probability needs more samples than a mean activation.
    merge_seed : of random masks; the seed that a real merge will be given.
    methods : merging methods that the table speaks of; all built-in ones if None.
    params : method to its parameters, where they differ from the defaults.
    size : number of models merged, stand-ins for partners included.
    partners : stand-ins for the partners in retention probes: ``base``, ``scrambled``.
    draws : shuffles of the scrambled partner that are averaged.
    reestimate_batchnorm : measure BatchNorm's running statistics anew on the calibration samples
        after each merge; otherwise they stay as merged.
    """

    samples: int | None = None
    methods: tuple[str, ...] | None = None
    merge_seed: int = 0
    params: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    size: int = 2
    partners: tuple[str, ...] = ("base", "scrambled")
    draws: int = 3
    reestimate_batchnorm: bool = False

    def __post_init__(self) -> None:
        for name, least in (("samples", 1), ("size", 2), ("draws", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(name, f"is {value}", f"give {least} or more")
