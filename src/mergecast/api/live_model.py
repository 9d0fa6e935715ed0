"""A model in memory, as it is while it is trained, as a checkpoint of its base."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

#: What such a checkpoint is called in errors.
PLACE = Path("model in training")
#: Where wrappers of `torch.compile` and of data parallelism keep what they wrap.
_WRAPPED = ("_orig_mod", "module")


@contextmanager
def opened_live(model: nn.Module, base: Checkpoint) -> Iterator[Checkpoint]:
    """The model's weights as they are now, under the names of its base's file.

    A LoRA adapter of PEFT is opened on the base, as its saved folder is. On the CPU nothing is
    copied: the checkpoint is to be read before training goes on.

    Parameters
    ----------
    model : nn.Module
        In training.
    base : Checkpoint
        What it was loaded from.

    Raises
    ------
    UsageError
        Its weights are spread over several processes, or it holds several adapters.
    CheckpointError
        An adapter of another kind than LoRA; a dtype that is not read.
    """
    inner = unwrapped(model)
    refuse_parts(inner)
    if hasattr(inner, "peft_config"):
        with TemporaryDirectory(prefix="mergecast-") as folder:
            yield Checkpoint.open(_saved_adapter(inner, Path(folder)), base=base)
    else:
        yield _of_state(inner, base)


def settle(model: nn.Module) -> None:
    """Wait for what a GPU still has to do of the training, so that its time is not a look's."""
    import torch

    device = next(model.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside wrappers that change no weight, if it is in some."""
    from torch.nn.parallel import DataParallel, DistributedDataParallel

    while True:
        if isinstance(model, DataParallel | DistributedDataParallel) or hasattr(model, "_orig_mod"):
            model = next(getattr(model, name) for name in _WRAPPED if hasattr(model, name))
        else:
            return model


def refuse_parts(model: nn.Module) -> None:
    """Raise UsageError where weights are not whole in this process, or adapters are mixed in."""
    for name, value in model.named_parameters():
        if value.is_meta or hasattr(value, "placements"):
            raise UsageError(
                f"parameter {name!r}",
                "is not whole in this process (FSDP, ZeRO-3, tensor parallelism, offload)",
                "forecast from saved checkpoints instead: mergecast.forecast_merge",
            )
    if getattr(model, "_hf_peft_config_loaded", False):
        raise UsageError(
            "model in training",
            "holds adapters that transformers' add_adapter put in",
            "make it with peft.get_peft_model",
        )


def _of_state(model: nn.Module, base: Checkpoint) -> Checkpoint:
    """All tensors of a module; those that its base's file calls otherwise by the file's names."""
    from mergecast.checkpoints.module_names import ModuleNames
    from mergecast.checkpoints.torch_file import TorchCheckpoint

    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    names = ModuleNames(model)
    stored = {
        target: name for name in base.names if (target := names.get(name)) in state and target
    }
    return TorchCheckpoint(PLACE, {stored.get(name, name): v for name, v in state.items()})


def _saved_adapter(model: Any, folder: Path) -> Path:
    """The one adapter that a PEFT model holds, saved."""
    adapters = list(model.peft_config)
    if len(adapters) != 1:
        raise UsageError(
            "model in training",
            f"holds the adapters {', '.join(adapters)}",
            "train one adapter on its base",
        )
    # Embeddings are left out where nothing adapts them: to know whether they were resized, PEFT
    # would ask the hub. A resized one does not fit the task's model, which is an error then.
    model.save_pretrained(folder, selected_adapters=adapters, save_embedding_layers=False)
    return folder if adapters[0] == "default" else folder / adapters[0]
