"""Building a task's module: transformers' own classes from a config, or the user's function.

No code of a checkpoint folder is ever imported: only its ``config.json`` is read.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.side_files import read_json
from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.errors import MergecastError, UsageError
from mergecast.runtime.stage import code_digest
from mergecast.runtime.store import text_digest


def from_config(folder: Path, auto: str, classes: int = 0) -> nn.Module:
    """A transformers model of the architecture that ``config.json`` of `folder` describes.

    Parameters
    ----------
    folder : Path
        Holds ``config.json``; nothing else of it is read.
    auto : str
        Name of a transformers Auto class, such as ``AutoModelForSequenceClassification``.
    classes : int
        Of its head, where the config does not say it.

    Raises
    ------
    UsageError
        transformers is not installed, has no such class, or does not know the architecture.
    """
    try:
        import transformers
    except ImportError as error:
        raise UsageError("transformers", "is not installed", "pip install mergecast[hf]") from error
    factory = getattr(transformers, auto, None) if auto.startswith("AutoModel") else None
    if factory is None:
        known = [name for name in dir(transformers) if name.startswith("AutoModel")]
        raise UsageError.unknown("transformers class", auto, known)
    if not (folder / "config.json").is_file():
        raise UsageError(folder, "holds no config.json", "give the folder of the base model")
    try:
        config = transformers.AutoConfig.from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=True
        )
        if classes:
            config.num_labels = classes
        module = factory.from_config(config, trust_remote_code=False)
    except (ValueError, KeyError, OSError, TypeError, ImportError) as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(
            folder,
            f"does not build as {auto}: {first}",
            "choose the Auto class of its architecture; code in a checkpoint folder is never run, "
            "give your own by build: module:function",
        ) from error
    if not isinstance(module, nn.Module):
        raise UsageError(auto, f"gives {type(module).__name__}, not a module", "choose another")
    return module


def load_function(reference: str) -> Callable[..., Any]:
    """The function that ``module:function`` names, from the packages Python can import."""
    module_name, colon, function_name = reference.partition(":")
    if not colon or not module_name or not function_name:
        raise UsageError(f"{reference!r}", "is not module:function", "write package.module:name")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise UsageError(
            f"{reference!r}", f"cannot be imported: {error}", "put its folder on PYTHONPATH"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        names = [n for n in dir(module) if callable(getattr(module, n)) and not n.startswith("_")]
        raise UsageError.unknown(f"function of {module_name}", function_name, names)
    checked: Callable[..., Any] = function
    return checked


def source_digest(reference: str) -> str:
    """SHA-256 (hex) of the code of the module that ``module:function`` is in.

    All of the module counts, since what a function builds is mostly defined beside it; empty where
    there is no source to read. Raises UsageError as `load_function` does.
    """
    load_function(reference)
    return code_digest(sys.modules[reference.partition(":")[0]])


def config_digest(folder: Path) -> str:
    """SHA-256 (hex) of a folder's ``config.json``; its name and transformers' version aside.

    Raises CheckpointError as `read_json` does.
    """
    config = dict(read_json(folder / "config.json"))
    for name in ("_name_or_path", "transformers_version"):
        config.pop(name, None)
    return text_digest(json.dumps(config, sort_keys=True))


def call(reference: str, arguments: Mapping[str, Any]) -> Any:
    """Call ``module:function``; what it raises names it."""
    function = load_function(reference)
    try:
        return function(**arguments)
    except MergecastError:
        raise
    except Exception as error:
        raise UsageError(
            f"{reference!r}", f"failed: {type(error).__name__}: {error}", "fix it or its arguments"
        ) from error


def build_by_function(reference: str, arguments: Mapping[str, Any]) -> nn.Module:
    """The module that ``module:function`` returns."""
    module = call(reference, arguments)
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"{reference!r}", f"returned {type(module).__name__}", "return a torch.nn.Module"
        )
    return module


def linear_head(name: str, path: Path) -> dict[str, Tensor]:
    """``head.weight`` and ``head.bias`` of a task, zeros where the file has no bias.

    Raises UsageError where the weight is no matrix, and as `Checkpoint.open` does.
    """
    file = Checkpoint.open(path)
    weight = to_tensor(file.floats("weight").reshape(file.info("weight").shape))
    if weight.dim() != 2:
        raise UsageError(
            f"head of {name!r}",
            f"weight has shape {list(weight.shape)}",
            "store (classes, features)",
        )
    bias = to_tensor(file.floats("bias")) if "bias" in file.infos else weight.new_zeros(len(weight))
    return {"head.weight": weight, "head.bias": bias}


def with_linear_head(module: nn.Module, weight: Tensor, normalize: bool) -> nn.Module:
    """`module` with a linear head, ``head``, on its pooled features; other names stay.

    Features are the output itself or its ``image_embeds``, ``text_embeds`` or ``pooler_output``.

    Parameters
    ----------
    module : nn.Module
        The encoder; it is changed and returned.
    weight : Tensor
        (classes, features), for its shape.
    normalize : bool
        Divide features by their norm first, as CLIP's zero-shot heads do.

    Raises
    ------
    UsageError
        The module has a part called ``head`` already.
    """
    if "head" in dict(module.named_children()):
        raise UsageError("head", "the model has a part of this name", "it needs no other head")
    module.add_module("head", nn.Linear(weight.shape[1], weight.shape[0]))

    def classify(owner: nn.Module, _inputs: object, output: Any) -> Tensor:
        features = _features(output)
        if normalize:
            features = features / features.norm(dim=-1, keepdim=True)
        logits: Tensor = owner.get_submodule("head")(features)
        return logits

    module.register_forward_hook(classify)
    return module


def _features(output: Any) -> Tensor:
    for name in ("image_embeds", "text_embeds", "pooler_output"):
        features = getattr(output, name, None)
        if isinstance(features, Tensor):
            return features
    if isinstance(output, Tensor):
        return output
    has = ", ".join(output) if isinstance(output, Mapping) else type(output).__name__
    raise UsageError("head", f"the model returns no pooled features but {has}", "choose another")


def pooled(output: Any, mask: Tensor | None) -> Tensor:
    """Features (n, d) of a model without a head: its own projection, or the mean over positions.

    Parameters
    ----------
    output : object
        What the model returned.
    mask : Tensor or None
        (n, L), 0 where a text is padded.
    """
    for name in ("image_embeds", "text_embeds"):
        embeds = getattr(output, name, None)
        if isinstance(embeds, Tensor):
            return embeds
    hidden = getattr(output, "last_hidden_state", output)
    if isinstance(hidden, Tensor) and hidden.dim() == 3:
        weights = hidden.new_ones(hidden.shape[:2])
        if mask is not None and mask.shape == weights.shape:
            weights = mask.to(hidden.device, hidden.dtype)
        total = weights.sum(dim=1, keepdim=True).clamp(min=1)
        mean: Tensor = (hidden * weights.unsqueeze(-1)).sum(dim=1) / total
        return mean
    if isinstance(hidden, Tensor) and hidden.dim() > 3:
        return hidden.flatten(2).mean(dim=2)
    return _features(hidden if isinstance(hidden, Tensor) else output)


def give_pad_token(module: nn.Module) -> None:
    """Set the pad token of a decoder that has none to its end token.

    Sequence classifiers on decoders look for the last token that is no padding, and run no batch
    without one; texts are padded with the same token.
    """
    config = getattr(module, "config", None)
    if config is not None and getattr(config, "pad_token_id", 0) is None:
        end = getattr(config, "eos_token_id", None)
        config.pad_token_id = end[0] if isinstance(end, list) else end or 0
