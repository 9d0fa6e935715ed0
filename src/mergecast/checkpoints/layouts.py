"""Which file of a folder holds the weights: the rule of the library that loads such folders.

In order: transformers takes ``model.safetensors`` before its index, safetensors before torch
files; diffusers takes an index before the single file; what Mistral calls ``consolidated`` is the
same weights again and comes last. A precision variant (``model.fp16.safetensors``) counts only
where there is no plain file. Whatever lies there and is not read is said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from mergecast.checkpoints.checkpoint import expected, weight_suffixes
from mergecast.checkpoints.side_files import networks, read_json
from mergecast.errors import CheckpointError

_INDEX = ".index.json"
#: What each library looks for, in its own order.
_TRANSFORMERS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_DIFFUSERS = (
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin.index.json",
    "diffusion_pytorch_model.bin",
)
_MISTRAL = ("consolidated.safetensors", "consolidated.safetensors.index.json")
_LOADERS = {"transformers": _TRANSFORMERS, "diffusers": _DIFFUSERS, "Mistral": _MISTRAL}
_ORDER = tuple(name for order in _LOADERS.values() for name in order)
#: Weights of the same name in other libraries' formats: never meant, often there.
_TRAINING_STATE = (
    "optimizer",
    "scheduler",
    "training_args",
    "rng_state",
    "scaler",
    "random_states",
)
#: Ends of names of weights that other programs read.
_FOREIGN = frozenset({".gguf", ".h5", ".keras", ".mlmodel", ".msgpack", ".onnx", ".ot", ".tflite"})
_SHOWN = 4


@dataclass(frozen=True)
class Chosen:
    """The file or index that is read, by which rule, and what was decided, for people."""

    file: Path
    rule: str
    notes: tuple[str, ...] = ()


def choose_weights(folder: Path, names: Collection[str] | None = None) -> Chosen:
    """The file of weights in a folder, or the index of its shards.

    Parameters
    ----------
    folder : Path
        The folder.
    names : collection of str, optional
        The files in it, where they are known without being here; what lies there by default.

    Raises
    ------
    CheckpointError
        There are no weights, or several files between which no rule decides.
    """
    if names is None:
        names = {file.name for file in folder.iterdir() if file.is_file()}
    named = [folder / name for name in _ORDER if name in names]
    if named:
        return Chosen(named[0], _rule(named[0].name), _left_out(named[0], named[1:]))
    candidates = [folder / name for name in _candidates(names)]
    indexes = [file for file in candidates if file.name.endswith(_INDEX)]
    plain = [file for file in candidates if not file.name.endswith(_INDEX)]
    for files in (indexes, _best_suffix(plain)):
        if len(files) == 1:
            rest = [file for file in candidates if file != files[0]]
            if files is indexes:
                return Chosen(files[0], "the only index")
            return Chosen(files[0], _only(files[0]), _left_out(files[0], rest))
        if files:
            listing = ", ".join(file.name for file in files[:_SHOWN])
            raise CheckpointError(
                folder,
                f"holds {len(files)} {_suffix(files[0])} files and no index: {listing}",
                "give one file, or add the index that lists them",
            )
    problem, remedy = _why_none(folder)
    raise CheckpointError(folder, problem, remedy or f"give {expected()}")


def model_folder(path: Path, names: Collection[str] | None = None) -> Path:
    """The folder that holds the weights: itself, or the place that its files point to.

    A hub's cache of a repository points to a snapshot, sentence-transformers may keep the network
    in a subfolder.

    Parameters
    ----------
    path : Path
        The folder that was given.
    names : collection of str, optional
        The files in it, as `choose_weights` takes them.

    Raises
    ------
    CheckpointError
        A cache holds several revisions and does not say which is the main one.
    """
    snapshots = path / "snapshots"
    if snapshots.is_dir() and path.name.startswith("models--"):
        return _snapshot(path, snapshots)
    if not any((path / name).is_file() if names is None else name in names for name in _ORDER):
        for place in networks(path):
            if (path / place).is_dir():
                return path / place
    return path


def weights_name(folder: Path) -> str:
    """What the library that loads such a folder calls a file of all weights."""
    try:
        chosen = choose_weights(folder).file.name if folder.is_dir() else ""
    except CheckpointError:  # of another format, by a name of its own
        chosen = ""
    stem = "diffusion_pytorch_model" if chosen.startswith("diffusion_pytorch_model") else "model"
    return f"{stem}.safetensors"


def _snapshot(path: Path, snapshots: Path) -> Path:
    main = path / "refs" / "main"
    if main.is_file():
        revision = main.read_text(encoding="utf-8").strip()
        if (snapshots / revision).is_dir():
            return snapshots / revision
    revisions = sorted(folder.name for folder in snapshots.iterdir() if folder.is_dir())
    if len(revisions) == 1:
        return snapshots / revisions[0]
    raise CheckpointError(
        path,
        f"is a hub's cache of {len(revisions)} revisions: {', '.join(revisions[:_SHOWN])}",
        "give the folder of one of them under snapshots/",
    )


def _candidates(names: Iterable[str]) -> list[str]:
    """Files of weights by their names, indexes included, training state aside."""
    suffixes = tuple(weight_suffixes())
    return [
        name
        for name in sorted(names)
        if name.endswith((*suffixes, *(suffix + _INDEX for suffix in suffixes)))
        and not name.startswith(_TRAINING_STATE)
    ]


def _best_suffix(files: list[Path]) -> list[Path]:
    """Files of the best format there is: safetensors where there are some."""
    safe = [file for file in files if file.name.endswith(".safetensors")]
    return _without_variants(safe or files)


def _without_variants(files: list[Path]) -> list[Path]:
    """Leave out ``stem.variant.suffix`` where ``stem.suffix`` is there."""
    names = {file.name for file in files}
    kept = []
    for file in files:
        stem, *variant, suffix = file.name.split(".")
        if not (variant and f"{stem}.{suffix}" in names):
            kept.append(file)
    return kept


def _rule(name: str) -> str:
    """Whose order of names chose a file."""
    loader, order = next((loader, order) for loader, order in _LOADERS.items() if name in order)
    return f"the first there is, in the order of {loader}: {', '.join(order)}"


def _only(file: Path) -> str:
    """Why a file of any other name was chosen."""
    return f"the only {_suffix(file)} file that is no variant, no index and no training state"


def _suffix(file: Path) -> str:
    return next((s for s in weight_suffixes() if file.name.endswith(s)), file.suffix)


def _left_out(weights: Path, rest: list[Path]) -> tuple[str, ...]:
    if not rest:
        return ()
    listing = ", ".join(file.name for file in rest[:_SHOWN])
    return (f"{weights.name} is read, as its loader does; beside it: {listing}",)


def _why_none(folder: Path) -> tuple[str, str]:
    """Why a folder without weights has none, and what to give instead; empty where unknown."""
    if (folder / "model_index.json").is_file():
        entries = read_json(folder / "model_index.json").items()
        parts = [
            f"{name}/"
            for name, value in entries
            if isinstance(value, list) and (folder / name).is_dir()
        ]
        listing = ", ".join(parts) or "parts that are not there"
        return f"is a pipeline of {listing}", "give one part"
    adapters = sorted(file.parent.name for file in folder.glob("*/adapter_config.json"))
    if adapters:
        return f"holds {len(adapters)} adapter(s), in {', '.join(adapters)}", "give one of them"
    inside = [place.name for place in sorted(folder.iterdir()) if _has_weights(place)]
    if inside:
        listing = ", ".join(f"{name}/" for name in inside[:_SHOWN])
        return f"holds no weights itself, but in {listing}", "give one of these folders"
    foreign = [file.name for file in sorted(folder.iterdir()) if file.suffix in _FOREIGN]
    if foreign:
        listing = ", ".join(foreign[:_SHOWN])
        return f"holds weights in formats that are not read: {listing}", ""
    return "holds no weights", ""


def _has_weights(place: Path) -> bool:
    return place.is_dir() and bool(
        _candidates(file.name for file in place.iterdir() if file.is_file())
    )
