"""The units a suite is made of: the base, one model a task, one merge of one set of members.

A unit knows the spec it is stored under and how it is computed. A spec holds everything the
result depends on, the digests of checkpoints it reads included, so a retrained model takes its
outcomes with it and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from mergecast.errors import FamilyError, UndefinedError
from mergecast.runtime.store import Store
from mergecast.suites.registered import open_suite
from mergecast.suites.suite import Recipe, Suite
from mergecast.version import __version__

BASE_FILE = "base.safetensors"
_HEAD = "head."


@dataclass(frozen=True)
class Run:
    """What all units of a run folder have in common."""

    folder: Path
    suite_name: str
    recipe: Recipe
    seed: int

    @property
    def suite(self) -> Suite[Any]:
        """The suite, looked up by name: a unit travels to workers without it."""
        return open_suite(self.suite_name)

    @property
    def store(self) -> Store:
        """Where this run's units are kept."""
        return Store(self.folder)

    def spec(self, stage: str, **more: object) -> dict[str, object]:
        """A unit's spec: the run's identity, its stage, and `more`."""
        return {
            "mergecast": __version__,
            "suite": self.suite_name,
            "recipe": self.recipe.model_dump(mode="json"),
            "seed": self.seed,
            "stage": stage,
            **more,
        }


class Unit(Protocol):
    """Work that is done once."""

    @property
    def run(self) -> Run:
        """The run it belongs to."""

    @property
    def spec(self) -> dict[str, object]:
        """What it is stored under."""

    def compute(self) -> None:
        """Do the work and put the result into the store."""


@dataclass(frozen=True)
class BaseUnit:
    """Pre-train the base and write ``base.safetensors``."""

    run: Run

    @property
    def spec(self) -> dict[str, object]:
        """What it is stored under."""
        return self.run.spec("base")

    def compute(self) -> None:
        """Pre-train; the record holds the file's digest."""
        state = self.run.suite.base(self.run.recipe, self.run.seed)
        self.run.store.put_file(self.spec, BASE_FILE, _writer(state), {})


@dataclass(frozen=True)
class ModelUnit:
    """Probe the head, fine-tune, write ``models/<task>.safetensors``, evaluate base and model."""

    run: Run
    task: str
    base: str  # digest

    @property
    def file(self) -> str:
        """Where the model is, relative to the folder."""
        return model_file(self.task)

    @property
    def spec(self) -> dict[str, object]:
        """What it is stored under."""
        return self.run.spec("model", task=self.task, base=self.base)

    def compute(self) -> None:
        """Train and evaluate; the record holds sizes and both evaluations."""
        suite, recipe, seed = self.run.suite, self.run.recipe, self.run.seed
        base = _load(self.run.folder / BASE_FILE)
        head = suite.head(recipe, seed, self.task, base)
        encoder = suite.fine_tune(recipe, seed, self.task, base, head)
        result = {
            "size": asdict(suite.task_size(recipe, self.task)),
            "base": asdict(suite.evaluate(recipe, self.task, base, head)),
            "single": asdict(suite.evaluate(recipe, self.task, encoder, head)),
        }
        self.run.store.put_file(self.spec, self.file, _writer({**encoder, **head}), result)


@dataclass(frozen=True)
class OutcomeUnit:
    """Merge `members` by `method` in memory and evaluate each member with its own head."""

    run: Run
    method: str
    members: tuple[str, ...]
    base: str  # digest
    models: tuple[str, ...]  # digests, in the order of members

    @property
    def params(self) -> Mapping[str, object]:
        """The method's parameters where the recipe sets them."""
        return self.run.recipe.merging.get(self.method, {})

    @property
    def spec(self) -> dict[str, object]:
        """What it is stored under."""
        return self.run.spec(
            "outcome",
            method=self.method,
            members=list(self.members),
            base=self.base,
            models=list(self.models),
        )

    def compute(self) -> None:
        """Merge and evaluate; a merge or score that does not exist is kept with its reason."""
        self.run.store.put(self.spec, {"tasks": self._evaluations()})

    def _evaluations(self) -> dict[str, Any]:
        from mergecast.family import Family
        from mergecast.merging import merge

        suite, recipe = self.run.suite, self.run.recipe
        paths = {task: self.run.folder / model_file(task) for task in self.members}
        family = Family.open(self.run.folder / BASE_FILE, paths)
        try:
            merged = merge(family, self.method, params=self.params, seed=self.run.seed)
            merged = suite.settle(recipe, self.members, merged)
        except (FamilyError, UndefinedError) as error:
            return {task: {"missing": str(error)} for task in self.members}
        evaluations: dict[str, Any] = {}
        for task, path in paths.items():
            head = {name: value for name, value in _load(path).items() if name.startswith(_HEAD)}
            try:
                evaluations[task] = asdict(suite.evaluate(recipe, task, merged, head))
            except UndefinedError as error:
                evaluations[task] = {"missing": str(error)}
        return evaluations


def model_file(task: str) -> str:
    """Where the model of `task` is, relative to the run folder."""
    return f"models/{task}.safetensors"


def compute(unit: Unit) -> None:
    """Compute one unit; a function, so that a worker process can be given it."""
    unit.compute()


def _writer(state: Mapping[str, Any]) -> Any:
    from mergecast.checkpoints.writer import write_safetensors

    return lambda path: write_safetensors(path, state)


def _load(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    state: dict[str, Any] = load_file(path)
    return state
