"""The suite's language model: out of a GGUF file of a package, or any folder or name of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.hub import fetched, is_model_name
from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.errors import CheckpointError, ResourceError, UsageError
from mergecast.suites.encoders.libraries import library

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Of a folder that was converted.
_WEIGHTS = "model.safetensors"


def convert(gguf: Path, folder: Path) -> None:
    """A folder of transformers, weights in float32, from a GGUF file.

    Parameters
    ----------
    gguf : Path
        Quantised or not; what it stores is taken as it is.
    folder : Path
        Made here.

    Raises
    ------
    UsageError
        transformers or gguf is not installed.
    ResourceError
        The file is of no architecture that transformers reads.
    """
    from safetensors.torch import save_file

    transformers = library("transformers")
    library("gguf")
    place: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(str(gguf.parent), **place)
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(gguf.parent), **place)
    except (OSError, ValueError, KeyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ResourceError(gguf, f"cannot be read: {first}", "update transformers") from error
    folder.mkdir(parents=True)
    config = model.config.to_dict()
    config.pop("quantization_config", None)
    type(model.config).from_dict(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file(untied(model), folder / _WEIGHTS, metadata={"format": "pt"})


def untied(model: nn.Module) -> dict[str, Tensor]:
    """All values of a model, each once: an output layer that is the embedding again is left out."""
    names = {name for name, _ in model.named_parameters()}  # each shared parameter once
    names |= {name for name, _ in model.named_buffers()}
    state = model.state_dict()
    return {k: v.detach().clone().contiguous() for k, v in state.items() if k in names}


def folder_of(backbone: str, known: Path) -> Path:
    """Where a model lies: the suite's own, a folder, or what the hub has under its name.

    Raises
    ------
    UsageError
        There is no such folder, and the name is none of the hub.
    """
    path = Path(backbone)
    if known.is_dir():
        return known
    if path.is_dir():
        return path
    if is_model_name(backbone):
        return fetched(backbone)
    raise UsageError(
        f"backbone {backbone!r}",
        "is neither a model of the suite nor a folder",
        "give a folder of transformers, or org/name@revision of the hub",
    )


def built(folder: Path) -> nn.Module:
    """The architecture of a folder; its values do not matter."""
    from mergecast.tasks.models import from_config

    return from_config(folder, "AutoModelForCausalLM")


def weights(folder: Path) -> dict[str, Tensor]:
    """The values of all parameters, in float32, each once.

    Raises
    ------
    CheckpointError
        The folder's weights are not those of its architecture.
    """
    file, module = Checkpoint.open(folder), built(folder)
    state = {
        name: to_tensor(file.floats(name)).view(info.shape) for name, info in file.infos.items()
    }
    lacking = sorted(untied(module).keys() - state.keys())
    if lacking:
        raise CheckpointError(
            folder, f"lacks {lacking[0]} of its architecture", "give the folder of a whole model"
        )
    module.load_state_dict(state, strict=False)
    return untied(module)


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer of a folder, with something to pad with."""
    auto = library("transformers").AutoTokenizer
    tokenizer = auto.from_pretrained(str(folder), local_files_only=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer
