"""The transformer is found in an ONNX file by names and by the nodes that use what has none."""

import pytest
import torch
from image_cache import tiny_dinov2
from safetensors.torch import load_file

from mergecast.errors import ResourceError
from mergecast.suites.image import dinov2

onnx = pytest.importorskip("onnx", reason="onnx is not installed")

_PARTS = ("query", "key", "value", "dense", "fc1", "fc2")


def exported(state, path):
    """As torch exports a module with a backbone and a decoder: linear weights lose their names."""
    from onnx import TensorProto, helper, numpy_helper

    tensors, nodes = [], []

    def use(op, name, node, array):
        tensors.append(numpy_helper.from_array(array.contiguous().numpy(), name))
        nodes.append(helper.make_node(op, ["x", name], [f"{node}_output"], name=node))

    for number, (name, value) in enumerate(sorted(state.items())):
        place = "/backbone/" + name.replace(".", "/").replace("layer/", "layer.")
        if name.endswith(tuple(f".{part}.weight" for part in _PARTS)):
            node = place.removesuffix("/weight") + "/MatMul"
            use("MatMul", f"onnx::MatMul_{number}", node, value.T)
        elif name == "embeddings.position_embeddings":
            use("Reshape", "onnx::Reshape_1", "/backbone/embeddings/Reshape_1", value[:, 1:])
            use("Concat", "onnx::Concat_2", "/backbone/embeddings/Concat_3", value[:, :1])
        else:
            tensors.append(numpy_helper.from_array(value.numpy(), f"backbone.{name}"))
    use("MatMul", "onnx::MatMul_999", "/decoder/MatMul", torch.zeros(3, 3))
    tensors.append(numpy_helper.from_array(torch.zeros(4).numpy(), "decoder.bn1.weight"))
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph(nodes, "made", [given], [given], tensors)
    onnx.save(helper.make_model(graph), str(path))
    return path


@pytest.fixture
def made(tmp_path):
    model = tiny_dinov2(tmp_path / "tiny")
    return model, load_file(tmp_path / "tiny" / "model.safetensors")


def test_the_converted_network_gives_the_same_features(made, tmp_path):
    model, state = made
    path = exported(state, tmp_path / "vit_s_focus.onnx")
    dinov2.convert(path, tmp_path / "dinov2-small", heads=2)
    module, width = dinov2.encoder(tmp_path)
    module.load_state_dict(dinov2.weights(tmp_path))
    assert width == 16
    pictures = torch.randn(2, 3, 56, 56)
    with torch.inference_mode():
        features = module.eval()(pixel_values=pictures)
        assert torch.equal(features, model(pictures).last_hidden_state[:, 0])


def test_another_network_is_named(made, tmp_path):
    _, state = made
    without = {n: v for n, v in state.items() if n != "embeddings.cls_token"}
    with pytest.raises(ResourceError, match="is not DINOv2-small: .*cls_token"):
        dinov2.convert(exported(without, tmp_path / "a.onnx"), tmp_path / "a", heads=2)
    with pytest.raises(ResourceError, match="holds no DINOv2: no 'embeddings.patch_embeddings"):
        dinov2.convert(exported({}, tmp_path / "b.onnx"), tmp_path / "b", heads=2)
