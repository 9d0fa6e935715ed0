"""A merge of LoRA adapters as an adapter: its delta as factors, and what no rank holds said."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mergecast.checkpoints.checkpoint import TensorInfo
from mergecast.checkpoints.folder_writer import FolderWriter, refuse_folder, write_json
from mergecast.checkpoints.lora import LoraCheckpoint
from mergecast.checkpoints.lora_files import ADAPTER_CONFIG
from mergecast.checkpoints.lora_writer import (
    ADAPTER_WEIGHTS,
    Place,
    kept_whole,
    merged_config,
    places,
)
from mergecast.checkpoints.side_files import processing_files
from mergecast.checkpoints.tied import INPUT_EMBEDDINGS
from mergecast.errors import FamilyError, UsageError
from mergecast.family.family import Family
from mergecast.merging.adapter_card import adapter_card
from mergecast.merging.factors import TOLERANCE, factored
from mergecast.merging.recipe import Recipe
from mergecast.merging.run import merged_blocks
from mergecast.runtime.progress import Progress, Silent
from mergecast.typing import Array

log = logging.getLogger(__name__)
_FLOAT32 = np.dtype(np.float32)


def check_adapter(family: Family, rank: int | None, *, heads: bool) -> None:
    """Raise for a merge that no adapter holds.

    Parameters
    ----------
    family : Family
        The models to merge.
    rank : int or None
        The highest rank asked for.
    heads : bool
        Whether each model's head is asked for, too.

    Raises
    ------
    UsageError
        A rank that is none; options that do not go with an adapter.
    FamilyError
        A model is no LoRA adapter.
    """
    if rank is not None and (isinstance(rank, bool) or int(rank) != rank or rank < 1):
        raise UsageError("rank", f"is {rank!r}", "give a whole number, 1 or more")
    for asked, option in ((heads, "heads"), (family.vocabulary is not None, "vocabulary")):
        if asked:
            raise UsageError(
                "adapter",
                f"given with {option}, which writes parameters that an adapter has no place for",
                f"leave one of them out: without {option} the adapter is the merged encoder's",
            )
    for label, model in family.models.items():
        if not isinstance(model, LoraCheckpoint):
            raise FamilyError(
                f"model {label!r}",
                f"{model.path} is no LoRA adapter of the base: what it changes has no rank that an "
                "adapter could hold",
                "leave it out, or merge to whole weights, without adapter",
            )


@dataclass
class _Adapter:
    """What is known of the adapter while matrices are merged."""

    ranks: dict[Place, int] = field(default_factory=dict)
    tensors: dict[str, Array] = field(default_factory=dict)
    whole: list[str] = field(default_factory=list)
    energy: dict[str, float] = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)

    def add(self, place: Place, delta: Array, limit: int, dtype: np.dtype[np.generic]) -> None:
        """Factor one matrix; what is lost is measured on the factors as they are stored."""
        matrix = place.matrix(delta)
        found = factored(matrix, limit)
        left, right = found.left.astype(dtype), found.right.astype(dtype)
        rest = matrix - left.astype(np.float64) @ right.astype(np.float64)
        self.ranks[place] = found.rank
        self.energy[place.module] = found.energy
        self.lost[place.module] = float(np.square(rest).sum())
        self.tensors |= place.tensors(left, right)

    def summary(self, asked: int | None) -> dict[str, Any]:
        """Plain data for records and people; shares are None where nothing changed."""
        shares = {
            module: 1 - self.lost[module] / energy
            for module, energy in self.energy.items()
            if energy
        }
        worst = min(shares, key=lambda module: shares[module]) if shares else None
        total = sum(self.energy.values())
        return {
            "asked_rank": asked,
            "ranks": {place.module: rank for place, rank in self.ranks.items()},
            "tolerance": TOLERANCE,
            "energy": 1 - sum(self.lost.values()) / total if total else None,
            "worst_energy": None if worst is None else shares[worst],
            "worst_matrix": worst,
            "whole": self.whole,
        }


def write_adapter(
    family: Family,
    recipe: Recipe,
    out: Path,
    *,
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
    if not where and not stored:
        raise FamilyError(
            "models", "change no parameter that is merged", "leave --private out, or merge others"
        )
    adapter = _Adapter()
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
    lost_heads = _lost_heads(members, stored)
    for label, names in lost_heads.items():
        log.warning(
            "%s: its %s is left out: the adapter answers with the head of the model that it is put "
            "on", label, ", ".join(names),
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
        headless=bool(lost_heads),
    )
    saved = ", ".join(config["modules_to_save"] or ()) or "no task's head"
    told = {**record, "head": f"the adapter carries {saved}", "adapter": adapter.summary(rank)}
    infos = [TensorInfo(name, one.shape, one.dtype) for name, one in adapter.tensors.items()]
    writer = FolderWriter(
        out,
        infos,
        single=ADAPTER_WEIGHTS,
        side_files=processing_files(family.base.path),
        record=told,
        overwrite=overwrite,
        inputs=inputs,
        beside=lambda folder, _: _beside(folder, config, told, extra),
    )
    with writer.open():
        for name, array in adapter.tensors.items():
            writer.write(name, array)
    return out


def _beside(
    folder: Path,
    config: Mapping[str, Any],
    record: Mapping[str, Any],
    extra: Callable[[Path], None] | None,
) -> None:
    write_json(folder / ADAPTER_CONFIG, config)
    (folder / "README.md").write_text(adapter_card(record, config), encoding="utf-8")
    if extra is not None:
        extra(folder)


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
