"""Each model's own head beside a merged encoder: folders that load whole and cost the head alone.

The encoder's files are hard links in every folder, so that N heads do not cost N encoders on disk;
where a disk has no hard links, they are copies.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergecast.checkpoints.folder_writer import write_index, write_json
from mergecast.checkpoints.head_config import adapter_config, bare_config
from mergecast.checkpoints.side_files import (
    processing_files,
    put_network_here,
    read_json,
    side_files,
)
from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.checkpoints.writer import SafetensorsWriter
from mergecast.errors import UsageError
from mergecast.family import task_heads
from mergecast.family.family import Family
from mergecast.runtime.files import as_resource_error

if TYPE_CHECKING:
    from torch import Tensor

_FOLDER, _HEAD, _ENCODER, _REST = "heads", "head.safetensors", "encoder.safetensors", "base"
#: Rules of findings about heads that a merged folder has no more once they stay with their models.
LEFT_OUT = frozenset({"base head", "labels", "shared head", "trained head"})


@dataclass(frozen=True)
class Heads:
    """The heads of a family's models, apart from what is merged.

    Attributes
    ----------
    family : Family
        The family with the task heads that all share set aside, too.
    own : mapping of str to list of str
        Label to the names of the tensors that stay with the model.
    dropped : tuple of str
        The base's heads, which no file carries.
    """

    family: Family
    own: Mapping[str, list[str]]
    dropped: tuple[str, ...]
    configs: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def folders(self) -> dict[str, str]:
        """Label to the folder under the merged one."""
        return head_folders(self.own)

    @property
    def owned(self) -> set[str]:
        """Names that some model brings, which the encoder's files must not hold."""
        return {name for names in self.own.values() for name in names}

    def shards(self, files: Mapping[str, str] | None) -> dict[str, str] | None:
        """Each tensor's file: what only the base has under a name of a head stands by itself."""
        rest = [n for n in self.family.base.names if n in self.owned and n not in self.dropped]
        if not rest:
            return None if files is None else dict(files)
        of = files or dict.fromkeys(self.family.base.names, _ENCODER)
        return {**of, **dict.fromkeys(rest, f"{_REST}.safetensors")}

    def whole(self, label: str, merged: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """A merged encoder's tensors with a model's own head on it, sorted by name."""
        model, own, left = self.family.models[label], self.own[label], {*self.dropped, *self.owned}
        for name in sorted({*(one for one in merged if one not in left), *own}):
            yield name, to_tensor(model.array(name)) if name in own else merged[name]

    def write(self, folder: Path, files: Mapping[str, str]) -> None:
        """Add the folders of all models, and the encoder's config, to a merged folder."""
        base = read_json(folder / "config.json")
        if base and self.dropped:
            write_json(folder / "config.json", bare_config(base))
        for label, place in self.folders.items():
            with as_resource_error(folder / place):
                self._write_model(label, folder, folder / place, files)

    def _write_model(self, label: str, merged: Path, out: Path, files: Mapping[str, str]) -> None:
        model = self.family.models[label]
        out.mkdir(parents=True)
        encoder = {name: file for name, file in files.items() if file != f"{_REST}.safetensors"}
        renamed = {
            file: _ENCODER if file == "model.safetensors" else file for file in encoder.values()
        }
        for file, name in renamed.items():
            _link(merged / file, out / name)
        infos = [model.infos[name] for name in self.own[label]]
        if infos:
            with SafetensorsWriter(out / _HEAD, infos) as writer:
                for info in infos:
                    writer.write(info.name, model.array(info.name))
        of = {name: renamed[file] for name, file in encoder.items()}
        of |= dict.fromkeys(self.own[label], _HEAD)
        size = sum((out / file).stat().st_size for file in set(of.values()))
        write_index(out, of, size)
        base = self.family.base.path
        files_of = {base: side_files(base)} if label in self.configs else {}
        if not processing_files(model.path):  # its tokenizer was the base's all along
            files_of.setdefault(base, processing_files(base))
        files_of[model.path] = side_files(model.path)
        for source in files_of.values():
            for one in source:
                if one.is_dir():
                    shutil.copytree(one, out / one.name, dirs_exist_ok=True)
                elif one.name != "README.md":
                    shutil.copyfile(one, out / one.name)
        put_network_here(out)
        if label in self.configs:
            write_json(out / "config.json", self.configs[label])


def apart(family: Family) -> Heads:
    """The heads of a family's models, and the family without them.

    Raises
    ------
    UsageError
        No model has a head of its own.
    """
    family = without_heads(family)
    own = {label: task_heads.own_names(family, label) for label in family.names}
    configs: dict[str, dict[str, Any]] = {}
    for label, model in family.models.items():
        if (model.path / "config.json").is_file() or not family.base.path.is_dir():
            continue
        infos = {name: model.infos[name] for name in own[label]}
        configs[label], names = adapter_config(model.path, family.base.path, infos)
        if names is not None:  # what an adapter only passes on from a base with another head
            own[label] = [name for name in own[label] if names.get(name) is not None]
    if not any(own.values()):
        raise no_heads()
    return Heads(family, own, tuple(task_heads.base_heads(family)), configs)


def without_heads(family: Family) -> Family:
    """The family with the task heads that all its models share set aside."""
    shared = task_heads.shared_heads(family)
    return family.without(shared) if shared else family


def no_heads() -> UsageError:
    """The error for heads that were asked for where no model has one."""
    return UsageError("heads", "no model has one of its own", "leave heads out")


def head_folders(labels: Iterable[str]) -> dict[str, str]:
    """Label to its model's folder under the merged one."""
    taken: dict[str, str] = {}
    for label in labels:
        plain = re.sub(r"[^\w.@-]+", "_", label).lstrip(".") or "model"
        while plain in taken.values():
            plain += "_"
        taken[label] = plain
    return {label: f"{_FOLDER}/{plain}" for label, plain in taken.items()}


def _link(file: Path, place: Path) -> None:
    with suppress(OSError):
        os.link(file, place)
        return
    shutil.copyfile(file, place)
