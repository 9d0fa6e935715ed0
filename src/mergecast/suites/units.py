"""The units a suite is made of: the base, one model a task and its evaluation, one merge of a set.

A unit knows the spec it is stored under and how it is computed. A spec holds everything the
result depends on: the stages it was made by, settings, and the digests of checkpoints it reads.
So a retrained model takes its outcomes with it and nothing else, and so does a merging method
whose version or default was changed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from mergecast.checkpoints.writer import write_safetensors
from mergecast.evidence.settings import MergeSettings
from mergecast.merging.recipe import Recipe as MergeRecipe
from mergecast.runtime.stage import Stage
from mergecast.runtime.store import Store
from mergecast.suites.evaluate import (
    evaluate_merge,
    evaluate_single,
    outcome_stage,
    session_of,
    single_stage,
)
from mergecast.suites.merges import told
from mergecast.suites.named import suite_named
from mergecast.suites.suite import Recipe, Suite
from mergecast.tasks.task import Task

BASE_FILE = "base.safetensors"
#: The base of a suite, made or loaded.
BASE = Stage("base", 1)
#: A model fine-tuned from the base.
FINE_TUNE = Stage("fine-tune", 1)


@dataclass(frozen=True)
class Run:
    """What all units of a run folder have in common.

    Attributes
    ----------
    folder : Path
        Where it is kept.
    suite_name : str
        What `suite_named` finds it by: a unit travels to workers without the suite.
    recipe : Recipe
        The suite's settings.
    seed : int
        Of all training and of random masks.
    """

    folder: Path
    suite_name: str
    recipe: Recipe
    seed: int

    @property
    def suite(self) -> Suite[Any]:
        """The suite, looked up by name."""
        return suite_named(self.suite_name)

    @property
    def label(self) -> str:
        """What its tables call the suite."""
        return self.suite.label(self.recipe)

    @property
    def store(self) -> Store:
        """Where this run's units are kept."""
        return Store(self.folder)

    def task(self, name: str) -> Task:
        """A task of the suite under this run's recipe."""
        return self.suite.task(self.recipe, name)

    def merging(self, name: str) -> MergeRecipe:
        """The recipe of a merge: of a method by its name, or by the text of the whole."""
        params = {} if "(" in name else self.recipe.merging.get(name, {})
        return replace(MergeRecipe.of(name, params), seed=self.seed)

    def spec(self, stage: Stage, tasks: Collection[str], **more: object) -> dict[str, object]:
        """A unit's spec: what made it, the run's identity as far as `tasks` go, and `more`."""
        return {
            "stage": stage.with_uses(self.suite.stage).key,
            "recipe": self.recipe.training(tasks),
            "seed": self.seed,
            **more,
        }


@dataclass(frozen=True)
class Unit(ABC):
    """Work that is done once.

    Attributes
    ----------
    run : Run
        The run it belongs to.
    """

    run: Run

    @property
    @abstractmethod
    def stage(self) -> Stage:
        """What its result is made by, the suite aside."""

    @property
    @abstractmethod
    def of_tasks(self) -> tuple[str, ...]:
        """The tasks that its result hangs on."""

    @property
    def spec(self) -> dict[str, object]:
        """What it is stored under: its stage, the run's identity and all its other fields."""
        others = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "run"}
        return self.run.spec(self.stage, self.of_tasks, **others)

    @abstractmethod
    def compute(self) -> None:
        """Do the work and put the result into the store."""


@dataclass(frozen=True)
class BaseUnit(Unit):
    """Make the base and write ``base.safetensors``."""

    @property
    def stage(self) -> Stage:
        """What it is made by."""
        return BASE

    @property
    def of_tasks(self) -> tuple[str, ...]:
        """All: what the base shares with every one of them."""
        return self.run.suite.names(self.run.recipe)

    def compute(self) -> None:
        """Pre-train or load; the record holds the file's digest."""
        state = self.run.suite.base(self.run.recipe, self.run.seed)
        self.run.store.put_file(self.spec, BASE_FILE, _writer(state), {})


@dataclass(frozen=True)
class ModelUnit(Unit):
    """Fine-tune on a task and write ``models/<task>.safetensors``.

    Attributes
    ----------
    base : str
        Digest of the base.
    """

    task: str
    base: str

    @property
    def stage(self) -> Stage:
        """What it is made by."""
        return FINE_TUNE

    @property
    def of_tasks(self) -> tuple[str, ...]:
        """Its own."""
        return (self.task,)

    def compute(self) -> None:
        """Train; the record holds the file's digest."""
        base = load_file(self.run.folder / BASE_FILE)
        state = self.run.suite.fine_tune(self.run.recipe, self.run.seed, self.task, base)
        self.run.store.put_file(self.spec, model_file(self.task), _writer(state), {})


@dataclass(frozen=True)
class SingleUnit(Unit):
    """Evaluate the base and the fine-tuned model on a task.

    Attributes
    ----------
    base, model : str
        Digests of the two.
    """

    task: str
    base: str
    model: str

    @property
    def stage(self) -> Stage:
        """What it is made by."""
        return single_stage()

    @property
    def of_tasks(self) -> tuple[str, ...]:
        """Its own."""
        return (self.task,)

    def compute(self) -> None:
        """Evaluate both; the record holds sizes of the splits and both scores."""
        run, name = self.run, self.task
        models = {name: run.folder / model_file(name)}
        session = session_of([run.task(name)], run.folder / BASE_FILE, models)
        run.store.put(self.spec, evaluate_single(session, name))


@dataclass(frozen=True)
class OutcomeUnit(Unit):
    """Merge `members` in memory and evaluate each of them with its own head.

    Attributes
    ----------
    how : MergeRecipe
        How they are merged.
    members : tuple of str
        Tasks, sorted.
    base : str
        Digest of the base.
    models : tuple of str
        Digests, in the order of members.
    """

    how: MergeRecipe
    members: tuple[str, ...]
    base: str
    models: tuple[str, ...]

    @property
    def method(self) -> str:
        """Name of the merging method."""
        return self.how.method

    @property
    def stage(self) -> Stage:
        """What it is made by."""
        return outcome_stage(self.method)

    @property
    def of_tasks(self) -> tuple[str, ...]:
        """Its members'."""
        return self.members

    @property
    def spec(self) -> dict[str, object]:
        """What it is stored under."""
        return self.run.spec(
            self.stage,
            self.of_tasks,
            members=self.members,
            base=self.base,
            models=self.models,
            batchnorm=self.run.recipe.reestimate_batchnorm,
            **told(self.how),
        )

    def compute(self) -> None:
        """Merge and evaluate; what does not exist is kept with its reason."""
        run = self.run
        session = session_of(
            [run.task(name) for name in self.members],
            run.folder / BASE_FILE,
            {name: run.folder / model_file(name) for name in self.members},
            MergeSettings(reestimate_batchnorm=run.recipe.reestimate_batchnorm),
        )
        scores = evaluate_merge(session, self.members, self.how)
        run.store.put(self.spec, {"tasks": scores})


def model_file(task: str) -> str:
    """Where the model of `task` is, relative to the run folder."""
    return f"models/{task}.safetensors"


def compute(unit: Unit) -> None:
    """Compute one unit; a function, so that a worker process can be given it."""
    unit.compute()


def _writer(state: Mapping[str, Tensor]) -> Callable[[Path], None]:
    return lambda path: write_safetensors(path, state)
