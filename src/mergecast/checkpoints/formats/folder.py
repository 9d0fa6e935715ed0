"""Model folders: transformers, diffusers parts, sentence-transformers, a hub's cache."""

from __future__ import annotations

from pathlib import Path

from mergecast.checkpoints.checkpoint import FORMATS, Checkpoint, CheckpointFormat, open_path
from mergecast.checkpoints.layouts import choose_weights, model_folder
from mergecast.checkpoints.lora_files import ADAPTER_CONFIG
from mergecast.checkpoints.quantized import widened
from mergecast.checkpoints.safetensors_file import open_sharded
from mergecast.checkpoints.side_files import read_json
from mergecast.checkpoints.tied import tied_embeddings


def _claims(path: Path) -> bool:
    return path.is_dir() and not (path / ADAPTER_CONFIG).is_file()


def _open(path: Path, base: Checkpoint | None) -> Checkpoint:
    folder = model_folder(path)
    if (folder / ADAPTER_CONFIG).is_file():
        return open_path(folder, base)
    weights = choose_weights(folder)
    return as_configured(_weights(weights.file, base), folder, weights.notes)


def as_configured(stored: Checkpoint, folder: Path, notes: tuple[str, ...]) -> Checkpoint:
    """A folder's weights as its config means them: scaled ones widened, tied ones once.

    Parameters
    ----------
    stored : Checkpoint
        What its files hold.
    folder : Path
        The folder.
    notes : tuple of str
        What was decided about files.
    """
    config = read_json(folder / "config.json")
    checkpoint = widened(stored, config)
    checkpoint.path = folder  # what its config and tokenizer are read from
    checkpoint.notes = (*checkpoint.notes, *notes)
    ties = tied_embeddings(checkpoint, config)
    return checkpoint.with_ties(ties) if ties else checkpoint


def _weights(file: Path, base: Checkpoint | None) -> Checkpoint:
    if file.name.endswith(".safetensors.index.json"):
        return open_sharded(file)
    if file.name.endswith(".index.json"):
        from mergecast.checkpoints.torch_file import open_torch_sharded

        return open_torch_sharded(file)
    return open_path(file, base)


FORMATS.add("folder", CheckpointFormat("model folder", _claims, _open))
