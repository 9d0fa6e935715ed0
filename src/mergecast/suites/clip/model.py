"""CLIP's image encoder with a head of its own text features, and how it is fine-tuned."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from mergecast.errors import UsageError
from mergecast.runtime.seeds import derived_seed, generator
from mergecast.suites.clip.data import ImageData
from mergecast.suites.clip.recipe import ClipRecipe
from mergecast.suites.clip.sources import SOURCES
from mergecast.suites.encoders.libraries import library
from mergecast.tasks.models import with_linear_head
from mergecast.tasks.pixels import PixelEncoder

#: AdamW's rate is that of Ilharco et al. (arXiv 2212.04089); SGD's is our own.
_RATES = {"adamw": 1e-5, "sgd": 1e-2}


def built(folder: Path, classes: int) -> nn.Module:
    """The image encoder with a head of so many classes; values do not matter."""
    encoder = _vision(folder)
    width = int(encoder.config.projection_dim)  # type: ignore[union-attr, arg-type]
    return with_linear_head(encoder, torch.empty(classes, width), normalize=True)


def vision_weights(folder: Path) -> dict[str, Tensor]:
    """The pre-trained image encoder with its projection, in float32."""
    encoder = library("transformers").CLIPVisionModelWithProjection.from_pretrained(
        str(folder), dtype=torch.float32, local_files_only=True
    )
    return {name: value.detach().clone() for name, value in encoder.state_dict().items()}


@torch.no_grad()
def zero_shot_head(folder: Path, task: str, classes: tuple[str, ...]) -> dict[str, Tensor]:
    """Weight (classes, d) and bias of the mean text features of every class, times CLIP's scale."""
    transformers = library("transformers")
    model = transformers.CLIPModel.from_pretrained(
        str(folder), dtype=torch.float32, local_files_only=True
    ).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    rows = []
    for name in classes:
        texts = [template.format(name) for template in SOURCES[task].templates]
        given = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        hidden = model.text_model(**given).pooler_output
        features = functional.normalize(model.text_projection(hidden), dim=-1)
        rows.append(functional.normalize(features.mean(dim=0), dim=-1))
    weight = torch.stack(rows) * model.logit_scale.exp()
    return {"head.weight": weight, "head.bias": torch.zeros(len(classes))}


def fine_tune(
    folder: Path, recipe: ClipRecipe, seed: int, task: str, base: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The image encoder fine-tuned under the frozen zero-shot head.

    Parameters
    ----------
    folder : Path
        Of the CLIP model: its texts, tokenizer and image processor.
    recipe : ClipRecipe
        How.
    seed : int
        Of the batches.
    task : str
        Its name.
    base : mapping of str to Tensor
        The image encoder.
    """
    data, pixels = ImageData(recipe, task, "train"), PixelEncoder(folder)
    head = zero_shot_head(folder, task, data.classes)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(derived_seed(seed, "fine-tune", task, "module"))
        model = built(folder, len(data.classes))
        model.load_state_dict({**base, **head})
        trained = [p for name, p in model.named_parameters() if not name.startswith("head.")]
        updates = updates_of(recipe, task, len(data))
        optimizer, schedule = _optimizer(trained, recipe, updates)
        passes = updates * recipe.accumulate
        model.train()
        order = generator(seed, "fine-tune", task)
        for number, places in enumerate(_batches(len(data), recipe.batch, passes, order), 1):
            logits = model(pixel_values=data.pixels(pixels, places.tolist()))
            loss = functional.cross_entropy(logits, data.labels[places]) / recipe.accumulate
            loss.backward()  # type: ignore[no-untyped-call]
            if number % recipe.accumulate == 0:
                nn.utils.clip_grad_norm_(trained, recipe.clip)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _vision(folder: Path) -> nn.Module:
    transformers = library("transformers")
    config = transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True)
    if getattr(config, "model_type", "") != "clip":
        raise UsageError(
            f"backbone {folder}", f"is a {config.model_type}, not a CLIP model", "give one"
        )
    encoder: nn.Module = transformers.CLIPVisionModelWithProjection(config.vision_config)
    return encoder


def updates_of(recipe: ClipRecipe, task: str, count: int) -> int:
    """Updates of a task's epochs over so many samples, or as many as the recipe says."""
    if recipe.updates is not None:
        return recipe.updates
    return math.ceil(SOURCES[task].epochs * count / (recipe.batch * recipe.accumulate))


def _optimizer(
    trained: list[nn.Parameter], recipe: ClipRecipe, updates: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """The optimiser, and its rate: a linear rise and half a cosine."""
    rate, decay = recipe.rate or _RATES[recipe.optimizer], recipe.weight_decay
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(trained, lr=rate, momentum=0.9, weight_decay=decay)
    else:
        optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=decay)
    rise = min(recipe.warmup, updates // 2)

    def factor(update: int) -> float:
        if update < rise:
            return (update + 1) / rise
        return (1 + math.cos(math.pi * (update - rise) / max(updates - rise, 1))) / 2

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _batches(count: int, size: int, passes: int, draw: torch.Generator) -> Iterator[Tensor]:
    """Places of the samples of each pass; every epoch in a new order, none left out for good."""
    size, left = min(size, count), torch.empty(0, dtype=torch.int64)
    for _ in range(passes):
        if len(left) < size:
            left = torch.cat([left, torch.randperm(count, generator=draw)])
        yield left[:size]
        left = left[size:]
