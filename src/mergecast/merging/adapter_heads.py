"""Each adapter's own head on a merge of adapters: a folder that PEFT loads for every model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mergecast.checkpoints.folder_writer import write_json
from mergecast.checkpoints.head_config import adapter_config
from mergecast.checkpoints.lora import LoraCheckpoint
from mergecast.checkpoints.lora_files import ADAPTER_CONFIG
from mergecast.checkpoints.lora_writer import (
    ADAPTER_WEIGHTS,
    Place,
    config_with_head,
    kept_whole,
    places,
)
from mergecast.checkpoints.side_files import processing_files
from mergecast.checkpoints.writer import write_safetensors
from mergecast.family import task_heads
from mergecast.family.family import Family
from mergecast.merging.adapter_card import OwnHead, adapter_card
from mergecast.merging.heads import head_folders, no_heads, without_heads
from mergecast.merging.merged_adapter import MergedAdapter
from mergecast.runtime.files import as_resource_error


@dataclass(frozen=True)
class AdapterHead:
    """What one adapter keeps for itself, apart from what is merged.

    Attributes
    ----------
    member : LoraCheckpoint
        The adapter.
    names : tuple of str
        Parameters that it changes and no merge takes.
    whole : mapping of str to str
        Of these, and of its buffers, the ones that it holds whole, to their names in PEFT's file.
    factors : mapping of str to Place
        Of these, the ones that it adapts by factors.
    """

    member: LoraCheckpoint
    names: tuple[str, ...]
    whole: Mapping[str, str]
    factors: Mapping[str, Place]

    @property
    def modules(self) -> list[str]:
        """The modules that stay with the adapter."""
        return task_heads.modules(self.names)


@dataclass(frozen=True)
class AdapterHeads:
    """The heads of a family of adapters, apart from what is merged.

    Attributes
    ----------
    family : Family
        The family with the task heads that all share set aside, too.
    own : mapping of str to AdapterHead
        Label to its head; adapters without one are not in it.
    """

    family: Family
    own: Mapping[str, AdapterHead]

    @property
    def folders(self) -> dict[str, str]:
        """Label to the folder under the merged one."""
        return head_folders(self.own)

    @property
    def line(self) -> str:
        """For people: what is kept with whom, and who has no head of its own."""
        kept = "; ".join(f"{label}: {', '.join(head.modules)}" for label, head in self.own.items())
        without = [label for label in self.family.names if label not in self.own]
        rest = f"; without one of its own: {', '.join(without)}" if without else ""
        return f"kept with each model: {kept}{rest}"

    def write(
        self,
        folder: Path,
        merged: MergedAdapter,
        config: Mapping[str, Any],
        record: Mapping[str, Any],
        dtype: np.dtype[np.generic],
    ) -> None:
        """Add every head's folder to that of a merged adapter.

        Parameters
        ----------
        folder : Path
            The merged adapter's.
        merged : MergedAdapter
            What is in it.
        config, record : mapping of str to object
            Its ``adapter_config.json`` and ``mergecast.json``.
        dtype : dtype
            Of factors; what a head holds whole keeps its own.
        """
        for label, place in self.folders.items():
            with as_resource_error(folder / place):
                self._write_head(label, folder / place, merged, config, record, dtype)

    def _write_head(
        self,
        label: str,
        out: Path,
        merged: MergedAdapter,
        config: Mapping[str, Any],
        record: Mapping[str, Any],
        dtype: np.dtype[np.generic],
    ) -> None:
        head, base = self.own[label], self.family.base
        adapter = merged.copy()
        for name, place in head.factors.items():
            delta = head.member.delta(name, base.floats(name)).reshape(base.info(name).shape)
            adapter.add(place, delta, min(place.ranks, *place.matrix(delta).shape), dtype)
        for name, stored in head.whole.items():
            adapter.tensors[stored] = head.member.array(name)
        config = config_with_head(config, head.member, adapter.ranks, head.whole.values())
        out.mkdir(parents=True)
        write_safetensors(out / ADAPTER_WEIGHTS, adapter.tensors)
        write_json(out / ADAPTER_CONFIG, config)
        for source in (base.path, head.member.path):
            for file in processing_files(source):
                shutil.copyfile(file, out / file.name)
        card = adapter_card(record, config, self._told(label))
        (out / "README.md").write_text(card, encoding="utf-8")

    def _told(self, label: str) -> OwnHead:
        """What a card says of a head, with the class that it is put on, where that is known."""
        head, base = self.own[label], self.family.base
        known = OwnHead(label, tuple(head.modules))
        if not base.path.is_dir():
            return known
        infos = {name: head.member.info(name) for name in head.names}
        config, names = adapter_config(head.member.path, base.path, infos)
        if names is None:
            return known
        count = len(config["id2label"])
        return replace(
            known,
            on=config["architectures"][0],
            classes=count if any(one.shape[:1] == (count,) for one in infos.values()) else None,
            replaces=any(
                name in base.infos and base.info(name).shape != info.shape
                for name, info in infos.items()
            ),
        )


def adapters_apart(family: Family) -> AdapterHeads:
    """The heads of a family of LoRA adapters, and the family without them.

    A head that an adapter only passes on from the base is not its own.

    Raises
    ------
    UsageError
        No adapter has a head of its own.
    CheckpointError
        One holds whole what PEFT has no place for.
    """
    family = without_heads(family)
    shared = set(family.shared)
    own: dict[str, AdapterHead] = {}
    for label, member in family.models.items():
        if not isinstance(member, LoraCheckpoint):
            continue
        changed = (n for n in task_heads.own_names(family, label) if member.dense_update(n))
        names = tuple(changed)
        if names:
            one = {label: member}
            whole = kept_whole(one, (name for name in member.replaced if name not in shared))
            factors = places(one, (name for name in member.updates if name not in shared))
            own[label] = AdapterHead(member, names, whole, factors)
    if not own:
        raise no_heads()
    return AdapterHeads(family, own)
