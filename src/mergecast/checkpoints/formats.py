"""Which reader opens a path: decided by what is on disk, never by guessing at content."""

from __future__ import annotations

from pathlib import Path

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.quantized import widened
from mergecast.checkpoints.side_files import read_json
from mergecast.errors import CheckpointError

TORCH_SUFFIXES = (".pt", ".pth", ".bin")
_EXPECTED = (
    "a .safetensors, .pt, .pth or .bin file, a Hugging Face model folder, or a LoRA adapter folder"
)
#: (output embedding, input embedding) names that ``tie_word_embeddings`` makes one tensor.
_TIED_EMBEDDINGS = (
    ("lm_head.weight", "model.embed_tokens.weight"),
    ("lm_head.weight", "transformer.wte.weight"),
    ("lm_head.weight", "shared.weight"),
    ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
    ("lm_head.decoder.weight", "roberta.embeddings.word_embeddings.weight"),
)


def open_checkpoint(path: Path, base: Checkpoint | None) -> Checkpoint:
    """See `Checkpoint.open`."""
    if path.is_dir():
        return _open_folder(path, base)
    if not path.exists():
        raise CheckpointError(path, "does not exist", f"give {_EXPECTED}")
    return _open_file(path)


def _open_file(path: Path) -> Checkpoint:
    if path.suffix == ".safetensors":
        from mergecast.checkpoints.safetensors_file import open_safetensors

        return open_safetensors(path)
    if path.suffix in TORCH_SUFFIXES:
        from mergecast.checkpoints.torch_file import open_torch

        return open_torch(path)
    raise CheckpointError(path, f"format {path.suffix or '(none)'!r} is not read", _EXPECTED)


def _open_folder(folder: Path, base: Checkpoint | None) -> Checkpoint:
    if (folder / "adapter_config.json").is_file():
        from mergecast.checkpoints.lora import open_lora

        if base is None:
            raise CheckpointError(folder, "is a LoRA adapter", "open it with its base model")
        return open_lora(folder, base)
    checkpoint = _open_weights(folder)
    config = read_json(folder / "config.json")
    checkpoint = widened(checkpoint, config)
    checkpoint.path = folder  # what its config and tokenizer are read from
    if config.get("tie_word_embeddings"):
        return checkpoint.with_ties(_tied_embeddings(checkpoint))
    return checkpoint


def _open_weights(folder: Path) -> Checkpoint:
    from mergecast.checkpoints.safetensors_file import open_sharded
    from mergecast.checkpoints.torch_file import open_torch_sharded

    for index in sorted(folder.glob("*.safetensors.index.json")):
        return open_sharded(index)
    if (folder / "model.safetensors").is_file():
        return _open_file(folder / "model.safetensors")
    for index in sorted(folder.glob("*.bin.index.json")):
        return open_torch_sharded(index)
    if (folder / "pytorch_model.bin").is_file():
        return _open_file(folder / "pytorch_model.bin")
    for suffix in (".safetensors", *TORCH_SUFFIXES):
        files = sorted(folder.glob(f"*{suffix}"))
        if len(files) == 1:
            return _open_file(files[0])
        if files:
            listing = ", ".join(file.name for file in files[:4])
            raise CheckpointError(
                folder,
                f"holds {len(files)} {suffix} files and no index: {listing}",
                "give one file, or add the index that lists them",
            )
    raise CheckpointError(folder, "holds no weights", f"give {_EXPECTED}")


def _tied_embeddings(checkpoint: Checkpoint) -> dict[str, str]:
    """Of embeddings that the config ties: one name, if both were written equal, to the other."""
    ties: dict[str, str] = {}
    for pair in _TIED_EMBEDDINGS:
        if all(name in checkpoint.infos for name in pair):
            kept, dropped = sorted(pair)
            if checkpoint.equal(kept, dropped):
                ties[dropped] = kept
    return ties
