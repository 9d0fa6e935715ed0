"""One module for all checkpoints; nothing of it is changed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mergecast.checkpoints.torch_bridge import read_state
from mergecast.errors import CheckpointError, UsageError
from mergecast.tasks.probe import Probe, evaluating
from mergecast.tasks.task import Task, take
from probe_families import CLASSES, KINDS, build_cnn


class Cnn(Task):
    def build(self) -> nn.Module:
        return build_cnn()

    def samples(self, count, seed, split="calibration"):
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randn(9, 1, 8, 8, generator=generator)
        return take(self.name, split, {"input": pixels}, None, count, seed)


def test_logits_are_those_of_the_model_itself_whatever_the_batches():
    task, model = Cnn("a"), build_cnn()
    model.eval()
    samples = task.samples(7, 0)
    probe = Probe(task)
    found = [probe.logits(model.state_dict(), samples, size) for size in (2, 7)]
    with torch.no_grad():
        expected = model(samples.inputs["input"])
    for logits in found:
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)


def test_building_takes_no_memory_and_leaves_the_random_state():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    probe = Probe(Cnn("a"))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(value.is_meta for value in probe.module.parameters())


class WithTable(Cnn):
    def build(self) -> nn.Module:
        module = build_cnn()
        module.register_buffer("table", torch.ones(2), persistent=False)
        return module


def test_tables_that_a_module_makes_itself_are_left_to_it():
    task, state = WithTable("a"), build_cnn().state_dict()
    tables = {
        "table": torch.zeros(2),
        "rotary.inv_freq": torch.ones(3),
        "attention.bias": torch.ones(1, 1, 4, 4),
        "position_ids": torch.arange(4),
    }
    samples, probe = task.samples(3, 0), Probe(task)
    expected = probe.logits(state, samples)
    torch.testing.assert_close(probe.logits(state | tables, samples), expected, rtol=0, atol=0)
    with pytest.raises(CheckpointError, match="no place for the checkpoint's parameter 'a.bias'"):
        probe.load(state | tables | {"a.bias": torch.ones(2)})


def test_a_given_module_keeps_weights_modes_and_statistics():
    module = build_cnn()
    module.train()
    module[1].eval()
    before = {n: v.clone() for n, v in module.state_dict().items()}
    probe = Probe(Cnn("a"), module=module)
    probe.logits(build_cnn().state_dict(), Cnn("a").samples(4, 0))
    assert all(torch.equal(v, before[n]) for n, v in module.state_dict().items())
    assert module.training
    assert not module[1].training
    with pytest.raises(RuntimeError), evaluating(module):
        assert not module.training
        raise RuntimeError
    assert module.training


def test_checkpoints_that_do_not_fit_are_named():
    task = Cnn("a", private=("8.*",))
    state = build_cnn().state_dict()
    probe = Probe(task)
    with pytest.raises(UsageError, match="has no weights yet"):
        probe.forward(task.samples(2, 0))
    with pytest.raises(CheckpointError, match=r"needs 2 parameter\(s\).* lacks, first '8.bias'"):
        probe.load({n: v for n, v in state.items() if not n.startswith("8.")})
    with pytest.raises(CheckpointError, match="no place for the checkpoint's parameter 'extra'"):
        probe.load({**state, "extra": torch.ones(1)})
    with pytest.raises(CheckpointError, match=r"expects '0.weight' of shape \[4, 1, 3, 3\]"):
        probe.load({**state, "0.weight": torch.ones(2, 2)})
    probe.load(
        {**state, "8.weight": torch.ones(5, 6), "8.bias": torch.ones(5), "8.x": state["0.bias"]}
    )
    assert probe.forward(task.samples(2, 0)).shape == (2, 5)
    without_counter = {n: v for n, v in state.items() if "num_batches" not in n}
    probe.load(without_counter)


@pytest.mark.parametrize("kind", KINDS)
def test_one_module_serves_models_with_heads_of_their_own(kind, probe_family):
    built = probe_family(kind)
    tasks, family = built.tasks, built.open()
    module = None
    for label, classes in CLASSES.items():
        probe = Probe(tasks[label], module=module)
        module = probe.module
        samples = tasks[label].samples(5, 0)
        logits = probe.logits(read_state(family.models[label]), samples)
        assert logits.shape[0] == 5
        assert logits.shape[-1] == (20 if kind in {"lm", "lora"} else classes)
        assert torch.isfinite(tasks[label].loss(logits, samples.labels)).all()


def test_a_published_checkpoint_gives_what_transformers_gives(probe_family):
    from transformers import AutoModel, AutoModelForImageClassification

    vit = probe_family("vit")
    task = vit.tasks["first"]
    samples = task.samples(4, 0)
    own = AutoModelForImageClassification.from_pretrained(vit.models[0])
    with torch.no_grad():
        expected = own.eval()(**samples.inputs).logits
    found = Probe(task).logits(read_state(vit.open().models["first"]), samples)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)

    clip = probe_family("clip")
    task = clip.tasks["first"]
    samples = task.samples(4, 0)
    with torch.no_grad():
        own = AutoModel.from_pretrained(clip.models[0])
        features = own.eval()(**samples.inputs).pooler_output
        features = features / features.norm(dim=-1, keepdim=True)
        expected = features @ task.head()["head.weight"].T
    found = Probe(task).logits(read_state(clip.open().models["first"]), samples)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_bare_encoders_names_fit_a_model_with_a_head(probe_family):
    built = probe_family("bert")
    task = built.tasks["first"]
    state = read_state(built.open().models["first"])
    samples = task.samples(3, 0)
    bare = {name.removeprefix("bert."): value for name, value in state.items()}
    probe = Probe(task)
    assert torch.equal(probe.logits(bare, samples), probe.logits(state, samples))
