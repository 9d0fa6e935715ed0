"""What stands beside a model's weights: JSON of configs, and the tokenizer's vocabulary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mergecast.errors import CheckpointError


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file; an empty one where there is no such file.

    Raises
    ------
    CheckpointError
        The file cannot be read, or is no JSON.
    """
    content = _parsed(path)
    return content if isinstance(content, dict) else {}


def read_list(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON list; none where there is no such file. Raises as `read_json`."""
    content = _parsed(path)
    return [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []


def _parsed(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(path, f"is not readable JSON ({error})", "fix or fetch it") from error


#: Ends of the names of weights, in every library's format, and of training state.
_WEIGHTS = (
    ".bin", ".ckpt", ".gguf", ".h5", ".mlmodel", ".msgpack", ".npz", ".onnx", ".onnx_data", ".ot",
    ".pb", ".pt", ".pth", ".pth.tar", ".safetensors", ".tflite",
)  # fmt: skip
#: What no merged model takes over: what a merge wrote, an adapter's config, other indexes.
_OTHERS = frozenset({"mergecast.json", "adapter_config.json"})
#: Beginnings of the names of files of tokenizers and of processors of images and sound.
_INPUTS = (
    "added_tokens", "chat_template", "image_processor", "merges.txt", "preprocessor_config",
    "processor_config", "special_tokens_map", "tokenizer", "video_preprocessor_config", "vocab",
)  # fmt: skip


def side_files(folder: Path) -> list[Path]:
    """What a merged model takes over from its base's folder: every file but weights.

    Config, tokenizer, generation, custom code; of sentence-transformers the folders of the modules
    that ``modules.json`` names, which hold pooling and the layers after it. Where it keeps the
    network in a folder of its own, what stands beside that folder is taken over as well.
    """
    if not folder.is_dir():
        return []
    files: dict[str, Path] = {}
    for place in dict.fromkeys((folder, library_folder(folder))):
        for file in sorted(place.iterdir()):
            if file.is_file() and file.name not in _OTHERS and not is_weight(file.name):
                files.setdefault(file.name, file)
    return [*files.values(), *module_folders(folder)]


def library_folder(folder: Path) -> Path:
    """The folder of the whole model: the one above where ``modules.json`` there names this one."""
    above = folder.parent
    if (above / "modules.json").is_file() and folder.name in networks(above):
        return above
    return folder


def put_network_here(folder: Path) -> None:
    """Let ``modules.json`` name a network's folder that was left out as the folder itself."""
    path = folder / "modules.json"
    left_out = {place for place in networks(folder) if place and not (folder / place).is_dir()}
    if left_out:
        modules = read_list(path)
        for module in modules:
            if module.get("path") in left_out:
                module["path"] = ""
        path.write_text(json.dumps(modules, indent=2) + "\n", encoding="utf-8")


def networks(folder: Path) -> list[str]:
    """Where ``modules.json`` says that transformers' models are."""
    return [
        str(module.get("path") or "")
        for module in read_list(folder / "modules.json")
        if str(module.get("type", "")).endswith("Transformer")
    ]


def processing_files(folder: Path) -> list[Path]:
    """Of a base's folder, what an adapter of it takes over: how inputs are made, and no config."""
    return [
        file
        for file in side_files(folder)
        if file.is_file() and (file.name.startswith(_INPUTS) or file.suffix in (".model", ".jinja"))
    ]


def module_folders(folder: Path) -> list[Path]:
    """Folders of the modules beside the network that ``modules.json`` names, sorted."""
    root = library_folder(folder)
    places = {str(module.get("path") or "") for module in read_list(root / "modules.json")}
    return [
        root / place
        for place in sorted(places)
        if place and root / place != folder and (root / place).is_dir()
    ]


def is_weight(name: str) -> bool:
    """Whether a file of this name holds weights or training state, of whatever library."""
    return name.endswith(_WEIGHTS) or ".ckpt." in name or (".index." in name and ".json" in name)


def vocabulary(folder: Path) -> dict[str, int]:
    """Token to number, of a tokenizer's folder; empty where no known file says it.

    ``tokenizer.json`` (word-level, WordPiece, BPE and Unigram models, and added tokens), or
    ``vocab.txt``, or ``vocab.json``.
    """
    content = read_json(folder / "tokenizer.json")
    model = content.get("model")
    if isinstance(model, dict):
        tokens = _tokens(model.get("vocab"))
        for added in content.get("added_tokens") or ():
            if isinstance(added, dict) and isinstance(added.get("id"), int):
                tokens[str(added.get("content"))] = added["id"]
        return tokens
    if (folder / "vocab.txt").is_file():
        lines = (folder / "vocab.txt").read_text(encoding="utf-8", errors="replace").splitlines()
        return {token: number for number, token in enumerate(lines)}
    return _tokens(read_json(folder / "vocab.json"))


def _tokens(vocabulary: Any) -> dict[str, int]:
    if isinstance(vocabulary, dict):
        return {str(token): int(number) for token, number in vocabulary.items()}
    if isinstance(vocabulary, list):  # Unigram: (token, score), by number
        return {str(entry[0]): number for number, entry in enumerate(vocabulary) if entry}
    return {}
