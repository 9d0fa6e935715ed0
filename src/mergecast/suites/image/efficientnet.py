"""EfficientNet-lite0: inverted bottlenecks with ReLU6 and BatchNorm, no squeeze and excitation.

Parameters are named as in the published file of weights for PyTorch, which were ported from
TensorFlow: so is the padding, which puts the odd pixel right and below.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

#: Side of the pictures, and width of the features.
SIDE, WIDTH = 64, 1280
_STEM = 32
#: Blocks, kernel, stride of the first block, expansion, channels of the output.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_FILE = "efficientnet-lite0.safetensors"


class Block(nn.Module):
    """Expand, filter each channel by itself, project; added to the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        inner = inputs * expand
        self.expands = expand != 1
        self.adds = stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv = _convolution(inputs, inner)
            self._bn0 = _norm(inner)
        self._depthwise_conv = _convolution(inner, inner, kernel, stride, groups=inner)
        self._bn1 = _norm(inner)
        self._project_conv = _convolution(inner, outputs)
        self._bn2 = _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps to maps."""
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(_padded(y, self._depthwise_conv))))
        y = self._bn2(self._project_conv(y))
        out: Tensor = x + y if self.adds else y
        return out


class EfficientNetLite0(nn.Module):
    """Pictures to the mean of the last maps, without the classifier of ImageNet."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _convolution(3, _STEM, 3, 2)
        self._bn0 = _norm(_STEM)
        blocks, inputs = [], _STEM
        for count, kernel, stride, expand, outputs in _STAGES:
            for place in range(count):
                blocks.append(Block(inputs, outputs, kernel, 1 if place else stride, expand))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _convolution(inputs, WIDTH)
        self._bn1 = _norm(WIDTH)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Normalised pictures (n, 3, height, width) to features (n, 1280)."""
        x = functional.relu6(self._bn0(self._conv_stem(_padded(pixel_values, self._conv_stem))))
        for block in self._blocks:
            x = block(x)
        x = functional.relu6(self._bn1(self._conv_head(x)))
        features: Tensor = x.mean(dim=(2, 3))
        return features


def _convolution(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Without bias; it pads by itself where both sides get the same."""
    padding = kernel // 2 if stride == 1 else 0
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)


def _padded(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Maps with zeros around them, so that a stride of s leaves one s-th, rounded up."""
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    if stride == 1:
        return x
    around: list[int] = []
    for size in reversed(x.shape[-2:]):
        lacking = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        around += [lacking // 2, lacking - lacking // 2]
    return functional.pad(x, around)


def _norm(channels: int) -> nn.BatchNorm2d:
    """As published, but for its momentum of .01: fine-tuning takes some hundred steps only."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.1)


def prepare(unpacked: Path, folder: Path) -> None:
    """Write the published weights, without the classifier, as the suite reads them.

    Parameters
    ----------
    unpacked : Path
        Holds the ``.pth`` file.
    folder : Path
        Where to.
    """
    [path] = unpacked.rglob("*.pth")
    state: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    wanted = EfficientNetLite0().state_dict()
    save_file({name: state[name].contiguous() for name in wanted}, folder / _FILE)


def encoder(folder: Path) -> tuple[nn.Module, int]:
    """The network, of any values, and the width of its features."""
    del folder
    return EfficientNetLite0(), WIDTH


def weights(folder: Path) -> dict[str, Tensor]:
    """The published values, which `prepare` wrote."""
    return load_file(folder / _FILE)
