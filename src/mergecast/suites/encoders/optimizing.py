"""How models are trained: batches in drawn orders, a rate that rises and falls, adapters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mergecast.suites.encoders.libraries import library
from mergecast.suites.encoders.recipe import Tuning
from mergecast.tasks.batches import Lengths, cut
from mergecast.tasks.task import Samples


def train(
    model: nn.Module,
    recipe: Tuning,
    rate: float,
    count: int,
    draw: torch.Generator,
    loss: Callable[[Tensor], Tensor],
) -> None:
    """`steps` batches, each epoch in a new order; the rate warms up and falls to zero, linearly.

    Parameters
    ----------
    model : Module
        Its parameters that require a gradient are trained.
    recipe : Tuning
        Steps, batch and optimiser.
    rate : float
        The highest learning rate.
    count : int
        Training samples.
    draw : Generator
        Of the orders.
    loss : callable
        Rows of a batch, (b,), to its loss.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = _optimizer(trained, recipe, rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1.0, (step + 1) / max(recipe.warmup, 1)) * (1 - step / recipe.steps),
    )
    model.train()
    for rows in _orders(count, recipe, draw):
        value = loss(rows)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    model.eval()


def adapted(model: nn.Module, recipe: Tuning, layers: list[str]) -> nn.Module:
    """The model with adapters in some of its linear layers, which alone are trained."""
    peft = library("peft")
    config = peft.LoraConfig(r=recipe.rank, lora_alpha=recipe.alpha, target_modules=layers)
    with warnings.catch_warnings():  # peft asks transformers for what is called otherwise now
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        adapters: nn.Module = peft.get_peft_model(model, config)
    return adapters


def inputs_of(samples: Samples, rows: Tensor) -> Mapping[str, Tensor]:
    """Some samples' inputs, texts without the padding that all of them have."""
    chosen = chosen_of(samples, rows)
    lengths = Lengths.of(chosen)
    if lengths is None:
        return chosen.inputs
    longest = int(lengths.of_each.max())
    return cut(chosen, list(range(len(chosen))), longest).inputs


def chosen_of(samples: Samples, rows: Tensor) -> Samples:
    """Some of the samples."""
    inputs = {name: value[rows] for name, value in samples.inputs.items()}
    labels = None if samples.labels is None else samples.labels[rows]
    return Samples(inputs, labels, tuple(samples.ids[row] for row in rows.tolist()))


def _optimizer(trained: list[nn.Parameter], recipe: Tuning, rate: float) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        decay = recipe.weight_decay
        return torch.optim.SGD(trained, lr=rate, momentum=0.9, weight_decay=decay)
    return torch.optim.AdamW(trained, lr=rate, weight_decay=recipe.weight_decay)


def _orders(n: int, recipe: Tuning, draw: torch.Generator) -> list[Tensor]:
    size = min(recipe.batch, n)
    found: list[Tensor] = []
    while len(found) < recipe.steps:
        order = torch.randperm(n, generator=draw)
        found += torch.split(order[: n - n % size], size)
    return found[: recipe.steps]
