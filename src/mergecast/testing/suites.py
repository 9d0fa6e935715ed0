"""The laws of a suite: what its base, tasks and models are, however it makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mergecast.checkpoints.patterns import matches
from mergecast.suites.suite import SUITES, Recipe, Suite
from mergecast.testing.check import Laws, expect

if TYPE_CHECKING:
    from torch import Tensor

    from mergecast.tasks.task import Task

_SEED = 0


def check_suite(name: str, recipe: Recipe | None = None) -> None:
    """Run every common test of a suite: its base is made twice, and so are two of its models.

    Parameters
    ----------
    name : str
        What it is registered as.
    recipe : Recipe, optional
        Its settings; those of ``Recipe.quick`` by default.

    Raises
    ------
    AssertionError
        It breaks a law; the message says which and how.
    UsageError
        No such suite.
    """
    suite = SUITES.get(name)
    for check in LAWS.of(name, Trial(suite, recipe)):
        check()


@dataclass(frozen=True)
class Made:
    """The base and the models of the first two tasks."""

    base: Mapping[str, Tensor]
    models: Mapping[str, Mapping[str, Tensor]]


class Trial:
    """A suite under a recipe, and what it makes, once."""

    def __init__(self, suite: Suite[Any], recipe: Recipe | None = None) -> None:
        self.suite = suite
        self.recipe: Recipe = recipe or suite.recipe_type.quick()

    @property
    def names(self) -> tuple[str, ...]:
        """All tasks."""
        return self.suite.names(self.recipe)

    @property
    def tasks(self) -> list[Task]:
        """The first two."""
        return [self.suite.task(self.recipe, name) for name in self.names[:2]]

    @cached_property
    def made(self) -> Made:
        """The base and two models."""
        return self.make()

    def make(self) -> Made:
        """The same, anew."""
        base = self.suite.base(self.recipe, _SEED)
        before = {name: value.clone() for name, value in base.items()}
        models = {
            name: self.suite.fine_tune(self.recipe, _SEED, name, base) for name in self.names[:2]
        }
        expect(_equal(before, base), "fine-tuning changed the base")
        return Made(base, models)


def it_describes_itself(trial: Trial) -> None:
    """Names and a description; a recipe that survives its way into a file."""
    suite, recipe = trial.suite, trial.recipe
    expect(SUITES.get(suite.name) is suite, f"it calls itself {suite.name!r}")
    expect(bool(suite.description), "has no description")
    names = trial.names
    expect(len(set(names)) == len(names) >= 2, f"its tasks are {[*names]}: two or more, each once")
    expect(not any("+" in name for name in names), "'+' joins members, a task has one")
    read = type(recipe).model_validate_json(recipe.model_dump_json())
    expect(read == recipe, f"its recipe is read back as {read}")


def its_tasks_have_labelled_samples(trial: Trial) -> None:
    """Merges are evaluated on the test split, pairs are probed on the calibration split."""
    for task in trial.tasks:
        for split in ("test", "calibration"):
            samples = task.samples(None, _SEED, split)
            what = f"the {split} samples of {task.name!r}"
            expect(samples.labels is not None, f"{what} have no labels")
            expect(len(set(samples.ids)) == len(samples), f"{what} have names twice")
        first = task.samples(2, _SEED)
        more = task.samples(4, _SEED)
        expect(first.digest() == task.samples(2, _SEED).digest(), "a seed gives other samples")
        expect(first.ids == more.ids[:2], "fewer samples are not the first of more")


def the_same_arguments_give_the_same_models(trial: Trial) -> None:
    """Randomness comes from `mergecast.runtime.seeds` alone."""
    import torch

    first = trial.made
    torch.manual_seed(1)
    second = trial.make()
    expect(_equal(first.base, second.base), "a second base differs")
    for name, model in first.models.items():
        expect(_equal(model, second.models[name]), f"a second model of {name!r} differs")


def its_models_are_the_base_and_a_head(trial: Trial) -> None:
    """Same parameters and shapes outside the private patterns, other values, on the CPU."""
    made = trial.made
    for task in trial.tasks:
        model = made.models[task.name]
        shared = {n: tuple(v.shape) for n, v in model.items() if not matches(n, task.private)}
        wanted = {n: tuple(v.shape) for n, v in made.base.items() if not matches(n, task.private)}
        expect(shared == wanted, f"{task.name!r} and the base differ in shared parameters")
        plain = all(v.device.type == "cpu" and not v.requires_grad for v in model.values())
        expect(plain, f"{task.name!r} holds tensors that are not on the CPU, or want gradients")
        moved = any(not bool((model[name] == made.base[name]).all()) for name in shared)
        expect(moved, f"{task.name!r} equals the base")


def models_and_merges_have_scores(trial: Trial) -> None:
    """What `bench run` does: a score of every single model, and of the members of a merge."""
    from mergecast.checkpoints.writer import write_safetensors
    from mergecast.evidence.settings import MergeSettings
    from mergecast.suites.evaluate import evaluate_merge, evaluate_single, session_of

    made, tasks = trial.made, trial.tasks
    with TemporaryDirectory(prefix="mergecast-") as scratch:
        files = {name: Path(scratch) / f"{name}.safetensors" for name in made.models}
        base = Path(scratch) / "the base.safetensors"
        write_safetensors(base, made.base)
        for name, model in made.models.items():
            write_safetensors(files[name], model)
        merges = MergeSettings(merge_seed=_SEED, reestimate_batchnorm=True)
        session = session_of(tasks, base, files, merges)
        for task in tasks:
            score = evaluate_single(session, task.name)["single"]["values"]["score"]
            expect(score > 0, f"the score of {task.name!r} is {score}: nothing can be retained")
        merged = evaluate_merge(session, [*files], "weight_avg")
        for name, result in merged.items():
            reason = result["missing"].get("score")
            expect(reason is None, f"merged, {name!r} has no score: {reason}")


LAWS: Laws[Suite[Any], Trial] = Laws(
    SUITES,
    (
        it_describes_itself,
        its_tasks_have_labelled_samples,
        the_same_arguments_give_the_same_models,
        its_models_are_the_base_and_a_head,
        models_and_merges_have_scores,
    ),
    Trial,
)


def _equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    import torch

    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )
