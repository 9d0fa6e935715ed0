"""How the models of ``digits-14`` are trained: base, heads and fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from mergecast.runtime.seeds import generator
from mergecast.suites.digits.model import Encoder, build_encoder
from mergecast.suites.digits.recipe import DigitsRecipe


def pre_train(recipe: DigitsRecipe, seed: int) -> dict[str, Tensor]:
    """An encoder trained on digits in all symmetries; its own classifier is thrown away."""
    draw = generator(seed, "base")
    encoder = _encoder(recipe, generator(seed, "base", "weights"))
    train = recipe.data("upright").train
    head = {
        "head.weight": nn.Parameter(torch.zeros(10, recipe.width)),
        "head.bias": nn.Parameter(torch.zeros(10)),
    }
    optimizer = torch.optim.AdamW(
        [*encoder.parameters(), *head.values()],
        lr=recipe.base_rate,
        weight_decay=recipe.weight_decay,
    )
    for rows in _batches(len(train.labels), recipe.base_batch, recipe.base_steps, draw):
        images = _turned(train.images[rows], recipe.inverted_share, draw)
        _step(
            optimizer,
            functional.cross_entropy(_classify(encoder, head, images), train.labels[rows]),
        )
    return _weights(encoder)


def fine_tune(
    recipe: DigitsRecipe, seed: int, task: str, base: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The recipe's optimizer with a cosine schedule on the encoder, under a head probed first."""
    train = recipe.data(task).train
    head = linear_probe(recipe, task, base)
    encoder = _load(recipe, base)
    optimizer = _optimizer(recipe, encoder)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
    draw = generator(seed, "fine-tune", task)
    for rows in _batches(len(train.labels), recipe.batch, recipe.steps, draw):
        logits = _classify(encoder, head, train.images[rows])
        _step(optimizer, functional.cross_entropy(logits, train.labels[rows]))
        schedule.step()
    return {**_weights(encoder), **head}


def linear_probe(recipe: DigitsRecipe, task: str, base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A head on the frozen base, from zero weights, full batch: convex, so nothing is random."""
    data = recipe.data(task)
    with torch.inference_mode():
        features = _load(recipe, base)(data.train.images)
    features = features.clone()
    weight = nn.Parameter(torch.zeros(data.n_classes, recipe.width))
    bias = nn.Parameter(torch.zeros(data.n_classes))
    optimizer = torch.optim.AdamW(
        [weight, bias], lr=recipe.head_rate, weight_decay=recipe.weight_decay
    )
    for _ in range(recipe.head_steps):
        logits = functional.linear(features, weight, bias)
        _step(optimizer, functional.cross_entropy(logits, data.train.labels))
    return {"head.weight": weight.detach(), "head.bias": bias.detach()}


def _optimizer(recipe: DigitsRecipe, encoder: Encoder) -> torch.optim.Optimizer:
    rate, decay = recipe.rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(encoder.parameters(), lr=rate, momentum=0.9, weight_decay=decay)
    return torch.optim.AdamW(encoder.parameters(), lr=rate, weight_decay=decay)


def _encoder(recipe: DigitsRecipe, weights: torch.Generator | None = None) -> Encoder:
    return build_encoder(recipe.width, recipe.depth, recipe.heads, recipe.hidden, weights)


def _load(recipe: DigitsRecipe, state: Mapping[str, Tensor]) -> Encoder:
    encoder = _encoder(recipe)
    encoder.load_state_dict(dict(state))
    return encoder


def _weights(encoder: Encoder) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in encoder.state_dict().items()}


def _classify(encoder: Encoder, head: Mapping[str, Tensor], images: Tensor) -> Tensor:
    return functional.linear(encoder(images), head["head.weight"], head["head.bias"])


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _batches(n: int, size: int, steps: int, draw: torch.Generator) -> Iterator[Tensor]:
    """Indices of `steps` batches, each epoch in a new order; a short last batch is dropped."""
    size = min(size, n)
    done = 0
    while done < steps:
        order = torch.randperm(n, generator=draw)
        for start in range(0, min(n - size + 1, (steps - done) * size), size):
            yield order[start : start + size]
            done += 1


def _turned(images: Tensor, inverted_share: float, draw: torch.Generator) -> Tensor:
    """One of the square's eight symmetries for the whole batch, inverted at times."""
    turn = int(torch.randint(8, (), generator=draw))
    images = torch.rot90(images, turn % 4, (1, 2))
    if turn >= 4:
        images = images.flip(2)
    return 1 - images if float(torch.rand((), generator=draw)) < inverted_share else images
