"""`Session`: a family whose models can be run, one at a time, through one module."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from mergecast.checkpoints.patterns import matches
from mergecast.checkpoints.torch_bridge import read_state, state_digest
from mergecast.errors import FamilyError, MergecastError, UsageError
from mergecast.evidence.finished import Finished
from mergecast.evidence.remembered import Remembered
from mergecast.evidence.settings import MergeSettings, ProbeSettings, usual_count
from mergecast.family.family import Family
from mergecast.family.token_rows import numbering
from mergecast.runtime.least import at_least
from mergecast.runtime.progress import Progress, Silent
from mergecast.runtime.stage import Stage

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mergecast.merging.recipe import Recipe
    from mergecast.tasks.probe import Probe
    from mergecast.tasks.task import Samples, Task

#: Modules without weights that are kept, one for each architecture and head.
_MODULES_KEPT = 16


@dataclass
class Session(Finished):
    """A family and all that collecting evidence of it takes; a context manager.

    At any time at most one model is kept loaded; modules hold no weights. What is finished is kept
    in `store`, by content; the end of the session ends a temporary one.

    Attributes
    ----------
    family : Family
        Base and models.
    tasks : mapping of str to Task, or None
        Model label to its task, more than the family's are ignored; only weights need none.
    settings : ProbeSettings
        How models are run.
    merges : MergeSettings
        How merges are made and measured, for retention, interference and pair probes.
    workers : int
        Threads of the weights tier, and processes that run small models (`side_by_side`); no value
        depends on it.
    on_error : str
        ``refuse`` sets models with non-finite weights aside instead of raising.
    progress : Progress
        Where stages are reported.
    keys : collection of str, or None
        The metrics that will be read; a kind may leave out what none of them takes. None for all.
    """

    family: Family
    tasks: Mapping[str, Task] | None = None
    settings: ProbeSettings = field(default_factory=ProbeSettings)
    merges: MergeSettings = field(default_factory=MergeSettings)
    workers: int = 2
    on_error: Literal["raise", "refuse"] = "raise"
    progress: Progress = field(default_factory=Silent)
    keys: Collection[str] | None = None

    def __post_init__(self) -> None:
        super().__init__()
        at_least(1, workers=self.workers)
        self._sizes: dict[str, int] = {}
        self._samples: dict[tuple[str, int], Samples] = {}
        self._tests: Remembered[Samples] = Remembered(lambda samples: samples.size_in_bytes)
        self._digests: dict[str, str] = {}
        self._defined: dict[str, dict[str, object]] = {}
        self._logits: Remembered[Tensor] = Remembered(lambda logits: logits.nbytes)
        self._modules: dict[str, nn.Module] = {}
        self._loaded: tuple[str, Probe] | None = None
        self._recipes: tuple[MergeSettings, dict[str, Recipe]] | None = None

    def narrowed(self, names: Sequence[str], keys: Collection[str] | None = None) -> Session:
        """The same session with only the models `names`; the store and what was read are shared."""
        if self.tasks is not None:
            _ = self.store
        narrow = copy(self)
        narrow.family, narrow.keys = self.family.subset(names), self.keys if keys is None else keys
        return narrow

    @property
    def methods(self) -> tuple[str, ...]:
        """What merges that metrics speak of are made by, as tables call it, sorted.

        A method's name, or the label of a recipe with other parameters; see `recipe`.
        """
        return tuple(self._made)

    def recipe(self, method: str) -> Recipe:
        """How merges by one of `methods` are made, or by another method that is registered."""
        return self._made.get(method) or self.merges.recipe(method)

    @property
    def _made(self) -> dict[str, Recipe]:
        if self._recipes is None or self._recipes[0] is not self.merges:
            self._recipes = (self.merges, self.merges.recipes())
        return self._recipes[1]

    def task(self, label: str) -> Task:
        """A model's task.

        Raises
        ------
        UsageError
            A model has no task.
        FamilyError
            The family shares parameters that a task calls its private head.
        """
        return self._tasks[label]

    @cached_property
    def _tasks(self) -> dict[str, Task]:
        if self.tasks is None:
            raise UsageError(
                "tasks", "none given", "give one for every model: only weights need none"
            )
        for label in self.family.names:
            if label not in self.tasks:
                raise UsageError.unknown("task of model", label, self.tasks)
        tasks = {
            label: run_as(self.family, label, self.tasks[label]) for label in self.family.names
        }
        for label, task in tasks.items():
            for name in self.family.shared:
                if matches(name, task.private):
                    raise FamilyError(
                        f"parameter {name!r}",
                        f"is shared by the family but private in the task of {label!r}",
                        "open the family with the tasks' patterns as private",
                    )
        return tasks

    def _count(self, label: str, asked: int | None) -> int:
        """Samples asked for of a task, or as many as it has up to what is usual; never too few."""
        count = asked or self.settings.count(label)
        if count is not None:
            return count
        if label not in self._sizes:
            self._sizes[label] = self.task(label).size("calibration")
        return usual_count(label, self._sizes[label])

    def samples(self, label: str, count: int | None = None) -> Samples:
        """Calibration samples of a model's task, the same whatever the family."""
        key = (label, self._count(label, count))
        if key not in self._samples:
            self._samples[key] = self.task(label).samples(key[1], self.settings.seed)
        return self._samples[key]

    def merge_samples(self, label: str) -> Samples:
        """The calibration samples on which merges with a model are measured."""
        return self.samples(label, self.merges.samples)

    def test_samples(self, label: str) -> Samples:
        """All test samples of a model's task, on which it is scored; the last ones are kept."""
        return self._tests.get(label, lambda: self.task(label).samples(None, 0, "test"))

    def probe(self, label: str) -> Probe:
        """A probe of a model's task, nothing loaded; modules are kept from one to the next."""
        from mergecast.tasks.probe import Probe

        task = self.task(label)
        module = self._modules.get(task.blueprint)
        if module is None:
            self._loaded = None  # the old weights are let go before the new module is built
            if len(self._modules) >= _MODULES_KEPT:
                self._modules.pop(next(iter(self._modules)))
        spare = self.family.models[label].passed_on
        probe = Probe(task, self.settings.device, module, spare)
        self._modules[task.blueprint] = probe.module
        return probe

    def load(self, label: str) -> Probe:
        """A probe with a model's weights loaded; the last one is kept."""
        if self._loaded is None or self._loaded[0] != label:
            probe = self.probe(label)
            self._loaded = None
            state = self.state(label)
            try:
                probe.load(state)
            except MergecastError as error:
                raise error.about(f"model {label!r}") from error
            self._loaded = (label, probe)
        return self._loaded[1]

    def logits(self, label: str, count: int | None = None) -> Tensor:
        """A model's own logits, by default on what merges are measured on; the last are kept.

        Parameters
        ----------
        label : str
            The model.
        count : int, optional
            Calibration samples.
        """
        samples = self.samples(label, count or self.merges.samples)
        key = (label, len(samples))
        return self._logits.get(key, lambda: self._answered(label, self.state(label), samples))

    def base_logits(self, label: str, count: int | None = None) -> Tensor:
        """The base's logits with a model's head; see `logits`."""
        from mergecast.merging.stand_ins import with_own_head

        samples = self.samples(label, count or self.merges.samples)

        def compute() -> Tensor:
            state = with_own_head(self.family, read_state(self.family.base), label)
            return self._answered(label, state, samples)

        return self._logits.get(("base", label, len(samples)), compute)

    def _answered(self, label: str, state: Mapping[str, Tensor], samples: Samples) -> Tensor:
        probe = self.probe(label)
        try:
            logits = probe.logits(state, samples, self.settings.batch_size)
            if samples.labels is not None:
                probe.task.check_labels(logits, samples.labels)
        except MergecastError as error:
            raise error.about(f"model {label!r}") from error
        return logits

    def state(self, label: str) -> dict[str, Tensor]:
        """All tensors of a model, floats in float32 (float64 if stored so)."""
        if label not in self.family.models:
            raise UsageError.unknown("model", label, self.family.models)
        state = read_state(self.family.whole(label))
        if label not in self._digests:
            self._digests[label] = state_digest(state)
        return state

    def digest(self, label: str) -> str:
        """SHA-256 of a model's tensors, whatever their file format."""
        if label not in self._digests:
            self.state(label)
        return self._digests[label]

    @cached_property
    def base_digest(self) -> str:
        """SHA-256 of the base's tensors."""
        return state_digest(read_state(self.family.base))

    @cached_property
    def widest(self) -> int:
        """Numbers in the largest parameter that the family shares."""
        return max(self.family.base.info(name).size for name in self.family.shared)

    @cached_property
    def shared_digest(self) -> str:
        """SHA-256 of the names of what the family shares: where a member's head begins."""
        return hashlib.sha256("\n".join(self.family.shared).encode()).hexdigest()

    def spec(self, stage: Stage, label: str, samples: Samples, **more: object) -> dict[str, object]:
        """What a unit of one model on some samples is stored under: content, no names of files."""
        from mergecast.tasks.batches import BATCHES, WIDE, Lengths

        if label not in self._defined:
            task = self.task(label)
            head = {"blueprint": task.blueprint, "head": state_digest(task.head())}
            self._defined[label] = head | task.definition
        if self.widest >= WIDE or Lengths.of(samples) is not None:
            stage = stage.with_uses(BATCHES)
        if self.family.vocabulary is not None:
            from mergecast.tasks.renumbered import RENUMBERED

            stage = stage.with_uses(RENUMBERED)
            more["vocabulary"] = self.family.vocabulary.mode
        return {
            "stage": stage.key,
            "model": self.digest(label),
            "samples": samples.digest(),
            **self._defined[label],
            **more,
        }


def run_as(family: Family, label: str, task: Task) -> Task:
    """A model's task as it is run: where rows are matched by token, with the family's numbers."""
    if family.vocabulary is None:
        return task
    from mergecast.tasks.renumbered import RenumberedTask

    return RenumberedTask.of(task, numbering(family.vocabulary, label))
