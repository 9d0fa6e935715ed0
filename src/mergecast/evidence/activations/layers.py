"""Which module of a network is its last block, found from its structure alone."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mergecast.checkpoints.patterns import matches
from mergecast.errors import UsageError

#: Element-wise layers that belong to the convolution or linear layer before them.
_TAILS: tuple[type[nn.Module], ...] = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.modules.dropout._DropoutNd,
    nn.Identity,
)
_CONVOLUTIONS = nn.modules.conv._ConvNd


def last_block(module: nn.Module, private: Sequence[str] = ()) -> str:
    """The name of the module whose output is the last block's.

    Repeated blocks in a ``ModuleList`` (text encoders, vision transformers, CLIP, decoders,
    staged convolutional networks): the last of the list that holds most parameters, lists inside
    blocks aside. Otherwise the last convolution (without any, the last layer) outside the
    private head: the largest part of the network around it that does not reach into the head,
    with the normalisation and activation that follow it in a ``Sequential``.

    Raises UsageError where the network has neither.
    """
    lists = _block_lists(module, private)
    if lists:
        return max(lists, key=lambda item: (item[1], item[0]))[2]
    layers = [
        name
        for name, part in module.named_modules()
        if name and any(True for _ in part.parameters(recurse=False)) and not _hits(name, private)
    ]
    convolutions = [n for n in layers if isinstance(module.get_submodule(n), _CONVOLUTIONS)]
    if not layers:
        raise UsageError(
            "last block", "the model has no layer outside its private head", "name one with --layer"
        )
    if not convolutions and not private:
        # Without a private head the last layer is the head.
        layers = layers[:-1] or layers
    return _stage((convolutions or layers)[-1], module, bool(convolutions), private)


def find_layer(module: nn.Module, name: str | None, private: Sequence[str] = ()) -> str:
    """The layer called `name`, or the last block for None.

    Raises UsageError for a name the module does not have, with names that it has.
    """
    if name is None:
        return last_block(module, private)
    names = [inside for inside, _ in module.named_modules() if inside]
    if name not in names:
        near = [inside for inside in names if inside.count(".") <= 2][:20]
        raise UsageError.unknown("layer", name, [*near, f"… ({len(names)} in all)"])
    return name


def _block_lists(module: nn.Module, private: Sequence[str]) -> list[tuple[int, int, str]]:
    """Outermost lists of blocks: (parameters, position, name of the last block)."""
    blocks: list[tuple[int, int, str]] = []
    inside: list[str] = []
    for position, (name, part) in enumerate(module.named_modules()):
        if not isinstance(part, nn.ModuleList) or not len(part) or _hits(name, private):
            continue
        if any(name.startswith(f"{outer}.") for outer in inside):
            continue
        size = sum(parameter.numel() for parameter in part.parameters())
        if size and all(type(block).forward is not nn.Module.forward for block in part):
            inside.append(name)
            blocks.append((size, position, f"{name}.{len(part) - 1}"))
    return blocks


def _stage(layer: str, module: nn.Module, has_conv: bool, private: Sequence[str]) -> str:
    parts = layer.split(".")
    stage = layer
    for depth in range(len(parts) - 1, 0, -1):
        outer = ".".join(parts[:depth])
        part = module.get_submodule(outer)
        inner = [name for name, _ in part.named_parameters(prefix=outer)]
        reaches_head = any(matches(name, private) for name in inner)
        linear_after = has_conv and any(isinstance(p, nn.Linear) for p in part.children())
        if reaches_head or linear_after:
            break
        stage = outer
    parent_name, _, key = stage.rpartition(".")
    parent = module.get_submodule(parent_name)
    if not isinstance(parent, nn.Sequential):
        return stage
    following = list(parent.named_children())
    start = [name for name, _ in following].index(key)
    for name, part in following[start + 1 :]:
        full = f"{parent_name}.{name}" if parent_name else name
        activation = type(part).__module__ == "torch.nn.modules.activation"
        if _hits(full, private) or not (isinstance(part, _TAILS) or activation):
            break
        stage = full
    return stage


def _hits(module_name: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern of parameters takes in a module's own parameters."""
    return matches(f"{module_name}.weight", patterns)
