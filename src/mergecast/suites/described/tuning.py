"""How the models of a described suite come to be: read, or tuned from the base."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.hub import located
from mergecast.checkpoints.module_names import ModuleNames
from mergecast.checkpoints.patterns import matches
from mergecast.checkpoints.torch_bridge import read_state
from mergecast.errors import UsageError
from mergecast.runtime.seeds import derived_seed, generator
from mergecast.suites.described.recipe import DescribedRecipe
from mergecast.suites.described.task import DescribedFileTask
from mergecast.suites.encoders.optimizing import adapted, chosen_of, inputs_of, train
from mergecast.suites.language.model import untied
from mergecast.tasks.apart import kept, shared
from mergecast.tasks.task import Samples

log = logging.getLogger(__name__)

#: Learning rates of AdamW by regime, where the file names none.
_RATES = {"full": 5e-5, "lora": 1e-3}


def base_state(recipe: DescribedRecipe) -> dict[str, Tensor]:
    """What all tasks' modules take of the base, by their names, each value once.

    Raises
    ------
    UsageError
        A module takes less than half of its parameters from it.
    """
    stored = read_state(Checkpoint.open(recipe.base_path))
    found: dict[str, Tensor] = {}
    for place, name in enumerate(sorted(recipe.tasks)):
        task = DescribedFileTask(name, recipe.tasks[name], recipe.folder)
        with torch.random.fork_rng(devices=()):
            module = task.build()
        taken = _taken(module, stored, task)
        found = taken if not place else {k: v for k, v in found.items() if k in taken}
    return found


def tuned(
    recipe: DescribedRecipe, seed: int, name: str, base: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """A task's model: what the file names, or the base after tuning on `train`.

    What the base has not, the head, begins at random and is tuned along.

    Parameters
    ----------
    recipe : DescribedRecipe
        The suite.
    seed : int
        Of heads, batches and dropout.
    name : str
        The task.
    base : mapping of str to Tensor
        By the names of the module.

    Raises
    ------
    UsageError
        There are no training samples but those that are tested on, the loss is not finite, or
        there are no linear layers for adapters.
    CheckpointError
        A model that the file names is not of the task's architecture.
    """
    task = DescribedFileTask(name, recipe.tasks[name], recipe.folder)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(derived_seed(seed, "fine-tune", name, "module"))
        module = task.build()
        if task.spec.checkpoint is not None:
            return _existing(recipe, task, module, base)
        module.load_state_dict(dict(base), strict=False)
        given = _training_samples(task)
        heads = {k for k, _ in module.named_parameters() if k not in base}
        heads |= {k for k, _ in module.named_parameters() if matches(k, task.private)}
        trained = _trainable(module, recipe, heads)

        def loss(rows: Tensor) -> Tensor:
            batch = chosen_of(given, rows)
            assert batch.labels is not None
            # Labels of tokens are as long as their padding.
            inputs = inputs_of(given, rows) if batch.labels.dim() == 1 else batch.inputs
            value = task.loss(task.answer(trained(**inputs), batch), batch.labels).mean()
            if not bool(value.isfinite()):
                rate = recipe.rate or _RATES[recipe.regime]
                problem = f"its loss is {float(value)} in training at rate {rate:g}"
                raise UsageError(f"task {name!r}", problem, "lower the rate")
            return value

        rate = recipe.rate or _RATES[recipe.regime]
        train(trained, recipe, rate, len(given), generator(seed, "fine-tune", name), loss)
        if recipe.regime == "lora":
            module = trained.merge_and_unload()  # type: ignore[operator]
    return untied(module)


def _taken(
    module: nn.Module, stored: Mapping[str, Tensor], task: DescribedFileTask
) -> dict[str, Tensor]:
    """What a module has of a checkpoint, but for the private, by its own names."""
    names, places = ModuleNames(module), untied(module)
    found: dict[str, Tensor] = {}
    for stored_name, value in stored.items():
        name = names.get(stored_name)
        fits = name in places and value.shape == places[name].shape
        if name is not None and fits and not matches(name, task.private):
            found[name] = value
    whole = {k: v.numel() for k, v in places.items() if v.is_floating_point()}
    there = sum(whole.get(k, 0) for k in found)
    if 2 * there < sum(whole.values()):
        raise UsageError(
            f"task {task.name!r}",
            f"its model has {sum(whole.values()):,} values, of which the base gives {there:,}",
            "give the base of this architecture, and less as private",
        )
    return found


def _existing(
    recipe: DescribedRecipe,
    task: DescribedFileTask,
    module: nn.Module,
    base: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """A model that exists, by the module's names."""
    path = located(recipe.folder, task.spec.checkpoint or "")
    state = read_state(Checkpoint.open(path, Checkpoint.open(recipe.base_path)))
    names, places = ModuleNames(module), untied(module)
    found = {}
    for stored_name, value in state.items():
        name = names.get(stored_name)
        if name in places and (value.shape == places[name].shape or matches(name, task.private)):
            found[name] = value
    lacking = sorted(k for k, v in places.items() if v.is_floating_point() and k not in found)
    if lacking:
        raise UsageError(
            f"task {task.name!r}",
            f"its checkpoint {path} lacks {lacking[0]} in the shape of its architecture",
            "give the folder of its own config as model: {folder: …}",
        )
    return {**{k: v for k, v in base.items() if k not in found}, **found}


def _training_samples(task: DescribedFileTask) -> Samples:
    """What a model is tuned on, without the samples that it is looked at or tested on."""
    given = task.samples(None, 0, "train")
    others = [task.samples(None, 0, split) for split in ("calibration", "test")]
    known = shared([Samples(x.inputs, None, x.ids) for x in others], given)
    if known.all():
        raise UsageError(
            f"task {task.name!r}",
            "all its training samples are among those of data and test",
            "give others as `train:`",
        )
    if known.any():
        log.warning(
            "task %r: %d of %d training samples are among those of data and test: left out",
            task.name, int(known.sum()), len(given),
        )  # fmt: skip
    return kept(given, ~known)


def _trainable(module: nn.Module, recipe: DescribedRecipe, heads: set[str]) -> nn.Module:
    """The module with what is trained: all but what is frozen, or adapters and the head."""
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(not matches(name, recipe.freeze))
    if recipe.regime != "lora":
        return module
    get_output = getattr(module, "get_output_embeddings", lambda: None)
    output = get_output()
    linear = [
        name
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear)
        and part is not output
        and f"{name}.weight" not in heads
        and not matches(f"{name}.weight", recipe.freeze)
    ]
    if not linear:
        raise UsageError("training", "finds no linear layers for adapters", "use regime full")
    wrapped = adapted(module, recipe, linear)
    for name, parameter in module.named_parameters():
        if name in heads and not matches(name, recipe.freeze):
            parameter.requires_grad_(True)
    return wrapped
