"""`ProbedFamily`: a family whose models can be run, one at a time, through one module."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

import numpy as np

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.errors import FamilyError, MergecastError, UsageError
from mergecast.family.family import Family
from mergecast.runtime.store import Store
from mergecast.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

    from mergecast.tasks.probe import Probe
    from mergecast.tasks.task import Samples, Task


@dataclass(frozen=True)
class ProbeSettings:
    """How models are run.

    Attributes
    ----------
    calibration : samples of every task.
    seed : of their choice.
    device : where models run.
    batch_size : samples run at once.
    layer : name of the block whose output is the activation; found by itself if None.
    cache : folder of finished units, reused by later runs; a temporary one if None.
    """

    calibration: int = 10
    seed: int = 42
    device: str = "cpu"
    batch_size: int = 32
    layer: str | None = None
    cache: Path | None = None

    def __post_init__(self) -> None:
        for name in ("calibration", "batch_size"):
            value = getattr(self, name)
            if value < 1:
                raise UsageError(name, f"is {value}", "give 1 or more")


class ProbedFamily:
    """A family with a task for every model; a context manager, which ends a temporary cache.

    At any time there is one module and at most one loaded checkpoint.

    Parameters
    ----------
    family : base and models.
    tasks : model label to its task; more than the family's are ignored.
    settings : how models are run.

    Raises
    ------
    UsageError
        A model has no task.
    FamilyError
        The family shares parameters that a task calls its private head.
    """

    def __init__(
        self, family: Family, tasks: Mapping[str, Task], settings: ProbeSettings | None = None
    ) -> None:
        lacking = [label for label in family.names if label not in tasks]
        if lacking:
            raise UsageError.unknown("task of model", lacking[0], tasks)
        self.family = family
        self.tasks = {label: tasks[label] for label in family.names}
        self.settings = settings or ProbeSettings()
        self._check_heads()
        cache = self.settings.cache
        if cache is not None and cache.exists() and not cache.is_dir():
            raise UsageError(cache, "is a file", "give a folder of finished work as cache")
        self._temporary: TemporaryDirectory[str] | None = None
        if self.settings.cache is None:
            self._temporary = TemporaryDirectory(prefix="mergecast-")
        self.store = Store(self.settings.cache or Path(self._temporary.name))  # type: ignore[union-attr]
        self._samples: dict[str, Samples] = {}
        self._digests: dict[str, str] = {}
        self._probe: Probe | None = None
        self._loaded = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()

    def samples(self, label: str) -> Samples:
        """The calibration samples of a model's task, the same whatever the family."""
        if label not in self._samples:
            chosen = self.settings
            self._samples[label] = self.tasks[label].samples(chosen.calibration, chosen.seed)
        return self._samples[label]

    def probe(self, label: str) -> Probe:
        """A probe of a model's task, not loaded; the module is kept from one to the next."""
        from mergecast.tasks.probe import Probe

        task = self.tasks[label]
        if self._probe is None or self._probe.task is not task:
            before = self._probe
            same = before is not None and before.task.blueprint == task.blueprint
            module = before.module if before is not None and same else None
            self._probe, self._loaded = None, ""
            self._probe = Probe(task, self.settings.device, module)
        return self._probe

    def load(self, label: str) -> Probe:
        """The probe with a model's weights loaded."""
        probe = self.probe(label)
        if self._loaded != label:
            self._loaded = ""
            state = self.state(label)
            try:
                probe.load(state)
            except MergecastError as error:
                raise error.about(f"model {label!r}") from error
            self._loaded = label
        return probe

    def state(self, label: str) -> dict[str, Tensor]:
        """All tensors of a model, floats in float32 (float64 if stored so)."""
        if label not in self.family.models:
            raise UsageError.unknown("model", label, self.family.models)
        state = read_state(self.family.models[label])
        if label not in self._digests:
            self._digests[label] = state_digest(state)
        return state

    def digest(self, label: str) -> str:
        """SHA-256 of a model's tensors, whatever their file format."""
        if label not in self._digests:
            self.load(label)
        return self._digests[label]

    def spec(self, stage: str, label: str, samples: Samples, **more: object) -> dict[str, object]:
        """What a unit of one model on some samples is stored under: content, no names of files."""
        task = self.tasks[label]
        return {
            "mergecast": __version__,
            "stage": stage,
            "model": self.digest(label),
            "blueprint": task.blueprint,
            "head": state_digest(task.head()),
            "samples": samples.digest(),
            **more,
        }

    def _check_heads(self) -> None:
        for label, task in self.tasks.items():
            for name in self.family.shared:
                if any(fnmatchcase(name, pattern) for pattern in task.private):
                    raise FamilyError(
                        f"parameter {name!r}",
                        f"is shared by the family but private in the task of {label!r}",
                        "open the family with the tasks' patterns as private",
                    )


def read_state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """All tensors of a checkpoint in memory, floats in float32 (float64 if stored so)."""
    from mergecast.checkpoints.torch_bridge import to_tensor

    state = {}
    for name, info in checkpoint.infos.items():
        if info.is_floating:
            state[name] = to_tensor(checkpoint.floats(name).reshape(info.shape))
        else:
            state[name] = to_tensor(checkpoint.array(name))
    return state


def state_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) of named tensors, in sorted order of names."""
    found = hashlib.sha256()
    for name, value in sorted(state.items()):
        found.update(f"{name}:{value.dtype}:{list(value.shape)}:".encode())
        found.update(np.ascontiguousarray(value.detach().cpu().numpy()).data)
    return found.hexdigest()
