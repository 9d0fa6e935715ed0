"""Gradients against a plain autograd loop and finite differences; what they leave untouched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from measured import pair_table
from mergecast.errors import UndefinedError, UsageError
from mergecast.evidence import ProbeSettings, Session
from mergecast.evidence.gradients.backward import backward
from mergecast.evidence.gradients.collect import _input_gram, collect, gradient_file
from mergecast.tasks.probe import Probe
from mergecast.tasks.task import Samples, Task
from probe_families import build_cnn, hugging_face_model


class Small(Task):
    """Whatever module it is given, for whatever samples."""

    def __init__(self, module: nn.Module, private: tuple[str, ...] = ()) -> None:
        super().__init__("small", private=private)
        self.module = module

    def build(self) -> nn.Module:
        return self.module

    def samples(self, count, seed, split="calibration"):
        raise NotImplementedError


def named(inputs, labels):
    return Samples(inputs, labels, tuple(f"s{k}" for k in range(len(labels))))


def loaded(module, dtype=torch.float32):
    state = {n: v.detach().clone() for n, v in module.state_dict().items()}
    state = {n: v.to(dtype) if v.is_floating_point() else v for n, v in state.items()}
    probe = Probe(Small(module))
    probe.load(state)
    return probe, state


def images(n=7):
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(n, 1, 8, 8, generator=generator)
    return named({"input": pixels}, torch.arange(n) % 2)


def texts():
    ids = torch.randint(1, 20, (6, 5), generator=torch.Generator().manual_seed(2))
    mask = torch.ones_like(ids)
    mask[:3, 3:] = 0
    return named({"input_ids": ids, "attention_mask": mask}, torch.arange(6) % 2)


@pytest.mark.parametrize("batch_size", [3, 32])
def test_a_mean_over_samples_of_a_plain_autograd_loop(batch_size):
    plain = build_cnn()
    plain.eval()
    samples = images()
    names = [name for name, _ in plain.named_parameters() if not name.startswith("8.")]
    expected = {name: torch.zeros(()) for name in names}
    by_input = []
    for image, label in zip(samples.inputs["input"], samples.labels, strict=True):
        pixel = image[None].clone().requires_grad_()
        loss = nn.functional.cross_entropy(plain(pixel), label[None])
        wanted = [plain.get_parameter(name) for name in names]
        *found, x = torch.autograd.grad(loss, [*wanted, pixel])
        by_input.append(x)
        expected = {n: expected[n] + g / len(samples) for n, g in zip(names, found, strict=True)}
    probe, _ = loaded(plain)
    result = backward(probe, samples, [*names, "1.running_mean"], batch_size)
    assert set(result.parameters) == set(names)
    for name in names:
        torch.testing.assert_close(result.parameters[name], expected[name], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(result.inputs, torch.cat(by_input), rtol=1e-4, atol=1e-6)


def test_a_directional_derivative_is_a_finite_difference():
    module = hugging_face_model("bert")
    probe, state = loaded(module, torch.float64)
    samples = texts()
    names = [n for n, _ in module.named_parameters() if not n.startswith("classifier")]
    result = backward(probe, samples, names, 32)
    generator = torch.Generator().manual_seed(3)
    step = {n: torch.randn(state[n].shape, generator=generator).double() for n in names}
    predicted = sum(float((result.parameters[n] * step[n]).sum()) for n in names)

    def loss(size):
        moved = {n: v + size * step[n] if n in step else v for n, v in state.items()}
        logits = probe.logits(moved, samples)
        return float(probe.task.loss(logits, samples.labels).mean())

    measured = (loss(1e-6) - loss(-1e-6)) / 2e-6
    assert predicted == pytest.approx(measured, rel=1e-5)


def test_input_gradients_of_text_are_by_its_embeddings_and_zero_under_the_mask():
    module = hugging_face_model("bert")
    probe, state = loaded(module)
    samples = texts()
    result = backward(probe, samples, list(state), 4)
    assert result.inputs.shape == (6, 5, 8)
    assert (result.inputs[:3, 3:] == 0).all()
    assert (result.inputs[3:].abs().sum(dim=(1, 2)) > 0).all()
    frozen = backward(probe, samples, ["bert.pooler.dense.bias"], 4)
    torch.testing.assert_close(frozen.inputs, result.inputs)


def test_a_parameter_that_the_loss_does_not_reach_has_a_zero_gradient():
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x):
            return self.used(x)

    probe, _ = loaded(Spare())
    samples = named({"x": torch.randn(3, 4)}, torch.tensor([0, 1, 1]))
    result = backward(probe, samples, ["spare.weight", "used.weight"], 8)
    assert (result.parameters["spare.weight"] == 0).all()
    assert (result.parameters["used.weight"] != 0).any()


def test_nothing_of_the_module_changes_even_after_an_error():
    module = build_cnn()
    module.train()
    module[3].eval()
    module[0].weight.requires_grad_(False)
    probe = Probe(Small(module), module=module)
    before = {n: v.clone() for n, v in module.state_dict().items()}
    probe.load(before)
    backward(probe, images(), ["0.weight"], 4)
    probe.task.private = ("8.*",)
    probe.load({**before, "8.weight": torch.ones(1, 6), "8.bias": torch.ones(1)})
    with pytest.raises(UsageError, match="label 1 is outside its head of 1 classes"):
        backward(probe, images(), ["0.weight"], 4)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert module.training
    assert not module[3].training
    assert not module[0].weight.requires_grad
    assert all(value.grad is None for value in module.parameters())
    assert not any(part._forward_hooks for part in module.modules())
    assert not any(value.requires_grad for value in probe.state.values())


def test_a_loss_that_is_nan_is_undefined_by_sample():
    probe, _ = loaded(build_cnn())
    samples = images()
    samples.inputs["input"][4] = float("nan")
    with pytest.raises(UndefinedError, match="loss: is nan on sample s4"):
        backward(probe, samples, ["0.weight"], 3)


def test_gradients_need_labels():
    probe, _ = loaded(build_cnn())
    samples = Samples(images().inputs, None, images().ids)
    with pytest.raises(UsageError, match="its samples have no labels"):
        backward(probe, samples, ["0.weight"], 3)


def test_shorter_inputs_are_padded_and_other_kinds_are_not_compared():
    a, b = np.ones((2, 3, 4)), np.ones((2, 5, 4))
    gram = _input_gram([a, b, np.ones((2, 3, 7))])
    assert gram[0, 1] == 2 * 3 * 4
    assert gram[1, 1] == 2 * 5 * 4
    assert np.isnan(gram[0, 2])
    assert gram[2, 2] == 2 * 3 * 7


def test_the_gram_matrix_is_that_of_the_files_and_a_nan_model_is_left_out(probe_family):
    built = probe_family("cnn")
    with Session(built.open(), built.tasks, ProbeSettings(calibration=5)) as session:
        found = collect(session)
        vectors = []
        for label in found.members:
            file = gradient_file(session, label, session.samples(label))
            names = [n for n in file.names if n.startswith("parameter.")]
            vectors.append(np.concatenate([file.array(n).ravel().astype(float) for n in names]))
        np.testing.assert_allclose(found.gram, np.array(vectors) @ np.array(vectors).T, rtol=1e-9)
        assert not any("running" in name or name.endswith("8.weight") for name in names)


def test_a_model_without_a_finite_loss_is_missing_with_its_reason(probe_family):
    built = probe_family("cnn")
    tasks = built.tasks
    good = tasks["second"].samples

    def broken(count, seed, split="calibration"):
        found = good(count, seed, split)
        found.inputs["input"][0] = float("inf")
        return found

    tasks["second"].samples = broken
    few = ProbeSettings(calibration=10)
    table = pair_table(
        built.open(), tasks=tasks, tier="gradients", metric_set="paper", settings=few
    )
    column = table.frame.set_index(["left", "right"])["encoder_gradient_dot_product"]
    assert np.isfinite(column["first", "third"])
    assert np.isnan(column["first", "second"])
    reasons = {entry.reason for entry in table.missing if entry.key == column.name}
    assert len(reasons) == 1
    assert "model 'second': loss: is nan on sample second/calibration/" in reasons.pop()
