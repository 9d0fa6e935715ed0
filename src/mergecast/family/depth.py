"""Layers of a network by the names of its parameters alone, in the order of depth."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

_NUMBERED = re.compile(r"(?:.*?\.)?\d+(?=\.)")
#: What a network begins with, where its name has no number: embeddings, stems, positions.
_FIRST = re.compile(r"embed|stem|patch|pos|cls|token|^(wte|wpe|conv1|bn1)$")


def layers_of(names: Sequence[str]) -> dict[str, list[str]]:
    """Names of parameters by layer, from the input on.

    A layer is all that shares a name up to its first number (``blocks.3``, ``layer1.0``); what has
    no number goes by its outermost module. The part that all names share is left out.

    Parameters
    ----------
    names : sequence of str
        Of a network's parameters.

    Returns
    -------
    dict of str to list of str
        Embeddings and stems first, then numbered layers by number, then the rest.

    Examples
    --------
    >>> names = ["bert.layer.10.up.weight", "bert.layer.2.up.weight", "bert.embeddings.weight"]
    >>> list(layers_of(names))
    ['embeddings', 'layer.2', 'layer.10']
    """
    split = [name.split(".") for name in names]
    shared = _shared(split)
    layers: dict[str, list[str]] = {}
    for name, parts in zip(names, split, strict=True):
        rest = ".".join(parts[shared:])
        numbered = _NUMBERED.match(rest)
        layers.setdefault(numbered[0] if numbered else parts[shared], []).append(name)
    return {layer: layers[layer] for layer in sorted(layers, key=_place)}


def _shared(split: Sequence[Sequence[str]]) -> int:
    """Leading parts that all names share; a layer keeps its number, and the word before it."""
    most = min((len(parts) - 1 for parts in split), default=0)
    same = (len({parts[i] for parts in split}) == 1 for i in range(most))
    shared = sum(takewhile(bool, same))
    numbers = (i for i in range(shared) if split[0][i].isdigit())
    return min(shared, max(next(numbers, shared + 1) - 1, 0))


def _place(layer: str) -> tuple[int, list[tuple[bool, int, str]]]:
    parts = re.findall(r"\d+|\D+", layer)
    natural = [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
    if layer.rpartition(".")[2].isdigit():
        return 1, natural
    return (0 if _FIRST.search(layer) else 2), natural
