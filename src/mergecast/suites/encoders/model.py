"""An encoder with a linear head on its features."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Classifier(nn.Module):
    """``encoder`` gives (n, width) features, ``head`` logits.

    Parameters
    ----------
    encoder : Module
        Keyword inputs to features.
    width, classes : int
        Of the head.
    """

    def __init__(self, encoder: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(width, classes)

    def forward(self, **inputs: Any) -> Tensor:
        """Inputs to logits (n, classes)."""
        logits: Tensor = self.head(self.encoder(**inputs))
        return logits
