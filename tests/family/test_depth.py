import pytest

from mergecast.family.depth import layers_of


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["m.encoder.layer.11.a.weight", "m.encoder.layer.2.a.weight", "m.pooler.dense.bias",
             "m.embeddings.LayerNorm.weight", "m.embeddings.word_embeddings.weight"],
            {"embeddings": 2, "encoder.layer.2": 1, "encoder.layer.11": 1, "pooler": 1},
        ),
        (
            ["conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer1.1.conv1.weight",
             "layer2.0.conv1.weight", "fc.weight"],
            {"bn1": 1, "conv1": 1, "layer1.0": 1, "layer1.1": 1, "layer2.0": 1, "fc": 1},
        ),
        (["0.weight", "0.bias", "2.weight", "10.weight"], {"0": 2, "2": 1, "10": 1}),
        (["fc1.weight", "fc1.bias", "fc2.weight"], {"fc1": 2, "fc2": 1}),
        (["blocks.0.up.weight", "blocks.0.down.weight"], {"blocks.0": 2}),
        (["w"], {"w": 1}),
        (["model.w", "model.v"], {"v": 1, "w": 1}),
        (["position", "blocks.0.w", "norm.weight"], {"position": 1, "blocks.0": 1, "norm": 1}),
        ([], {}),
    ],
)  # fmt: skip
def test_layers_come_from_the_input_on_and_no_parameter_is_lost(names, expected):
    layers = layers_of(names)
    assert {layer: len(inside) for layer, inside in layers.items()} == expected
    assert list(layers) == list(expected)
    assert sorted(name for inside in layers.values() for name in inside) == sorted(names)
