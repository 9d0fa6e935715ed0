"""The tasks of the suite: on which side of a line through the origin is a point?"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin

import torch
from torch import Tensor, nn

from mergecast.runtime.seeds import generator
from mergecast.tasks import scores
from mergecast.tasks.task import Samples, Split, Task, take

DEGREES = {"east": 0, "north": 72, "up": 144, "west": 216, "south": 288}
_COUNTS = {"train": 128, "calibration": 100, "test": 60}


class Net(nn.Module):
    """A small network; its last layer is a task's own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 16)
        self.outer = nn.Linear(16, 8)
        self.readout = nn.Linear(8, 2)

    def forward(self, points: Tensor) -> Tensor:
        """Logits (n, 2) of points (n, 2)."""
        return self.readout(torch.tanh(self.outer(torch.tanh(self.inner(points)))))


@dataclass
class AngleTask(Task):
    """One line; scored by the probability of the right side, not by accuracy."""

    @property
    def blueprint(self) -> str:
        return "example-angles"

    def build(self) -> nn.Module:
        return Net()

    def samples(self, count: int | None, seed: int, split: Split = "calibration") -> Samples:
        points = torch.randn(_COUNTS[split], 2, generator=generator(0, "angles", self.name, split))
        angle = radians(DEGREES[self.name])
        labels = (points @ torch.tensor([cos(angle), sin(angle)]) > 0.2).long()
        return take(self.name, split, {"points": points}, labels, count, seed)

    def score(self, logits: Tensor, labels: Tensor) -> Tensor:
        return scores.probability(logits, labels)
