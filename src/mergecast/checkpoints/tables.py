"""Tensors that are no trained weights, but tables that some versions save and others do not."""

from __future__ import annotations

from collections.abc import Sequence

#: Last parts of the names of tables that follow from the config.
_TABLES = frozenset(
    {
        "attention_mask",
        "cos_cached",
        "embed_positions_table",
        "freqs_cis",
        "inv_freq",
        "masked_bias",
        "position_ids",
        "relative_position_index",
        "sin_cached",
        "token_type_ids",
    }
)


def is_table(name: str, shape: Sequence[int], *, is_floating: bool) -> bool:
    """Whether a tensor follows from the config: whoever lacks it makes it.

    Positions, masks and rotary tables; whatever is no float.

    Parameters
    ----------
    name : str
        Of the tensor.
    shape : sequence of int
        Its dimensions.
    is_floating : bool
        Whether it holds floats.
    """
    if not is_floating:
        return True
    last = name.rpartition(".")[2]
    causal_mask = last == "bias" and len(shape) == 4 and shape[-1] == shape[-2]
    return last in _TABLES or causal_mask
