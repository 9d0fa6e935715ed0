"""Merging a family: in memory and to disk alike, dtype kept, what is left out is the base's."""

from __future__ import annotations

import json
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import mergecast as mc
from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import FamilyError, UsageError
from mergecast.merging.write import write_merge
from recorded_progress import RecordedProgress
from tiny_family import SHAPES, arrays


def test_merge_in_memory_equals_arithmetic_on_state_dicts(family_paths):
    merged = mc.merge(mc.Family.open(*family_paths), "task_arithmetic", params={"scaling": 0.5})
    assert list(merged) == sorted([*SHAPES, "position_ids"])
    for name in SHAPES:
        base = arrays(0)[name].astype(np.float64)
        expected = base + 0.5 * sum(arrays(s)[name] - base for s in (1, 2, 3))
        np.testing.assert_allclose(merged[name].numpy(), expected, rtol=1e-5, atol=1e-6)
    assert merged["position_ids"].tolist() == list(range(7))


@pytest.mark.parametrize("method", ["ties", "tsv", "dare"])
@pytest.mark.parametrize("workers", [1, 3])
def test_disk_and_memory_and_any_worker_count_agree(method, workers, family_paths, tmp_path):
    family = mc.Family.open(*family_paths)
    progress = RecordedProgress()
    out = mc.write_merge(family, method, tmp_path / "out", workers=workers, progress=progress)
    written = mc.Checkpoint.open(out)
    for name, tensor in mc.merge(family, method).items():
        np.testing.assert_array_equal(written.array(name), tensor.numpy())
    assert progress.stages == {f"merging by {method}": [6, 6]}


def test_the_order_of_members_changes_not_one_bit(family_paths):
    family = mc.Family.open(*family_paths)
    for method in ("weight_avg", "dare", "tsv"):
        first = mc.merge(family, method, members=["a", "b", "c"])
        second = mc.merge(family, method, members=["c", "a", "b"])
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_base_s_dtype_shards_and_side_files_are_kept(tmp_path):
    base, model = tmp_path / "base", tmp_path / "model"
    for folder, seed in ((base, 0), (model, 1)):
        folder.mkdir()
        tensors = {n: torch.from_numpy(np.array(v)) for n, v in arrays(seed).items()}
        tensors = {n: t.bfloat16() if t.is_floating_point() else t for n, t in tensors.items()}
        files = {n: f"model-{1 + (n > 'f')}.safetensors" for n in tensors}
        for file in set(files.values()):
            save_file({n: t for n, t in tensors.items() if files[n] == file}, folder / file)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
        (folder / "config.json").write_text('{"model_type": "x"}')
        (folder / "tokenizer.json").write_text("{}")
    out = mc.write_merge(mc.Family.open(base, [model]), "weight_avg", tmp_path / "out")
    merged = mc.Checkpoint.open(out)
    assert merged.info("layer.weight").dtype == np.dtype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(
        merged.floats("layer.weight"), mc.Checkpoint.open(model).floats("layer.weight")
    )
    assert {p.name for p in out.iterdir()} == {
        "config.json",
        "tokenizer.json",
        "mergecast.json",
        "model.safetensors.index.json",
        "model-1.safetensors",
        "model-2.safetensors",
    }
    record = json.loads((out / "mergecast.json").read_text())
    assert record["method"] == "weight_avg"
    assert record["members"] == {"model": str(model)}


def test_a_private_parameter_of_the_base_stays_the_base_s(tmp_path):
    def with_head(seed, rows):
        return {**arrays(seed), "head.weight": np.full((rows, 2), seed, dtype=np.float32)}

    for label, seed, rows in (("base", 0, 2), ("a", 1, 3), ("b", 2, 2)):
        write_safetensors(tmp_path / f"{label}.safetensors", with_head(seed, rows))
    family = mc.Family.open(
        tmp_path / "base.safetensors", [tmp_path / f"{m}.safetensors" for m in "ab"]
    )
    assert mc.merge(family, "ties")["head.weight"].tolist() == [[0, 0], [0, 0]]


