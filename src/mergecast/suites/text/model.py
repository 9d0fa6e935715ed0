"""A BERT encoder whose features are the mean over the tokens of a text."""

from __future__ import annotations

from torch import Tensor, nn


class MeanPooled(nn.Module):
    """Features (n, width): the mean of the last hidden states over what is no padding.

    Parameters
    ----------
    bert : Module
        Of transformers, without a pooler.
    """

    def __init__(self, bert: nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token numbers and mask, (n, length) both, to features."""
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[..., None].to(hidden.dtype)
        features: Tensor = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        return features
