"""What passes through the layers that multiply by a weight matrix, caught by hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn import functional

from mergecast.tasks.probe import Probe

#: Called at every call of a layer: the weight's name, the layer's input and output. What it
#: returns, if anything, is passed on in place of the output.
OnCall = Callable[[str, Tensor, Tensor], Tensor | None]


def module_names(probe: Probe, shared: Sequence[str]) -> dict[str, str]:
    """The module's name of every shared parameter, to the checkpoint's."""
    resolved = {probe.resolve(name): name for name in shared}
    return {target: name for target, name in resolved.items() if target is not None}


def weight_layers(probe: Probe, shared: Sequence[str]) -> dict[str, nn.Module]:
    """Linear and convolution layers whose weight is shared, by the weight's name."""
    names = module_names(probe, shared)
    return {
        names[f"{path}.weight"]: module
        for path, module in probe.module.named_modules()
        if f"{path}.weight" in names and _kind(module)
    }


def is_transposed(module: nn.Module) -> bool:
    """Whether the weight is stored as (in, out)."""
    return _kind(module) == "transposed"


def reads_decoder(name: str) -> bool:
    """Whether a layer of a model with encoder and decoder is called with the decoder's tokens.

    Keys and values of the attention between the two read the encoder's.
    """
    parts = name.split(".")
    crossing = {"EncDecAttention", "encoder_attn", "crossattention", "encoder_attention"}
    keys = {"k", "v", "k_proj", "v_proj", "key", "value"}
    return "decoder" in parts and not (crossing & set(parts) and keys & set(parts))


@contextmanager
def recording(layers: Mapping[str, nn.Module], on_call: OnCall) -> Iterator[None]:
    """Call `on_call` at every call of `layers`; the hooks are removed whatever happens."""
    handles = []
    try:
        for name, module in layers.items():

            def hook(
                _module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, name: str = name
            ) -> Tensor | None:
                return on_call(name, inputs[0], output)

            handles.append(module.register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def rows_in(module: nn.Module, inputs: Tensor) -> Tensor:
    """Inputs as (rows, in): tokens or, for a convolution, the patches it multiplies."""
    if isinstance(module, nn.Conv2d):
        padding = module.padding
        if isinstance(padding, str):
            total = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
            sides = [0, 0, 0, 0] if padding == "valid" else _same_padding(total)
            inputs, padding = functional.pad(inputs, sides), (0, 0)
        patches = functional.unfold(
            inputs, module.kernel_size, module.dilation, padding, module.stride
        )
        return patches.mT.reshape(-1, patches.shape[1])
    return inputs.reshape(-1, inputs.shape[-1])


def rows_out(module: nn.Module, outputs: Tensor) -> Tensor:
    """Outputs as (rows, out), in the order of `rows_in`."""
    if isinstance(module, nn.Conv2d):
        return outputs.flatten(2).mT.reshape(-1, outputs.shape[1])
    return outputs.reshape(-1, outputs.shape[-1])


def _kind(module: nn.Module) -> str:
    """``linear``, ``conv``, ``transposed`` (transformers' Conv1D), or "" for other layers."""
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, nn.Conv2d) and module.groups == 1 and module.padding_mode == "zeros":
        return "conv"
    if type(module).__name__ == "Conv1D" and hasattr(module, "nf"):
        return "transposed"
    return ""


def _same_padding(total: list[int]) -> list[int]:
    """Left, right, top and bottom, as torch pads for ``same``: the odd one at the end."""
    height, width = total
    return [width // 2, width - width // 2, height // 2, height - height // 2]
