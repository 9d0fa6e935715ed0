"""``adapter_config.json`` of a PEFT LoRA adapter, checked before any number of it is used."""

from __future__ import annotations

import json
import re
from math import isfinite
from pathlib import Path
from typing import Any

from mergecast.checkpoints.side_files import read_json
from mergecast.errors import CheckpointError

_PATTERNS = {"rank_pattern": "r", "alpha_pattern": "lora_alpha"}
#: Adapters that are no weights, and cannot be made some.
_PROMPTS = frozenset(
    {
        "ADAPTION_PROMPT",
        "CPT",
        "MULTITASK_PROMPT_TUNING",
        "PREFIX_TUNING",
        "PROMPT_TUNING",
        "P_TUNING",
    }
)
REFUSED = {
    "use_dora": "DoRA, which rescales whole columns of W and has no ΔW = s·B·A",
    "use_qalora": "QALoRA, whose pooled inputs have no ΔW = s·B·A",
    "lora_bias": "LoRA with a bias on B",
    "layer_replication": "layer replication, which changes the architecture",
    "trainable_token_indices": "trainable tokens",
    "target_parameters": "LoRA on bare parameters",
    "alora_invocation_tokens": "activated LoRA, whose ΔW applies to some tokens only",
}


#: Architectures whose attention and feed-forward layers are transformers' Conv1D, (in, out).
_CONV1D_TYPES = frozenset({"gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp"})
_CONV1D_MODULES = frozenset({"c_attn", "c_proj", "c_fc", "q_attn"})


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """The adapter's config; raises CheckpointError for other kinds and for malformed values."""
    path = folder / "adapter_config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        kind = config["peft_type"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            path, f"is not a PEFT config ({type(error).__name__}: {error})", "fetch it again"
        ) from error
    if kind in _PROMPTS:
        raise CheckpointError(
            folder,
            f"is of kind {kind}, which adds inputs to the base and changes no weight of it",
            "leave it out: there is nothing to merge",
        )
    if kind != "LORA":
        raise refuse(folder, f"an adapter of kind {kind}")
    for key, what in REFUSED.items():
        if config.get(key):
            raise refuse(folder, what)
    for key in _PATTERNS.values():
        _check_number(path, key, config.get(key), key)
    for key, number in _PATTERNS.items():
        _check_patterns(path, key, config.get(key), number)
    return config


def refuse(folder: Path, what: str) -> CheckpointError:
    """The error for an adapter that is `what`, and so no task vector."""
    return CheckpointError(
        folder,
        f"is {what}, which is not read as a task vector",
        "merge the adapter into its base (PEFT's merge_and_unload) and give the result",
    )


def of_module(config: dict[str, Any], key: str, module: str) -> Any:
    """PEFT's rule for a pattern key: the first that matches the end of the module's path."""
    for pattern, value in (config.get(key) or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return config[_PATTERNS[key]]


def is_transposed(
    product: tuple[int, ...],
    stored: tuple[int, ...],
    module: str,
    base: Path,
    config: dict[str, Any],
) -> bool:
    """Whether a module stores its weight as (in, out), so that ΔW must be turned.

    PEFT decides it for each module from its type, and saves what the last one was. A shape that is
    not square tells it; of square ones the architecture does, and the saved flag where nothing
    else says anything.

    Parameters
    ----------
    product, stored : tuple of int
        Shapes of B·A, and of the base's weight.
    module : str
        The module's path.
    base : Path
        Folder of the base, whose config names the architecture.
    """
    if product != product[::-1] or product != stored:
        return product != stored and product == stored[::-1]
    model_type = read_json(base / "config.json").get("model_type")
    if model_type in _CONV1D_TYPES:
        return module.rpartition(".")[2] in _CONV1D_MODULES
    if model_type is not None:
        return False
    return bool(config.get("fan_in_fan_out"))


def _check_number(path: Path, where: str, value: object, key: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CheckpointError(path, f"has no number {where!r}, but {value!r}", "fetch it again")
    if not isfinite(value):
        raise CheckpointError(path, f"{where!r} is {value}, not finite", "fetch it again")
    if key == "r" and (value < 1 or value != int(value)):
        raise CheckpointError(path, f"{where!r} is {value}, not a rank of 1 or more", "correct it")


def _check_patterns(path: Path, key: str, patterns: object, number: str) -> None:
    if patterns is None:
        return  # as PEFT's default: no module differs
    if not isinstance(patterns, dict):
        kind = type(patterns).__name__
        raise CheckpointError(
            path, f"{key!r} is a {kind}, not a mapping of patterns to numbers", "correct it"
        )
    for pattern, value in patterns.items():
        _check_number(path, f"{key}[{pattern}]", value, number)
        try:
            re.compile(rf"(.*\.)?({pattern})$")
        except (re.error, OverflowError) as error:
            raise CheckpointError(
                path, f"pattern {pattern!r} of {key!r} is not a regex ({error})", "correct it"
            ) from error
