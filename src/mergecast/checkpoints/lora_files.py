"""LoRA files without PEFT's config: those of diffusers and kohya, and how all are recognised.

Both name factors by the module that they adapt, kohya with underscores for dots, and keep α as a
tensor beside them; where there is none, α is the rank.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mergecast.checkpoints import dtypes
from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.lora import LoraCheckpoint, Update
from mergecast.checkpoints.lora_config import refuse
from mergecast.checkpoints.safetensors_file import header_of, open_safetensors
from mergecast.errors import CheckpointError

ADAPTER_CONFIG = "adapter_config.json"
_FACTOR = re.compile(
    r"^(?P<module>.+?)[._](?P<side>lora_A|lora_B|lora_down|lora_up|lora[._]down|lora[._]up)"
    r"(\.\w+)?\.weight$"
)
_DOWN = frozenset({"lora_A", "lora_down", "lora.down"})
#: Parts of a pipeline, as prefixes of names; "" where a file is of one part alone.
_PARTS = re.compile(
    r"^(base_model\.model\.|unet\.|text_encoder(_2)?\.|transformer\.|lora_unet_|lora_te\d?_|"
    r"lora_transformer_)"
)
_OTHERS = ("lora_mid", "hada_w", "lokr_w", "dora_scale", "lora_magnitude_vector", ".diff")


def is_adapter_file(path: Path) -> bool:
    """Whether a file holds factors of a LoRA, by the names in its header; False if unreadable."""
    if path.name in ("adapter_model.bin", "pytorch_lora_weights.bin"):
        return True
    if not path.name.endswith(".safetensors"):
        return False
    names = [name for name in header_of(path) if name != "__metadata__"]
    return any(_FACTOR.match(name) for name in names[:_LOOKED_AT])


#: Names of a file that are looked at: an adapter's factors are not hidden among other tensors.
_LOOKED_AT = 64


def open_lora_file(path: Path, base: Checkpoint) -> LoraCheckpoint:
    """Open a LoRA file on its base.

    Raises
    ------
    CheckpointError
        It is PEFT's file without its config, of another kind than LoRA, or adapts what the base
        does not have.
    """
    if path.suffix != ".safetensors" or path.name.startswith("adapter_model"):
        raise CheckpointError(
            path,
            f"is a PEFT LoRA adapter without {ADAPTER_CONFIG}: its scaling is not in the file",
            f"put {ADAPTER_CONFIG} beside it and give the folder",
        )
    adapter = open_safetensors(path)
    for name in adapter.names:
        if any(kind in name for kind in _OTHERS):
            raise refuse(path, f"not plain LoRA (it holds {name!r})")
    modules: dict[str, dict[str, str]] = {}
    for name in adapter.names:
        match = _FACTOR.match(name)
        if match:
            side = "A" if match["side"] in _DOWN else "B"
            modules.setdefault(match["module"], {})[side] = name
    alphas = _declared(path)
    flat = {name.removesuffix(".weight").replace(".", "_"): name for name in base.infos}
    updates: dict[str, Update] = {}
    elsewhere: list[str] = []
    for module, sides in modules.items():
        target = _target(module, base, flat)
        if target is None:
            elsewhere.append(module)
            continue
        updates[target] = _update(path, adapter, base, module, target, sides, alphas)
    if not updates:
        raise CheckpointError(
            path,
            f"is a LoRA that adapts {elsewhere[0]!r} and {len(elsewhere) - 1} more, none of which "
            f"the base {base.path} has",
            "give the part that it adapts as base (a pipeline's unet/ or text_encoder/)",
        )
    checkpoint = LoraCheckpoint(path, base, adapter, updates, {})
    if elsewhere:
        checkpoint.notes = (
            f"{len(elsewhere)} adapted module(s) are of another part, first {elsewhere[0]!r}: "
            "they are left out here",
        )
    return checkpoint


def _declared(path: Path) -> dict[str, Any]:
    """What diffusers writes of r and α into the file's metadata, by part."""
    metadata = header_of(path).get("__metadata__") or {}
    try:
        declared = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except (ValueError, TypeError, AttributeError):
        return {}
    return declared if isinstance(declared, dict) else {}


def _target(module: str, base: Checkpoint, flat: dict[str, str]) -> str | None:
    """The base's weight that a module's factors change, under any of the ways to write it."""
    plain = _PARTS.sub("", module)
    plain = re.sub(r"\.processor\.(to_\w+)_lora$", r".\1", plain)
    for candidate in (plain, f"{plain}.0", module):
        if f"{candidate}.weight" in base.infos:
            return f"{candidate}.weight"
    name = flat.get(plain.replace(".", "_"))
    return name if name and base.infos[name].is_floating else None


def _update(
    path: Path,
    adapter: Checkpoint,
    base: Checkpoint,
    module: str,
    target: str,
    sides: dict[str, str],
    declared: dict[str, Any],
) -> Update:
    if set(sides) != {"A", "B"}:
        raise CheckpointError(path, f"module {module!r} has only one factor", "copy it again")
    a, b = adapter.info(sides["A"]), adapter.info(sides["B"])
    rank, shape = a.shape[0], base.info(target).shape
    alpha = float(rank)
    part = _PARTS.match(module)
    key = f"{part.group(0).rstrip('._')}.lora_alpha" if part else "lora_alpha"
    if f"{module}.alpha" in adapter.infos:
        alpha = float(adapter.floats(f"{module}.alpha")[0])
    elif isinstance(declared.get(key), int | float):
        alpha = float(declared[key])
    fits = b.shape[1:2] == (rank,) and (b.shape[0], *a.shape[1:]) == shape
    if not fits or not dtypes.is_floating(base.info(target).dtype):
        raise CheckpointError(
            path,
            f"factors of {module!r} are A {list(a.shape)} and B {list(b.shape)}, the base's "
            f"{target!r} is {list(shape)}",
            "use the base model this adapter was trained on",
        )
    called = target.removesuffix(".weight")
    return Update(sides["A"], sides["B"], alpha / rank, transposed=False, module=called)
