import pytest
import torch
from image_cache import published_efficientnet
from torch import nn

from mergecast.suites.image.efficientnet import EfficientNetLite0, encoder, prepare, weights


@pytest.fixture(scope="module")
def network():
    return EfficientNetLite0().eval()


def test_it_has_the_parameters_of_the_published_network(network):
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(shapes) == 294
    assert sum(value.numel() for value in network.parameters()) == 3_371_008
    assert shapes["_conv_stem.weight"] == (32, 3, 3, 3)
    assert "_blocks.0._expand_conv.weight" not in shapes
    assert shapes["_blocks.3._depthwise_conv.weight"] == (144, 1, 5, 5)
    assert shapes["_blocks.15._project_conv.weight"] == (320, 1152, 1, 1)
    assert shapes["_bn1.running_var"] == (1280,)
    assert not any(isinstance(part, nn.Linear) for part in network.modules())


@pytest.mark.parametrize("side", [64, 33])
def test_any_side_gives_1280_features_of_positive_maps(network, side):
    with torch.inference_mode():
        features = network(torch.randn(2, 3, side, side))
    assert features.shape == (2, 1280)
    assert float(features.min()) >= 0
    assert float(features.max()) <= 6


def test_padding_is_that_of_tensorflow(network):
    seen = {}
    hooks = [
        part.register_forward_hook(lambda p, i, o: seen.update({p: (i[0].shape, o.shape)}))
        for part in network.modules()
        if isinstance(part, nn.Conv2d)
    ]
    with torch.inference_mode():
        network(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    taken, given = seen[network._conv_stem]
    assert (taken[2:], given[2:]) == ((65, 65), (32, 32))  # one row below, one column at the right
    taken, given = seen[network._blocks[3]._depthwise_conv]
    assert (taken[2:], given[2:]) == ((19, 19), (8, 8))
    # The first pixel is read without the row above it that a symmetric padding would put there.
    picture = torch.zeros(1, 3, 64, 64)
    picture[0, 0, 0, 0] = 1
    stem = seen.setdefault("first", [])
    hook = network._conv_stem.register_forward_hook(lambda p, i, o: stem.append(o))
    with torch.inference_mode():
        network(picture)
    hook.remove()
    assert torch.equal(stem[0][0, :, 0, 0], network._conv_stem.weight[:, 0, 0, 0])


def test_the_published_file_is_read_without_its_classifier(tmp_path):
    file = published_efficientnet(tmp_path / "efficientnet-lite0-1.pth")
    (tmp_path / "out").mkdir()
    prepare(tmp_path, tmp_path / "out")
    module, width = encoder(tmp_path / "out")
    module.load_state_dict(weights(tmp_path / "out"))
    published = torch.load(file, weights_only=True)
    assert width == 1280
    assert all(torch.equal(value, published[n]) for n, value in module.state_dict().items())
