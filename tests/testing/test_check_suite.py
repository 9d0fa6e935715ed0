"""The common tests tell a suite that breaks a law, by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mergecast.runtime.seeds import generator
from mergecast.suites.suite import SUITES, Recipe, Suite
from mergecast.tasks.task import Task, take
from mergecast.testing import check_suite


class Slope(Task):
    labelled = True
    noise = 0.0

    @property
    def blueprint(self):
        return "slope"

    def build(self):
        return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))

    def samples(self, count, seed, split="calibration"):
        draw = generator(0, self.name, split)
        points = torch.randn(20, 2, generator=draw) + self.noise * torch.randn(20, 2)
        labels = (points[:, int(self.name == "up")] > 0).long() if self.labelled else None
        return take(self.name, split, {"input": points}, labels, count, seed)


class Slopes(Suite[Recipe]):
    name = "slopes"
    description = "two tasks on points"
    tasks = ("up", "down")
    recipe_type = Recipe

    def fetch(self):
        return "nothing to download"

    def task(self, recipe, name):
        return Slope(name, private=("1.*",))

    def base(self, recipe, seed):
        return {"0.weight": torch.ones(3, 2), "0.bias": torch.zeros(3)}

    def fine_tune(self, recipe, seed, task, base):
        draw = generator(seed, task)
        tuned = {n: v + 0.1 * torch.randn(v.shape, generator=draw) for n, v in base.items()}
        head = torch.randn(2, 3, generator=draw)
        return {**tuned, "1.weight": head, "1.bias": torch.zeros(2)}


def changed(**changes):
    return type("Changed", (Slopes,), changes)()


def unlabelled(self, recipe, name):
    task = Slope(name, private=("1.*",))
    task.labelled = False
    return task


def noisy(self, recipe, name):
    task = Slope(name, private=("1.*",))
    task.noise = 1.0
    return task


def plus(change):
    """Fine-tuning as it is, then a change of what it gives."""

    def fine_tune(self, recipe, seed, task, base):
        tuned = Slopes.fine_tune(self, recipe, seed, task, base)
        change(tuned, base)
        return tuned

    return fine_tune


def in_the_base(tuned, base):
    base["0.weight"].add_(1)


@pytest.mark.parametrize(
    ("suite", "problem"),
    [
        (changed(description=""), "it describes itself: has no description"),
        (changed(tasks=("up",)), r"its tasks are \['up'\]: two or more"),
        (changed(task=unlabelled), "the test samples of 'up' have no labels"),
        (changed(task=noisy), "a seed gives other samples"),
        (
            changed(base=lambda *_: {"0.weight": torch.rand(3, 2), "0.bias": torch.zeros(3)}),
            "the same arguments give the same models: a second base differs",
        ),
        (
            changed(fine_tune=plus(lambda tuned, _: tuned["0.bias"].add_(torch.rand(3)))),
            "a second model of 'up' differs",
        ),
        (
            changed(fine_tune=plus(lambda tuned, _: tuned.pop("0.bias"))),
            "'up' and the base differ in shared parameters",
        ),
        (changed(fine_tune=plus(lambda tuned, base: tuned.update(base))), "'up' equals the base"),
        (changed(fine_tune=plus(in_the_base)), "fine-tuning changed the base"),
        (
            changed(fine_tune=plus(lambda tuned, _: tuned["1.bias"].fill_(torch.inf))),
            "models and merges have scores: model 'up': has no score: .* not finite",
        ),
    ],
)
def test_a_broken_law_is_named(suite, problem):
    with SUITES.isolated():
        SUITES.add("slopes", suite)
        with pytest.raises(AssertionError, match=f"suite 'slopes': .*{problem}"):
            check_suite("slopes")


def test_a_suite_that_keeps_the_laws_passes():
    with SUITES.isolated():
        SUITES.add("slopes", Slopes())
        check_suite("slopes")
