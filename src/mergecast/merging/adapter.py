"""A merge of LoRA adapters as an adapter: its delta as factors, and what no rank holds said."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mergecast.checkpoints.checkpoint import TensorInfo
from mergecast.checkpoints.folder_writer import FolderWriter, refuse_folder, write_json
from mergecast.checkpoints.lora import LoraCheckpoint
from mergecast.checkpoints.lora_files import ADAPTER_CONFIG
from mergecast.checkpoints.lora_writer import (
    ADAPTER_WEIGHTS,
    kept_whole,
    merged_config,
    places,
)
from mergecast.checkpoints.side_files import processing_files
from mergecast.checkpoints.tied import INPUT_EMBEDDINGS
from mergecast.errors import FamilyError, UsageError
from mergecast.family.family import Family
from mergecast.merging.adapter_card import adapter_card
from mergecast.merging.adapter_heads import AdapterHeads
from mergecast.merging.factors import TOLERANCE
from mergecast.merging.merged_adapter import MergedAdapter
from mergecast.merging.recipe import Recipe
from mergecast.merging.run import merged_blocks
from mergecast.runtime.progress import Progress, Silent
from mergecast.typing import Array

log = logging.getLogger(__name__)
_FLOAT32 = np.dtype(np.float32)


def check_adapter(family: Family, rank: int | None) -> None:
    """Raise for a merge that no adapter holds.

    Parameters
    ----------
    family : Family
        The models to merge.
    rank : int or None
        The highest rank asked for.

    Raises
    ------
    UsageError
        A rank that is none; a vocabulary.
    FamilyError
        A model is no LoRA adapter.
    """
    if rank is not None and (isinstance(rank, bool) or int(rank) != rank or rank < 1):
        raise UsageError("rank", f"is {rank!r}", "give a whole number, 1 or more")
    if family.vocabulary is not None:
        raise UsageError(
            "adapter",
            "given with vocabulary, which writes parameters that an adapter has no place for",
            "leave one of them out: without vocabulary the adapter is the merged encoder's",
        )
    for label, model in family.models.items():
        if not isinstance(model, LoraCheckpoint):
            raise FamilyError(
                f"model {label!r}",
                f"{model.path} is no LoRA adapter of the base: what it changes has no rank that an "
                "adapter could hold",
                "leave it out, or merge to whole weights, without adapter",
            )


def write_adapter(
    family: Family,
    recipe: Recipe,
    out: Path,
    *,
    heads: AdapterHeads | None,
    rank: int | None,
    device: str,
    workers: int,
    overwrite: bool,
    dtype: np.dtype[np.generic] | None,
    evidence: Mapping[str, str | Path] | None,
    record: Mapping[str, Any],
    extra: Callable[[Path], None] | None,
    progress: Progress | None,
) -> Path:
    """Write the merge of LoRA adapters as a PEFT folder; the rest as of `write_merge`.

    Every matrix's merged delta becomes factors of its numerical rank, of `rank` at most, or of the
    members' ranks added up. Scalings are 1. Parameters that members hold whole are written whole.
    With `heads`, which `family` is then without, each gets a folder beside the rest.

    Raises
    ------
    FamilyError
        The method changes what no member does, or members name modules differently.
    CheckpointError
        A member holds whole what PEFT has no place for.
    """
    members: dict[str, LoraCheckpoint] = {
        label: model for label, model in family.models.items() if isinstance(model, LoraCheckpoint)
    }
    inputs = [family.base.path, *(member.path for member in members.values())]
    refuse_folder(out, inputs, overwrite=overwrite)
    stored = kept_whole(members, family.shared)
    where = places(members, (name for name in family.shared if name not in stored))
    if not where:
        raise FamilyError(
            "models",
            "change no parameter that is merged" + (" by factors" if stored else ""),
            "leave --private out, or merge others",
        )
    adapter = MergedAdapter()
    factors = dtype or _FLOAT32
    blocks = merged_blocks(family, recipe, None, device, workers, evidence=evidence, deltas=True)
    advance = (progress or Silent()).stage(f"merging by {recipe.method}", len(family.shared))
    for name, delta in blocks:
        if name in stored:
            base = family.base.floats(name).reshape(delta.shape)
            adapter.whole.append(stored[name])
            kept = dtype if dtype is not None else family.base.info(name).dtype
            adapter.tensors[stored[name]] = (base + delta).astype(kept)
        elif name in where:
            place = where[name]
            adapter.add(place, delta, min(rank or place.ranks, *place.matrix(delta).shape), factors)
        else:
            _refuse_change(family, recipe, name, delta)
        advance(1)
    lost_heads = {} if heads else _lost_heads(members, stored)
    for label, names in lost_heads.items():
        log.warning(
            "%s: its %s is left out: the adapter answers with the head of the model that it is put "
            "on; merge --heads writes it beside", label, ", ".join(names),
        )  # fmt: skip
    for name in (*where, *stored):
        if name.endswith(INPUT_EMBEDDINGS):
            log.warning(
                "%s is an embedding: where the model ties its output layer to it, a whole merge "
                "changes both, this adapter as those merged the embedding alone", name,
            )  # fmt: skip
    config = merged_config(
        list(members.values()),
        family.base.path,
        adapter.ranks,
        adapter.whole,
        headless=bool(heads or lost_heads),
    )
    saved = ", ".join(config["modules_to_save"] or ()) or "no task's head"
    line = f"the adapter carries {saved}" + (f"; {heads.line}" if heads else "")
    told = {**record, "head": line, "adapter": adapter.summary(rank)}

    def beside(folder: Path, _: Mapping[str, str]) -> None:
        write_json(folder / ADAPTER_CONFIG, config)
        (folder / "README.md").write_text(adapter_card(told, config), encoding="utf-8")
        if heads is not None:
            heads.write(folder, adapter, config, told, factors)
        if extra is not None:
            extra(folder)

    infos = [TensorInfo(name, one.shape, one.dtype) for name, one in adapter.tensors.items()]
    writer = FolderWriter(
        out,
        infos,
        single=ADAPTER_WEIGHTS,
        side_files=processing_files(family.base.path),
        record=told,
        overwrite=overwrite,
        inputs=inputs,
        beside=beside,
    )
    with writer.open():
        for name, array in adapter.tensors.items():
            writer.write(name, array)
    return out


def _refuse_change(family: Family, recipe: Recipe, name: str, delta: Array) -> None:
    """Raise FamilyError where a method changes a parameter that all members leave as it is."""
    change = float(np.linalg.norm(delta.reshape(-1).astype(np.float64)))
    if not change:
        return
    whole = float(np.linalg.norm(family.base.floats(name).astype(np.float64)))
    if change <= TOLERANCE * whole:
        return
    raise FamilyError(
        f"parameter {name!r}",
        f"no adapter changes it, but {recipe} does (by a norm of {change:.3g})",
        "give weights that add up to 1, or merge to whole weights, without adapter",
    )


def _lost_heads(
    members: Mapping[str, LoraCheckpoint], stored: Mapping[str, str]
) -> dict[str, list[str]]:
    """Label to modules that a member holds whole and the adapter does not."""
    lost: dict[str, list[str]] = {}
    for label, member in members.items():
        names = [name for name in member.replaced if name not in stored]
        if names:
            lost[label] = sorted({name.rpartition(".")[0] for name in names})
    return lost
