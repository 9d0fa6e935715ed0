"""The model card of a merge that is an adapter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from mergecast.checkpoints.hub import model_name


def adapter_card(record: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """What was merged, how, and how much of it the adapter holds, as model hubs read it.

    Parameters
    ----------
    record : mapping of str to object
        What is kept in ``mergecast.json``.
    config : mapping of str to object
        The adapter's config.

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
        f"# Merge of the adapters {', '.join(record['members'])}",
        "",
        f"A LoRA adapter of `{config['base_model_name_or_path']}`, merged from:",
        "",
        *(f"- {label}: `{model_name(at) or at}`" for label, at in record["members"].items()),
        "",
        *(f"{line[0].upper()}{line[1:]}." for line in described(record["adapter"])),
        "",
        "```yaml",
        _yaml(recipe),
        "```",
        "",
        "```python",
        "from peft import PeftModel",
        "",
        "model = PeftModel.from_pretrained(base, folder)",
        "```",
        "",
    ]
    return "\n".join(lines)


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