def test_wrong_requests_are_named(family_paths, tmp_path):
    family = mc.Family.open(*family_paths)
    with pytest.raises(UsageError, match=r"merging method 'tie': unknown; did you mean 'ties'"):
        mc.merge(family, "tie")
    with pytest.raises(UsageError, match="model 'z'"):
        mc.merge(family, "ties", members=["a", "z"])
    with pytest.raises(UsageError, match="unknown"):
        write_merge(family, "ties", tmp_path / "out", params={"x": 1})
    assert not (tmp_path / "out").exists()


def test_non_finite_models_leave_no_output(tmp_path, family_paths):
    base, models = family_paths
    broken = arrays(1)
    broken["scale"] = np.array(np.nan, dtype=np.float32)
    write_safetensors(tmp_path / "nan.safetensors", broken)
    family = mc.Family.open(base, [models[0], tmp_path / "nan.safetensors"])
    with pytest.raises(FamilyError, match="model 'nan': parameter 'scale'.*NaN"):
        write_merge(family, "ties", tmp_path / "out")
    assert not [p for p in tmp_path.iterdir() if "out" in p.name]


@pytest.fixture
def registry():
    """The methods, with whatever a test adds taken out again."""
    with mc.METHODS.isolated() as methods:
        yield methods


def test_a_plug_in_method_is_validated(family_paths, registry):
    family = mc.Family.open(*family_paths)
    with pytest.raises(UsageError, match="test_run: parameter 'k' has no default; give every"):
        mc.merging_method("bad_default", reference="test")(lambda block, k: block)
    with pytest.raises(UsageError, match="test_run: parameter 'k' has no annotation; give every"):
        mc.merging_method("bad_default", reference="test")(lambda block, *, k=1: block)

    @mc.merging_method("flat", reference="test", max_members=2)
    def flat(block, *, scaling: float = 1.0):
        """Wrong on purpose: loses the shape."""
        return block.deltas.sum(0).reshape(-1)

    assert mc.METHODS.get("flat").defaults == {"scaling": 1.0}
    with pytest.raises(UsageError, match="got 3 models, takes at most 2"):
        mc.merge(family, "flat")


@pytest.mark.parametrize(
    ("kernel", "problem"),
    [
        (
            lambda block: block.deltas,
            r"returned shape \[3, 6, 3, 2, 2\] for .* of \[6, 3, 2, 2\]",
        ),
        (
            lambda block: block.deltas.mean(0).numpy(),
            "returned ndarray for .*return a torch tensor",
        ),
        (lambda block: None, "returned NoneType"),
        (
            lambda block: block.deltas.mean(0) * float("nan"),
            "returned NaN for .*must return fin",
        ),
    ],
)
def test_a_method_that_returns_no_delta_is_named_with_its_package(
    family_paths, registry, kernel, problem
):
    mc.merging_method("wrong", reference="test")(kernel)
    package = __name__.partition(".")[0]
    match = f"merge wrong: merging method 'wrong' of package '{package}': {problem}"
    with pytest.raises(UsageError, match=match):
        mc.merge(mc.Family.open(*family_paths), "wrong")


