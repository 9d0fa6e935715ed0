"""A suite: a tiny network fine-tuned on five tasks of points in the plane, in a second."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from mergecast.runtime.seeds import generator
from mergecast.suites.suite import SUITES, Recipe, Suite
from mergecast_example.angles_task import DEGREES, AngleTask, Net


class AnglesRecipe(Recipe):
    """How long models are trained."""

    steps: int = 60


class Angles(Suite[AnglesRecipe]):
    """Five tasks; nothing to download."""

    name = "example-angles"
    description = "a tiny network on points in the plane"
    tasks = tuple(DEGREES)
    recipe_type = AnglesRecipe
    modules = ("mergecast_example.angles_task",)

    def fetch(self) -> str:
        return "example-angles needs no download"

    def task(self, recipe: AnglesRecipe, name: str) -> AngleTask:
        return AngleTask(name, private=("readout.*",))

    def base(self, recipe: AnglesRecipe, seed: int) -> dict[str, Tensor]:
        weights = {}
        for name, value in Net().state_dict().items():
            if not name.startswith("readout"):
                weights[name] = torch.randn(value.shape, generator=generator(seed, name)) / 2
        return weights

    def fine_tune(
        self, recipe: AnglesRecipe, seed: int, task: str, base: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        net = Net()
        draw = generator(seed, "readout", task)
        net.load_state_dict({**base, "readout.weight": torch.randn(2, 8, generator=draw),
                             "readout.bias": torch.zeros(2)})  # fmt: skip
        samples = self.task(recipe, task).samples(None, seed, "train")
        optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
        for _ in range(recipe.steps):
            optimizer.zero_grad()
            functional.cross_entropy(net(**samples.inputs), samples.labels).backward()
            optimizer.step()
        return {name: value.detach().clone() for name, value in net.state_dict().items()}


SUITES.add(Angles.name, Angles())
