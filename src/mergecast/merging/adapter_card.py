"""The model card of a merge that is an adapter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from mergecast.checkpoints.hub import model_name


@dataclass(frozen=True)
class OwnHead:
    """What a card says of one model's own head on a merged adapter.

    Attributes
    ----------
    label : str
        The model.
    modules : tuple of str
        The modules that are its own.
    on : str
        The transformers class that the adapter is put on; "" where it is not known.
    classes : int or None
        The number of classes that the base is loaded with, where the head has that many outputs.
    replaces : bool
        Whether the base has a head of other shapes, which it must be loaded without.
    """

    label: str
    modules: tuple[str, ...]
    on: str = ""
    classes: int | None = None
    replaces: bool = False


def adapter_card(
    record: Mapping[str, Any], config: Mapping[str, Any], head: OwnHead | None = None
) -> str:
    """What was merged, how, and how much of it the adapter holds, as model hubs read it.

    Parameters
    ----------
    record : mapping of str to object
        What is kept in ``mergecast.json``.
    config : mapping of str to object
        The adapter's config.
    head : OwnHead, optional
        The model's head that the adapter carries.

    Returns
    -------
    str
        Markdown, with the metadata that hubs read as YAML in front.
    """
    front = {
        "base_model": config["base_model_name_or_path"],
        "base_model_relation": "adapter",
        "library_name": "peft",
        "tags": ["lora", "merge", "mergecast"],
    }
    keys = ("method", "params", "weights", "seed", "by_parameter")
    recipe = {key: record[key] for key in keys if record.get(key) not in (None, {}, [], 0)}
    lines = [
        "---",
        _yaml(front),
        "---",
        "",
        f"# Merge of the adapters {', '.join(record['members'])}"
        + (f", with the head of {head.label}" if head else ""),
        "",
        f"A LoRA adapter of `{config['base_model_name_or_path']}`, merged from:",
        "",
        *(f"- {label}: `{model_name(at) or at}`" for label, at in record["members"].items()),
        "",
        *(f"{line[0].upper()}{line[1:]}." for line in described(record["adapter"])),
        *((f"Not merged, from {head.label} alone: {', '.join(head.modules)}.",) if head else ()),
        "",
        "```yaml",
        _yaml(recipe),
        "```",
        "",
        "```python",
        *_loading(str(front["base_model"]), head),
        "```",
        "",
    ]
    return "\n".join(lines)


def _loading(base: str, head: OwnHead | None) -> Iterator[str]:
    """Lines of Python that load the adapter."""
    yield "from peft import PeftModel"
    if head is not None and head.on:
        given = [repr(base)]
        if head.classes is not None:
            given.append(f"num_labels={head.classes}")
        if head.replaces:
            given.append("ignore_mismatched_sizes=True")
        yield f"from transformers import {head.on}"
        yield ""
        yield f"base = {head.on}.from_pretrained({', '.join(given)})"
    else:
        yield ""
        if head is not None:
            yield f"# base: of the class and with as many labels as {head.label} was trained with"
    yield "model = PeftModel.from_pretrained(base, folder)"


def described(told: Mapping[str, Any]) -> Iterator[str]:
    """Lines for people about an adapter that was written.

    Parameters
    ----------
    told : mapping of str to object
        ``adapter`` of the record.
    """
    ranks = told["ranks"].values()
    if ranks:
        span = f"{min(ranks)}" if len(set(ranks)) == 1 else f"{min(ranks)} to {max(ranks)}"
        yield f"{len(ranks)} matrices of rank {span}"
    if told["energy"] is not None:
        yield (
            f"{told['energy']:.6f} of the merged delta's energy (its squared norm) is kept, the "
            f"least, {told['worst_energy']:.6f}, of {told['worst_matrix']}"
        )
    if told["whole"]:
        yield f"{len(told['whole'])} parameter(s) are written whole, first {told['whole'][0]}"


def _yaml(value: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True)).rstrip()