def test_listing_methods_and_reading_parameters_imports_no_torch():
    code = """if True:
        import sys
        from mergecast.merging import METHODS
        assert METHODS.get("ties").validate({"density": 0.5})["sign"] == "mass"
        assert len(METHODS.names()) >= 9
        print({"torch", "pandas", "sklearn", "scipy"} & set(sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_single_file_model_folder_keeps_everything_but_weights(tmp_path):
    for label, seed in (("base", 0), ("a", 1)):
        folder = tmp_path / label
        (folder / "1_Pooling").mkdir(parents=True)
        write_safetensors(folder / "model.safetensors", arrays(seed))
        for name in ("config.json", "tokenizer.json", "vocab.bpe", "modeling_own.py"):
            (folder / name).write_text("{}")
        (folder / "training_args.bin").touch()
    out = mc.write_merge(
        mc.Family.open(tmp_path / "base", [tmp_path / "a"]), "ties", tmp_path / "out"
    )
    assert {p.name for p in out.iterdir()} == {
        "config.json", "tokenizer.json", "vocab.bpe", "modeling_own.py", "mergecast.json",
        "model.safetensors",
    }  # fmt: skip


def test_a_text_of_members_is_one_member(family_paths):
    family = mc.Family.open(*family_paths)
    one = mc.merge(family, "weight_avg", members="b")
    assert all(
        torch.equal(value, mc.merge(family, "weight_avg", members=["b"])[name])
        for name, value in one.items()
    )
    with pytest.raises(UsageError, match="model 'ab': unknown"):
        mc.merge(family, "weight_avg", members="ab")


@pytest.mark.parametrize(
    ("method", "params"), [("dare", {}), ("dare_ties", {}), ("task_arithmetic", {"scaling": 1.5})]
)
def test_what_was_measured_and_not_trained_is_averaged(method, params, tmp_path):
    paths = []
    for label, factor in {"base": 1.0, "a": 0.4, "b": 0.2}.items():
        variance = factor * np.linspace(0.5, 2, 8, dtype=np.float32)
        weight = np.full((8, 8), 1 + 0.01 * factor, dtype=np.float32)
        tensors = {"norm.running_var": variance, "norm.running_mean": variance, "w.weight": weight}
        paths.append(tmp_path / f"{label}.safetensors")
        write_safetensors(paths[-1], tensors)
    merged = mc.merge(mc.Family.open(paths[0], paths[1:]), method, params=params)
    expected = 0.3 * np.linspace(0.5, 2, 8)
    for name in ("norm.running_var", "norm.running_mean"):
        np.testing.assert_allclose(merged[name].numpy(), expected, rtol=1e-6)


def test_module_folders_are_taken_over_and_other_libraries_weights_are_not(family_paths, tmp_path):
    folder = tmp_path / "st"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "1_Pooling/config.json").write_text("{}")
    modules = [{"path": "", "type": "x.Transformer"}, {"path": "1_Pooling", "type": "x.Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    write_safetensors(folder / "model.safetensors", arrays(0))
    for name in ("rust_model.ot", "64.tflite", "model.ckpt.data-0", "model.index.fp16.json"):
        (folder / name).write_text("x")
    _, models = family_paths
    out = mc.write_merge(mc.Family.open(folder, models), "weight_avg", tmp_path / "out")
    files = {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}
    assert files == {
        "1_Pooling/config.json",
        "mergecast.json",
        "model.safetensors",
        "modules.json",
    }


def test_a_merge_that_check_refuses_is_refused_unless_unchecked(tmp_path):
    for label in ("base", "a"):
        rng = np.random.default_rng(len(label))
        tensors = {"w.weight": rng.standard_normal((16, 16), dtype=np.float32)}
        write_safetensors(tmp_path / f"{label}.safetensors", tensors)
    family = mc.Family.open(tmp_path / "base.safetensors", [tmp_path / "a.safetensors"])
    with pytest.raises(FamilyError, match="model 'a': its distance from the base is 1"):
        mc.write_merge(family, "weight_avg", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert mc.write_merge(family, "weight_avg", tmp_path / "out", unchecked=True).is_dir()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_a_merge_is_stored_in_the_dtype_asked_for(dtype, tmp_path):
    for label, seed in (("base", 0), ("a", 1)):
        (tmp_path / label).mkdir()
        write_safetensors(tmp_path / label / "model.safetensors", arrays(seed))
        (tmp_path / label / "config.json").write_text('{"model_type": "x", "dtype": "float32"}')
    family = mc.Family.open(tmp_path / "base", [tmp_path / "a"])
    out = mc.write_merge(family, "weight_avg", tmp_path / "out", dtype=dtype)
    assert json.loads((out / "config.json").read_text())["dtype"] == dtype
    written = mc.Checkpoint.open(out)
    for name, tensor in mc.merge(family, "weight_avg").items():
        floating = tensor.is_floating_point()
        expected = tensor.to(getattr(torch, dtype)) if floating else tensor
        assert written.infos[name].dtype.name == str(expected.dtype).removeprefix("torch.")
        stored = written.array(name)
        np.testing.assert_array_equal(stored.astype(np.float32), expected.float().numpy())
    with pytest.raises(UsageError, match="dtype 'half': unknown; known: float32, float16, bfl"):
        mc.write_merge(family, "weight_avg", tmp_path / "half", dtype="half")
