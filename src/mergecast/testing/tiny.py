"""A tiny classifier, its tasks and a family of it on disk: what evidence is checked on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from mergecast.checkpoints.writer import write_safetensors
from mergecast.family.family import Family
from mergecast.runtime.seeds import generator
from mergecast.tasks.task import Samples, Split, Task

INPUTS, HIDDEN, CLASSES = 5, 6, 3


class Net(nn.Module):
    """Two linear layers, BatchNorm between them if asked for, and a head."""

    def __init__(self, batchnorm: bool = False) -> None:
        super().__init__()
        self.up = nn.Linear(INPUTS, HIDDEN)
        self.norm = nn.BatchNorm1d(HIDDEN) if batchnorm else nn.Identity()
        self.down = nn.Linear(HIDDEN, INPUTS)
        self.head = nn.Linear(INPUTS, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 3) of inputs (n, 5)."""
        logits: Tensor = self.head(self.down(torch.tanh(self.norm(self.up(x)))))
        return logits


@dataclass
class TinyTask(Task):
    """Random inputs of its own; labels as its model predicts, every fifth one moved on."""

    batchnorm: bool = field(default=False, kw_only=True)
    labelled: bool = field(default=True, kw_only=True)

    @property
    def blueprint(self) -> str:
        """One module serves all."""
        return f"tiny:{self.batchnorm}"

    def build(self) -> nn.Module:
        """See `Net`."""
        return Net(self.batchnorm)

    def samples(self, count: int | None, seed: int, split: Split = "calibration") -> Samples:
        """As many as are asked for, drawn anew for every seed; 64 for all."""
        count = 64 if count is None else count
        draw = generator(seed, "tiny", self.name, split)
        x = torch.randn(count, INPUTS, generator=draw)
        net = Net(self.batchnorm).eval()
        net.load_state_dict(tiny_states(self.name, batchnorm=self.batchnorm)[self.name])
        with torch.no_grad():
            labels = (net(x).argmax(dim=1) + (torch.arange(count) % 5 == 4)) % CLASSES
        ids = tuple(f"{self.name}/{i}" for i in range(count))
        return Samples({"x": x}, labels if self.labelled else None, ids)


def tiny_tasks(labels: str = "abc", **options: bool) -> dict[str, Task]:
    """A task for every label."""
    return {label: TinyTask(label, private=("head.*",), **options) for label in labels}


def tiny_states(
    labels: str = "abc", *, batchnorm: bool = False, dtype: torch.dtype = torch.float32
) -> dict[str, dict[str, Tensor]]:
    """Tensors of ``base`` and of every label; heads differ, the base has none."""
    states: dict[str, dict[str, Tensor]] = {}
    for label in ("base", *labels):
        state = {}
        for name, value in Net(batchnorm).state_dict().items():
            if not value.is_floating_point():
                state[name] = value
                continue
            if name.startswith("head."):
                draw = generator(0, label, name)
                state[name] = 2 * torch.randn(value.shape, generator=draw, dtype=dtype)
                continue
            state[name] = torch.randn(value.shape, generator=generator(0, name), dtype=dtype)
            if label != "base":
                draw = generator(1, label, name)
                state[name] += 0.4 * torch.randn(value.shape, generator=draw, dtype=dtype)
            if name == "norm.running_var":
                state[name] = state[name].abs() + 0.5
        if label == "base":
            state = {name: value for name, value in state.items() if "head" not in name}
        states[label] = state
    return states


def tiny_family(
    folder: Path,
    labels: str = "abc",
    *,
    order: str = "",
    batchnorm: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Family:
    """The family of `tiny_states` on disk, models opened in `order`."""
    paths = {}
    for label, state in tiny_states(labels, batchnorm=batchnorm, dtype=dtype).items():
        paths[label] = folder / f"{label}.safetensors"
        if not paths[label].exists():
            write_safetensors(paths[label], state)
    return Family.open(paths["base"], {label: paths[label] for label in order or labels})
