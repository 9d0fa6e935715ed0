"""Activations against a plain forward pass; passes counted; finished work is not done again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from measured import pair_table
from mergecast.checkpoints.torch_bridge import read_state
from mergecast.errors import UndefinedError, UsageError
from mergecast.evidence import ProbeSettings, Session
from mergecast.evidence.activations.collect import activations, collect
from mergecast.evidence.activations.layers import find_layer
from mergecast.evidence.gradients import collect as gradients_module
from mergecast.tasks.probe import Probe
from mergecast.tasks.task import Samples
from probe_families import KINDS, NAMES, build_cnn, hugging_face_model

BLOCKS = {
    "bert": "bert.encoder.layer.1",
    "vit": "vit.layers.1",
    "cnn": "5",
    "clip": "encoder.layers.1",
    "lm": "model.layers.1",
    "lora": "model.layers.1",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_block_is_found(kind):
    module = build_cnn() if kind == "cnn" else hugging_face_model(kind)
    assert find_layer(module, None) == BLOCKS[kind]


def stage():
    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU())


class ResNetLike(nn.Module):
    """The layout of torchvision's: stages, pooling, a head called fc."""

    def __init__(self):
        super().__init__()
        self.conv1, self.layer1, self.layer2 = nn.Conv2d(3, 3, 1), stage(), stage()
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(3, 2)


class VggLike(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(*stage(), nn.MaxPool2d(2), *stage())
        self.classifier = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))


class Staged(nn.Module):
    """Lists of blocks in a list of stages."""

    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList(nn.ModuleDict({"b": nn.Linear(3, 3)}) for _ in range(2))
        self.blocks = nn.ModuleList(stage() for _ in range(2))


@pytest.mark.parametrize(
    ("module", "private", "expected"),
    [
        (ResNetLike(), (), "layer2"),
        (ResNetLike(), ("fc.*",), "layer2"),
        (VggLike(), (), "features"),
        (Staged(), (), "blocks.1"),
        (nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)), (), "1"),
        (nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)), ("2.*",), "1"),
        (nn.Sequential(nn.Linear(3, 3), nn.Tanh()), ("9.*",), "1"),
    ],
)
def test_the_last_stage_of_networks_without_repeated_blocks(module, private, expected):
    assert find_layer(module, None, private) == expected


def test_a_layer_is_named_or_refused():
    module = build_cnn()
    assert find_layer(module, "2") == "2"
    with pytest.raises(UsageError, match=r"layer '22': unknown; did you mean '2'\? known: 0, 1, 2"):
        find_layer(module, "22")
    with pytest.raises(UsageError, match="no layer outside its private head"):
        find_layer(nn.Sequential(nn.Linear(2, 2)), None, ("0.*",))


def test_the_mean_over_tokens_respects_the_mask(probe_family):
    built = probe_family("bert")
    task = built.tasks["first"]
    samples = task.samples(6, 0)
    mask = samples.inputs["attention_mask"]
    assert (mask == 0).any()
    state = read_state(built.open().models["first"])
    probe = Probe(task)
    probe.load(state)
    plain = task.build()
    plain.eval()
    plain.load_state_dict(state)
    with torch.no_grad():
        hidden = plain(**samples.inputs, output_hidden_states=True).hidden_states[-1].double()
    weights = mask.double()[..., None]
    expected = (hidden * weights).sum(1) / weights.sum(1)
    found = activations(probe, samples, BLOCKS["bert"], 4)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_feature_maps_are_averaged_over_pixels_and_batchnorm_is_left_alone(probe_family):
    built = probe_family("cnn")
    with Session(built.open(), built.tasks, ProbeSettings(calibration=4)) as session:
        found = collect(session)
        assert found.layers == dict.fromkeys(NAMES, "5")
        inputs = torch.cat([session.samples(name).inputs["input"] for name in NAMES])
        for name, row in found.vectors.items():
            state = session.state(name)
            trunk = build_cnn()
            trunk.load_state_dict({n: v for n, v in state.items() if n[0] != "8"}, strict=False)
            trunk.eval()
            with torch.no_grad():
                expected = trunk[:6](inputs).double().mean(dim=(0, 2, 3)).numpy()
            np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-7)
            again = session.load(name)
            for buffer in ("1.running_mean", "4.running_var"):
                assert torch.equal(again.state[buffer], state[buffer])
            assert not any(part._forward_hooks for part in again.module.modules())


