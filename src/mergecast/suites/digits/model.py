"""A vision transformer small enough to train in seconds: 8x8 images, 2x2 patches, 16 tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

IMAGE = 8
PATCH = 2
TOKENS = (IMAGE // PATCH) ** 2
PIXELS = PATCH**2


class Attention(nn.Module):
    """Multi-head self-attention over (n, tokens, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend; same shape out as in."""
        n, tokens, width = x.shape
        qkv = self.qkv(x).view(n, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(n, tokens, width))
        return out


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then the MLP, each added to its input."""
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.down(nn.functional.gelu(self.up(self.norm2(x))))
        return out


class Encoder(nn.Module):
    """Patches -> blocks -> the mean token, a feature of `width` numbers per image."""

    def __init__(self, width: int, depth: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.embed = nn.Linear(PIXELS, width)
        self.position = nn.Parameter(torch.zeros(TOKENS, width))
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 8, 8) in [0, 1] to features (n, width)."""
        x = self.embed(patches(images)) + self.position
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x).mean(dim=1)
        return out


class Classifier(Encoder):
    """The encoder and a linear head; the encoder's parameters keep their names."""

    def __init__(self, width: int, depth: int, heads: int, hidden: int, classes: int) -> None:
        super().__init__(width, depth, heads, hidden)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 8, 8) in [0, 1] to logits (n, classes)."""
        logits: Tensor = self.head(super().forward(images))
        return logits


def patches(images: Tensor) -> Tensor:
    """Cut images (n, 8, 8) into patches (n, 16, 4), row by row."""
    side = IMAGE // PATCH
    grid = images.view(-1, side, PATCH, side, PATCH).transpose(2, 3)
    return grid.reshape(-1, TOKENS, PIXELS)


def build_encoder(
    width: int, depth: int, heads: int, hidden: int, generator: torch.Generator | None = None
) -> Encoder:
    """An encoder with weights drawn from `generator`, or with none drawn (to be loaded into).

    Built on the meta device first, so that torch's global random state is neither used nor moved.
    """
    with torch.device("meta"):
        encoder = Encoder(width, depth, heads, hidden)
    encoder.to_empty(device="cpu")
    if generator is not None:
        with torch.no_grad():
            for name, parameter in sorted(encoder.named_parameters()):
                if parameter.ndim == 2:
                    fan_in = 1.0 if name == "position" else parameter.shape[1]
                    scale = 0.02 if name == "position" else fan_in**-0.5
                    nn.init.trunc_normal_(
                        parameter, std=scale, a=-2 * scale, b=2 * scale, generator=generator
                    )
                else:
                    parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
    return encoder
