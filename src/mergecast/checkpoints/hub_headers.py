"""Models of the hub by what their headers say: names, shapes and dtypes, and no weight fetched.

A safetensors file begins with its header, so a range of its first bytes is enough
(huggingface_hub asks for 100 kB, and for the rest of a header that is longer).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mergecast.checkpoints import dtypes
from mergecast.checkpoints.checkpoint import Checkpoint, TensorInfo
from mergecast.checkpoints.formats.folder import as_configured
from mergecast.checkpoints.hub import described, hub_errors, is_model_name, repository_of
from mergecast.checkpoints.layouts import choose_weights, model_folder
from mergecast.checkpoints.lora_files import ADAPTER_CONFIG
from mergecast.checkpoints.lora_peft import open_lora
from mergecast.checkpoints.lora_writer import ADAPTER_WEIGHTS
from mergecast.checkpoints.safetensors_file import read_index
from mergecast.errors import CheckpointError
from mergecast.typing import Array

_INDEX = ".safetensors.index.json"
_REMEDY = "fetch it: mergecast check --no-headers does"


class HeadersCheckpoint(Checkpoint):
    """Names, shapes and dtypes of a model whose values stayed on the hub.

    Reading a value is a CheckpointError.

    Parameters
    ----------
    path : Path
        The folder of what stands beside the weights.
    infos : mapping of str to TensorInfo
        What the headers say.
    name : str
        What the hub calls the model, with the revision.
    """

    has_values = False

    def __init__(self, path: Path, infos: Mapping[str, TensorInfo], name: str) -> None:
        super().__init__(path, infos)
        self._name = name

    def _read(self, info: TensorInfo, start: int, stop: int) -> Array:
        raise CheckpointError(
            self._name,
            f"the values of {info.name!r} are on the hub, its header alone is here",
            _REMEDY,
        )


@dataclass(frozen=True)
class _Weights:
    """Which of a model's files hold its weights.

    Attributes
    ----------
    place : Path
        The folder, here, of what stands beside them.
    files : mapping of str to int
        Their names within the model, to their sizes in bytes.
    notes : tuple of str
        What was decided about files.
    """

    place: Path
    files: Mapping[str, int]
    notes: tuple[str, ...] = ()


def is_unfetched(path: str | Path) -> bool:
    """Whether this is a model of the hub whose weights are not in its cache, or not all of them.

    Raises
    ------
    CheckpointError
        The hub does not give what stands beside the weights; see `hub.described`.
    """
    return is_model_name(path) and not _is_complete(described(path))


def open_headers(path: str | Path, base: Checkpoint | None = None) -> Checkpoint:
    """Open a checkpoint; of a model of the hub that is not here, its headers alone.

    Parameters
    ----------
    path : str or Path
        As `Checkpoint.open` takes it.
    base : Checkpoint, optional
        The base model, needed for a LoRA adapter only.

    Raises
    ------
    CheckpointError
        As `Checkpoint.open`; the weights are of a format without a header.
    """
    if not is_unfetched(path):
        return Checkpoint.open(path, base=base)
    found = _weights(path)
    stored = HeadersCheckpoint(found.place, *_headers(path, found.files))
    if (found.place / ADAPTER_CONFIG).is_file():
        if base is None:
            raise CheckpointError(path, "is a LoRA adapter", "open it with its base model")
        return open_lora(found.place, base, stored)
    return as_configured(stored, found.place, found.notes)


def unfetched_bytes(path: str | Path) -> int:
    """Bytes of a checkpoint's weights that are on the hub and not here.

    Raises
    ------
    CheckpointError
        As `open_headers`.
    """
    return sum(_weights(path).files.values()) if is_unfetched(path) else 0


def _weights(path: str | Path) -> _Weights:
    folder = described(path)
    listed = _listed(path)
    if ADAPTER_CONFIG in listed:
        if ADAPTER_WEIGHTS not in listed:
            raise _no_header(path, "adapter_model.bin")
        return _Weights(folder, {ADAPTER_WEIGHTS: listed[ADAPTER_WEIGHTS]})
    place = model_folder(folder, listed)
    inside = "" if place == folder else f"{place.relative_to(folder)}/"
    names = {name.removeprefix(inside) for name in listed if name.startswith(inside)}
    chosen = choose_weights(place, {name for name in names if "/" not in name})
    if chosen.file.name.endswith(_INDEX):
        files = sorted(set(read_index(chosen.file, names).values()))
    elif chosen.file.name.endswith(".safetensors"):
        files = [chosen.file.name]
    else:
        raise _no_header(path, chosen.file.name)
    sizes = {f"{inside}{file}": listed[f"{inside}{file}"] for file in files}
    return _Weights(place, sizes, chosen.notes)


def _no_header(path: str | Path, file: str) -> CheckpointError:
    return CheckpointError(
        path, f"keeps its weights in {file}, which says nothing before it is read whole", _REMEDY
    )


def _is_complete(folder: Path) -> bool:
    """Whether a snapshot's weights are all there."""
    if (folder / ADAPTER_CONFIG).is_file():
        return any((folder / name).is_file() for name in (ADAPTER_WEIGHTS, "adapter_model.bin"))
    try:
        chosen = choose_weights(model_folder(folder)).file
        if chosen.name.endswith(".index.json"):
            read_index(chosen)
    except CheckpointError:
        return False
    return True


@cache
def _listed(path: str | Path) -> dict[str, int]:
    """The files of a model, by name within it, with their sizes in bytes."""
    repository, _ = repository_of(path)
    commit = described(path).name
    with hub_errors(path):
        from huggingface_hub import HfApi

        tree = HfApi().list_repo_tree(repository, recursive=True, revision=commit)
        return {one.path: one.size for one in tree if hasattr(one, "size")}


def _headers(path: str | Path, files: Iterable[str]) -> tuple[dict[str, TensorInfo], str]:
    """What the headers of a model's files say, and the model's name with its revision."""
    repository, _ = repository_of(path)
    commit = described(path).name
    infos: dict[str, TensorInfo] = {}
    with hub_errors(path):
        from huggingface_hub import HfApi
        from huggingface_hub.errors import NotASafetensorsRepoError, SafetensorsParsingError

        for file in files:
            where = f"{path}: {file}"
            try:
                header = HfApi().parse_safetensors_file_metadata(repository, file, revision=commit)
            except (SafetensorsParsingError, NotASafetensorsRepoError) as error:
                raise CheckpointError(
                    where, f"is no safetensors file ({error})", "leave this model out"
                ) from error
            for name, one in header.tensors.items():
                dtype = dtypes.from_safetensors(one.dtype, f"{where}: tensor {name!r}")
                infos[name] = TensorInfo(name, tuple(one.shape), dtype)
    return infos, f"{repository}@{commit[:12]}"
