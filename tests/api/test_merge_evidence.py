"""Merges by what is known of the models' tasks: second moments of inputs, Fisher information."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import mergecast as mc
from mergecast.checkpoints.writer import write_safetensors
from mergecast.cli.main import run
from mergecast.errors import FamilyError, UndefinedError, UsageError
from mergecast.merging import METHODS, TensorBlock
from mergecast.testing.tiny import tiny_family, tiny_tasks


@pytest.fixture
def family(tmp_path):
    return tiny_family(tmp_path)


@pytest.mark.parametrize("transposed", [False, True])
def test_regmean_is_nearest_to_every_model_on_its_own_inputs(transposed):
    generator = torch.Generator().manual_seed(0)
    deltas = torch.randn((2, 4, 6), generator=generator, dtype=torch.float64)
    inputs = torch.randn((2, 30, 6), generator=generator, dtype=torch.float64)
    moments = tuple(x.T @ x / 30 for x in inputs)
    stored = deltas.mT.contiguous() if transposed else deltas
    block = TensorBlock("w", stored[0] * 0, stored, ("a", "b"), 0, (1.0, 2.0), moments, transposed)
    merged = METHODS.get("regmean").kernel(block, alpha=1.0)
    merged = (merged.T if transposed else merged).requires_grad_()
    loss = sum(
        weight * ((x @ (merged - delta).T) ** 2).mean()
        for x, delta, weight in zip(inputs, deltas, (1, 2), strict=True)
    )
    [gradient] = torch.autograd.grad(loss, merged)
    assert gradient.abs().max() < 1e-8
    # With nothing off the diagonal every input is weighed by itself.
    own = METHODS.get("regmean").kernel(block, alpha=0.0)
    scales = torch.stack([moments[0].diagonal(), 2 * moments[1].diagonal()])
    expected = (scales[:, None] * deltas).sum(0) / scales.sum(0)
    torch.testing.assert_close(own.T if transposed else own, expected, rtol=1e-6, atol=1e-8)


def test_fisher_weighs_entries_by_what_the_loss_says():
    deltas = torch.tensor([[1.0, 1.0, 1.0], [3.0, 3.0, 3.0]])
    known = (torch.tensor([4.0, 0.0, 2.0]), torch.tensor([4.0, 4.0, 0.0]))
    block = TensorBlock("w", torch.zeros(3), deltas, ("a", "b"), evidence=known)
    merged = METHODS.get("fisher").kernel(block, floor=0.0)
    assert merged.tolist() == [2.0, 3.0, 1.0]
    even = METHODS.get("fisher").kernel(block, floor=0.999)
    assert 2 < even[1] < 3
    nothing = TensorBlock("w", block.base, deltas, ("a", "b"), evidence=(known[0] * 0,) * 2)
    assert METHODS.get("fisher").kernel(nothing, floor=0.0).tolist() == [2.0] * 3


@pytest.mark.parametrize("method", ["regmean", "fisher"])
def test_evidence_of_tasks_goes_into_a_merge(method, family, tmp_path):
    known = mc.merge_evidence(
        family, tasks=tiny_tasks(), method=method, out=tmp_path / "known", calibration=20
    )
    assert list(known) == ["a", "b", "c"]
    merged = mc.merge(family, method, evidence=known)
    mean = mc.merge(family, "weight_avg")
    weights = [name for name in family.shared if mean[name].dim() > 1]
    assert all(not torch.equal(merged[name], mean[name]) for name in weights)
    out = mc.write_merge(family, method, tmp_path / "out", evidence=known)
    written = mc.Checkpoint.open(out)
    for name in family.shared:
        np.testing.assert_array_equal(written.array(name), merged[name].numpy())


def test_fisher_is_the_mean_square_of_each_sample_s_gradient(family, tmp_path):
    tasks = tiny_tasks()
    known = mc.merge_evidence(
        family, tasks=tasks, method="fisher", out=tmp_path / "known", calibration=12
    )
    task, samples = tasks["a"], tasks["a"].samples(12, 0)
    module = task.build()
    module.load_state_dict({k: torch.from_numpy(v) for k, v in arrays(family, "a").items()})
    squares = {}
    for x, label in zip(samples.inputs["x"], samples.labels, strict=True):
        module.zero_grad()
        torch.nn.functional.cross_entropy(module(x[None]), label[None]).backward()
        for name, parameter in module.named_parameters():
            squares[name] = squares.get(name, 0) + parameter.grad.square() / 12
    file = mc.Checkpoint.open(known["a"])
    for name in file.names:
        np.testing.assert_allclose(file.array(name), squares[name], rtol=1e-4, atol=1e-10)


def arrays(family, label):
    model = family.models[label]
    return {name: model.array(name) for name in model.names}


def test_a_layer_stored_as_in_and_out_is_read_that_way(tmp_path):
    """GPT-2's Conv1D: a square weight could be taken for either."""
    from transformers.pytorch_utils import Conv1D

    generator = torch.Generator().manual_seed(0)
    files, inputs, weights = {}, {}, {}
    base = torch.randn((5, 5), generator=generator)
    for label in "ab":
        inputs[label] = torch.randn((40, 5), generator=generator)
        weights[label] = base + 0.1 * torch.randn((5, 5), generator=generator)
        files[label] = tmp_path / f"{label}-known.safetensors"
        moment = inputs[label].T @ inputs[label] / 40
        write_safetensors(files[label], {"layer.weight/transposed": moment})
        write_safetensors(tmp_path / f"{label}.safetensors", {"layer.weight": weights[label]})
    write_safetensors(tmp_path / "base.safetensors", {"layer.weight": base})
    family = mc.Family.open(
        tmp_path / "base.safetensors", [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    )
    merged = mc.merge(family, "regmean", params={"alpha": 1.0}, evidence=files)["layer.weight"]
    layer = Conv1D(5, 5)
    layer.bias.data.zero_()
    loss = 0
    layer.weight.data = merged
    for label, x in inputs.items():
        loss = loss + (layer(x) - x @ weights[label]).square().mean()
    loss.backward()
    assert layer.weight.grad.abs().max() < 1e-5


def test_what_is_missing_is_named(family, tmp_path):
    with pytest.raises(UsageError, match=r"method 'regmean': needs evidence .*\(inputs\), got"):
        mc.merge(family, "regmean")
    with pytest.raises(UsageError, match="method 'ties': needs no evidence of tasks, got some"):
        mc.merge(family, "ties", evidence={})
    with pytest.raises(UsageError, match="method 'ties': needs no evidence; only regmean, fisher"):
        mc.merge_evidence(family, tasks=tiny_tasks(), method="ties", out=tmp_path / "x")
    with pytest.raises(UsageError, match="evidence of model 'a': unknown; known: b"):
        mc.merge(family, "fisher", evidence={"b": tmp_path / "b.safetensors"})
    with pytest.raises(UndefinedError, match="its samples have no labels"):
        tasks = tiny_tasks(labelled=False)
        mc.merge_evidence(family, tasks=tasks, method="fisher", out=tmp_path / "x", calibration=10)
    name = next(n for n in family.shared if len(family.base.info(n).shape) == 2)
    files = {}
    for label, found in (("a", {name: np.eye(2)}), ("b", {}), ("c", {})):
        files[label] = tmp_path / f"{label}-known.safetensors"
        write_safetensors(files[label], {"other": np.ones(1), **found})
    with pytest.raises(FamilyError, match=rf"model 'a': shape \[2, 2\] for '{name}', a merge by"):
        mc.merge(family, "regmean", evidence=files)


@pytest.mark.parametrize("kind", ["lora", "cnn"])
def test_the_command_line_gathers_evidence_from_tasks(kind, probe_family, tmp_path, capsys):
    built = probe_family(kind)
    given = ["merge", *map(str, built.arguments), "--calibration", "10"]
    for method in ("regmean", "fisher"):
        out = tmp_path / method
        assert run([*given, "--method", method, "-o", str(out)]) == 0
        assert f"by {method}(" in capsys.readouterr().out
        assert (out / "model.safetensors").exists()
    assert run([*given, "--method", "ties", "-o", str(tmp_path / "ties")]) == 2
    assert "method 'ties': needs no evidence of tasks" in capsys.readouterr().err
