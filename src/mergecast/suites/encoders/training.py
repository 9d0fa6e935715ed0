"""How models of pre-trained encoders are made: a head on the frozen encoder, then the encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mergecast.checkpoints.patterns import matches
from mergecast.errors import UsageError
from mergecast.runtime.seeds import derived_seed, generator
from mergecast.suites.encoders.optimizing import adapted, chosen_of, inputs_of, train
from mergecast.suites.encoders.recipe import EncoderRecipe
from mergecast.suites.encoders.source import EncoderSource
from mergecast.suites.encoders.task import BATCH, EncoderTask
from mergecast.tasks.task import Samples

_PREFIX = "encoder."


def fine_tune(
    source: EncoderSource[Any],
    recipe: EncoderRecipe,
    seed: int,
    task: str,
    base: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """AdamW on the encoder, in full or by adapters, under a head that is fitted first and frozen.

    Parameters
    ----------
    source : EncoderSource
        The suite.
    recipe : EncoderRecipe
        Its settings.
    seed : int
        Of batches, dropout and adapters.
    task : str
        The task.
    base : mapping of str to Tensor
        The base, names with ``encoder.`` before them.

    Returns
    -------
    dict
        All of the encoder and the head.

    Raises
    ------
    UsageError
        Adapters for an encoder that transformers does not build.
    """
    given = EncoderTask(task, source=source, recipe=recipe).samples(None, 0, "train")
    with torch.random.fork_rng(devices=()):
        encoder, _ = source.encoder(recipe)
        encoder.load_state_dict({k.removeprefix(_PREFIX): v for k, v in base.items()})
        few = given if recipe.regime == "easy" else _shots(given, recipe.shots)
        weight, bias = linear_probe(encoder, few, recipe.head_penalty)
        torch.manual_seed(derived_seed(seed, "fine-tune", task, "module"))
        model = _trainable(encoder, recipe, source.frozen)
        rate = recipe.rate or source.rates[recipe.backbone, recipe.regime]
        labels = given.labels

        def loss(rows: Tensor) -> Tensor:
            assert labels is not None
            logits = functional.linear(model(**inputs_of(given, rows)), weight, bias)
            return functional.cross_entropy(logits, labels[rows])

        train(model, recipe, rate, len(given), generator(seed, "fine-tune", task), loss)
        if recipe.regime == "lora":
            model = model.merge_and_unload()  # type: ignore[operator]
    state = {f"{_PREFIX}{k}": v.detach().clone() for k, v in encoder.state_dict().items()}
    return {**state, "head.weight": weight, "head.bias": bias}


def linear_probe(encoder: nn.Module, train: Samples, penalty: float) -> tuple[Tensor, Tensor]:
    """Weight (classes, width) and bias of a logistic regression on the encoder's features.

    Parameters
    ----------
    encoder : Module
        Frozen.
    train : Samples
        With labels.
    penalty : float
        L2 penalty for each sample.
    """
    from sklearn.linear_model import LogisticRegression

    encoder.eval()
    with torch.inference_mode():
        places = torch.split(torch.arange(len(train)), BATCH)
        parts = [encoder(**inputs_of(train, rows)) for rows in places]
    features = torch.cat(parts).double().numpy()
    assert train.labels is not None
    model = LogisticRegression(C=1 / (penalty * len(train)), max_iter=2000)
    model.fit(features, train.labels.numpy())
    weight, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return torch.from_numpy(weight).float(), torch.from_numpy(bias).float()


def _trainable(encoder: nn.Module, recipe: EncoderRecipe, frozen: tuple[str, ...]) -> nn.Module:
    """The encoder with the parameters that are trained; adapters are put into it."""
    if recipe.regime != "lora":
        for name, parameter in encoder.named_parameters():
            parameter.requires_grad_(not matches(name, frozen))
        return encoder
    linear = [
        name
        for name, part in encoder.named_modules()
        if isinstance(part, nn.Linear) and not matches(f"{name}.weight", frozen)
    ]
    if not linear:
        raise UsageError(
            f"backbone {recipe.backbone!r}", "has no linear layers for adapters", "use regime full"
        )
    return adapted(encoder, recipe, linear)


def _shots(samples: Samples, count: int) -> Samples:
    """The first `count` samples of each class."""
    assert samples.labels is not None
    of_class = [(samples.labels == k).nonzero()[:count, 0] for k in torch.unique(samples.labels)]
    return chosen_of(samples, torch.cat(of_class))
