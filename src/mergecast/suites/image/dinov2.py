"""DINOv2-small, taken out of an ONNX file that holds it beside a decoder of another purpose.

Exporters keep the names of most parameters; matrices of linear layers lie there transposed and
nameless, and are told by the nodes that multiply by them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mergecast.checkpoints.module_names import ModuleNames
from mergecast.errors import ResourceError
from mergecast.suites.encoders.libraries import library
from mergecast.typing import Array

#: Side of the pictures, a multiple of the patches' 14.
SIDE = 56
#: What a file of weights does not tell.
HEADS = 6
_FOLDER = "dinov2-small"
_BACKBONE, _NAMELESS = "backbone.", "onnx::"


class ClassToken(nn.Module):
    """Features (n, width): the last layer's class token, normalised.

    Parameters
    ----------
    vit : Module
        Dinov2Model of transformers.
    """

    def __init__(self, vit: nn.Module) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Normalised pictures (n, 3, height, width) to features."""
        features: Tensor = self.vit(pixel_values=pixel_values).last_hidden_state[:, 0]
        return features


def prepare(unpacked: Path, folder: Path) -> None:
    """Write config and weights as transformers reads them.

    Parameters
    ----------
    unpacked : Path
        Holds the ``.onnx`` file.
    folder : Path
        Where to.
    """
    [path] = unpacked.rglob("*.onnx")
    convert(path, folder / _FOLDER, HEADS)


def convert(path: Path, folder: Path, heads: int) -> None:
    """A model folder of transformers from the backbone in an ONNX file.

    Parameters
    ----------
    path : Path
        Exported from a module whose ``backbone`` is a Dinov2Model.
    folder : Path
        Made here.
    heads : int
        Of its attention.

    Raises
    ------
    UsageError
        onnx or transformers is not installed.
    ResourceError
        The file holds another network.
    """
    graph = library("onnx").load(str(path)).graph
    to_array = library("onnx.numpy_helper").to_array
    arrays = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    state = dict(_named(arrays, graph.node))
    folder.mkdir()
    try:
        _config(state, heads).to_json_file(folder / "config.json")
    except KeyError as error:
        raise ResourceError(path, f"holds no DINOv2: no {error}", "fetch it again") from error
    tensors = {name: torch.tensor(value) for name, value in state.items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    try:
        _read(folder)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[1].strip()
        raise ResourceError(path, f"is not DINOv2-small: {first}", "fetch it again") from error


def encoder(folder: Path) -> tuple[nn.Module, int]:
    """The transformer, of any values, and the width of its features."""
    transformers = library("transformers")
    config = transformers.Dinov2Config.from_pretrained(str(folder / _FOLDER))
    return ClassToken(transformers.Dinov2Model(config)), int(config.hidden_size)


def weights(folder: Path) -> dict[str, Tensor]:
    """The published values, which `prepare` wrote."""
    return {f"vit.{name}": value for name, value in _read(folder / _FOLDER).items()}


def _read(folder: Path) -> dict[str, Tensor]:
    """All of a folder's weights under the names that the installed transformers has for them."""
    transformers = library("transformers")
    config = transformers.Dinov2Config.from_pretrained(str(folder))
    model = transformers.Dinov2Model(config)
    names = ModuleNames(model)
    tensors = load_file(folder / "model.safetensors")
    model.load_state_dict({names.get(name) or name: value for name, value in tensors.items()})
    state: dict[str, Tensor] = model.state_dict()
    return state


def _named(arrays: dict[str, Array], nodes: Any) -> Iterator[tuple[str, Array]]:
    """The backbone's parameters under the names that transformers has for them."""
    for name, array in arrays.items():
        if name.startswith(_BACKBONE):
            yield name.removeprefix(_BACKBONE), array
    positions: dict[str, Array] = {}
    for node in nodes:
        path = node.name.removeprefix("/").replace("/", ".")
        nameless = [name for name in node.input if name.startswith(_NAMELESS) and name in arrays]
        if not nameless or not path.startswith(_BACKBONE):
            continue
        place = path.removeprefix(_BACKBONE)
        if node.op_type == "MatMul":
            yield (
                place.removesuffix(".MatMul") + ".weight",
                np.ascontiguousarray(arrays[nameless[0]].T),
            )
        elif place.startswith("embeddings."):
            positions[node.op_type] = arrays[nameless[0]]
    if positions.keys() == {"Concat", "Reshape"}:
        both = [positions["Concat"], positions["Reshape"]]  # of the class token, of the patches
        yield "embeddings.position_embeddings", np.concatenate(both, axis=1)


def _config(state: dict[str, Array], heads: int) -> Any:
    width, _, patch, _ = state["embeddings.patch_embeddings.projection.weight"].shape
    patches = state["embeddings.position_embeddings"].shape[1] - 1
    layers = sum(name.endswith(".mlp.fc1.bias") for name in state)
    return library("transformers").Dinov2Config(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        mlp_ratio=len(state["encoder.layer.0.mlp.fc1.bias"]) // width,
        patch_size=patch,
        image_size=round(patches**0.5) * patch,
        use_mask_token=False,
    )