def test_outputs_that_are_no_rows_of_numbers_are_named(probe_family):
    built = probe_family("cnn")
    probe = Probe(built.tasks["first"])
    probe.load(read_state(built.open().models["first"]))
    samples = built.tasks["first"].samples(3, 0)
    broken = Samples({"input": samples.inputs["input"] * float("inf")}, None, samples.ids)
    with pytest.raises(UndefinedError, match=r"layer '5': its output is not finite on sample fir"):
        activations(probe, broken, "5", 8)
    wrong = Samples({"input": torch.ones(3, 5)}, None, samples.ids)
    with pytest.raises(UsageError, match=r"does not take input \[3, 5\]: RuntimeError"):
        activations(probe, wrong, "5", 8)
    assert not any(part._forward_hooks for part in probe.module.modules())

    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.idle, self.head = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return self.head(x)

    task = built.tasks["first"]
    idle = Probe(task, module=Unused())
    idle.load(Unused().state_dict())
    with pytest.raises(UsageError, match="layer 'idle': does not run in a forward pass"):
        activations(idle, Samples({"x": torch.ones(3, 2)}, None, samples.ids), "idle", 8)


@pytest.fixture
def passes(monkeypatch):
    """How often models run forward and backward."""
    counts = {"forward": 0, "backward": 0, "built": 0}
    forward, grad, build = Probe.forward, torch.autograd.grad, build_cnn

    def counted(self, samples):
        counts["forward"] += 1
        return forward(self, samples)

    def counted_grad(*args, **kwargs):
        counts["backward"] += 1
        return grad(*args, **kwargs)

    def counted_build():
        counts["built"] += 1
        return build()

    monkeypatch.setattr(Probe, "forward", counted)
    monkeypatch.setattr(torch.autograd, "grad", counted_grad)
    monkeypatch.setattr("probe_families.build_cnn", counted_build)
    return counts


def test_n_models_take_n_passes_and_one_module(probe_family, passes):
    built = probe_family("cnn")
    settings = ProbeSettings(calibration=5)
    pair_table(
        built.open(), tasks=built.tasks, tier="activations", metric_set="paper", settings=settings
    )
    assert passes == {"forward": 3, "backward": 0, "built": 1}
    pair_table(
        built.open(), tasks=built.tasks, tier="gradients", metric_set="paper", settings=settings
    )
    assert passes == {"forward": 3 + 6, "backward": 3, "built": 2}


def test_an_interrupted_run_resumes_and_a_new_model_costs_its_own(
    probe_family, passes, tmp_path, monkeypatch
):
    built = probe_family("cnn")
    family, tasks = built.open(), built.tasks
    settings = ProbeSettings(calibration=5, cache=tmp_path)
    whole = gradients_module.backward

    def killed(probe, *rest):
        if probe.task.name == "third":
            raise KeyboardInterrupt
        return whole(probe, *rest)

    monkeypatch.setattr(gradients_module, "backward", killed)
    with pytest.raises(KeyboardInterrupt):
        pair_table(family, tasks=tasks, tier="gradients", metric_set="paper", settings=settings)
    assert passes["backward"] == 2
    monkeypatch.setattr(gradients_module, "backward", whole)
    resumed = pair_table(
        family, tasks=tasks, tier="gradients", metric_set="paper", settings=settings
    )
    assert passes == {"forward": 6, "backward": 3, "built": 2}
    again = pair_table(family, tasks=tasks, tier="gradients", metric_set="paper", settings=settings)
    assert passes["forward"] == 6
    fresh = pair_table(
        family,
        tasks=tasks,
        tier="gradients",
        metric_set="paper",
        settings=ProbeSettings(calibration=5),
    )
    assert resumed.frame.equals(again.frame)
    assert resumed.frame.equals(fresh.frame)
