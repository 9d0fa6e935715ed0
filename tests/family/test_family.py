"""Alignment by name: what is shared, what is private and why; blocks equal plain subtraction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import CheckpointError, FamilyError, UsageError
from mergecast.family import Family, ParamBlock, blocks
from tiny_family import SHAPES, arrays


def write(folder, label, change=None, seed=1):
    tensors = arrays(seed)
    if change:
        change(tensors)
    write_safetensors(folder / f"{label}.safetensors", tensors)
    return folder / f"{label}.safetensors"


def test_shared_private_and_buffers(family_paths):
    family = Family.open(*family_paths)
    assert family.names == ("a", "b", "c")
    assert family.shared == tuple(sorted(SHAPES))
    assert [(e.name, e.reason) for e in family.private] == [
        ("head.weight", "not in the base; in all models")
    ]
    assert [e.name for e in family.buffers] == ["position_ids"]


def test_blocks_are_plain_differences_in_name_order(family_paths):
    family = Family.open(*family_paths)
    seen = list(family.blocks())
    assert [block.name for block in seen] == list(family.shared)
    for block in seen:
        base = arrays(0)[block.name]
        expected = np.stack([arrays(seed)[block.name] - base for seed in (1, 2, 3)])
        np.testing.assert_array_equal(block.deltas, expected)
        np.testing.assert_array_equal(block.base, base)
        assert block.deltas.dtype == np.float32


@pytest.mark.parametrize("elements", [1, 7, 2**17])
@pytest.mark.parametrize("budget", [0, blocks.MEMORY_BUDGET])
def test_chunks_cover_a_block_once_in_memory_or_from_disk(
    family_paths, elements, budget, monkeypatch
):
    monkeypatch.setattr(blocks, "MEMORY_BUDGET", budget)
    for block in Family.open(*family_paths).blocks():
        parts = [deltas for _, deltas in block.chunks(elements)]
        whole = np.concatenate(parts, axis=1)
        np.testing.assert_array_equal(whole, block.deltas.reshape(3, -1))
        np.testing.assert_array_equal(block.delta(1), block.deltas[1])


def test_a_gram_matrix_keeps_cosines_below_one_at_1e8_elements():
    # float32 accumulation gives 1.02 here (METRICS.md); the deltas come from no file, chunk by
    # chunk, so that the test needs neither disk nor 800 MB.
    part = np.abs(np.random.default_rng(0).standard_normal(2**17, dtype=np.float32))
    size = 10**8
    block = ParamBlock(
        "w",
        (size,),
        ("a", "b"),
        np.dtype(np.float32),
        lambda start, stop: np.zeros(stop - start, dtype=np.float32),
        lambda i, base, start: part[: base.size],
    )
    assert not block.fits_in_memory
    gram = block.gram()
    cosine = gram[0, 1] / np.sqrt(gram[0, 0] * gram[1, 1])
    assert abs(cosine - 1) < 1e-14
    whole, rest = divmod(size, part.size)
    exact = whole * np.square(part, dtype=np.float64).sum()
    exact += np.square(part[:rest], dtype=np.float64).sum()
    assert gram[0, 0] == pytest.approx(exact, rel=1e-12)


def test_a_head_of_another_shape_is_private_with_its_shapes(tmp_path):
    def head(rows):
        return lambda t: t.update({"classifier.weight": np.ones((rows, 4), dtype=np.float32)})

    base = write(tmp_path, "base", head(2), seed=0)
    family = Family.open(base, [write(tmp_path, "a", head(3)), write(tmp_path, "b", head(2))])
    assert [e.reason for e in family.private] == ["shape [2, 4] in the base, a [3, 4]"]


def test_named_private_parameters_are_left_out(family_paths):
    family = Family.open(*family_paths, private=["layer.*"])
    assert "layer.weight" not in family.shared
    assert "named private" in [e.reason for e in family.private]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("layer.bias"), "1 missing parameter.*first 'layer.bias'; name task heads"),
        (lambda t: t.update(new=np.ones(2)), "1 extra parameter.*first 'new'"),
        (
            lambda t: t.update({"layer.weight": np.ones((3, 3), dtype=np.float32)}),
            r"of another shape, first 'layer.weight': \[3, 3\], the base has \[12, 40\]",
        ),
        (
            lambda t: t.update({"embed.weight": np.ones((32, 12), dtype=np.float32)}),
            "vocabulary of 32 rows in 'embed.weight', the base has 30; resize",
        ),
        (
            lambda t: [t.pop(n) for n in ("conv.weight", "layer.bias", "layer.weight")],
            "of another architecture: it has 2 of the base's 5 parameters",
        ),
    ],
)
def test_strict_alignment_refuses_mismatches_outside_heads(change, message, tmp_path):
    base, good = write(tmp_path, "base", seed=0), write(tmp_path, "good")
    bad = write(tmp_path, "bad", change)
    with pytest.raises(FamilyError, match=message):
        Family.open(base, [good, bad])
    family = Family.open(base, [good, bad], on_error="refuse")
    assert family.names == ("good",)
    assert list(family.refused) == ["bad"]


def test_without_strict_a_mismatch_becomes_private_with_its_reason(tmp_path):
    base, good = write(tmp_path, "base", seed=0), write(tmp_path, "good")
    bad = write(tmp_path, "bad", lambda t: t.pop("layer.bias"))
    family = Family.open(base, [good, bad], strict=False)
    assert "layer.bias" not in family.shared
    assert [e.reason for e in family.private] == ["missing in bad"]


def test_nothing_in_common_is_an_error_even_without_strict(tmp_path):
    base = write(tmp_path, "base", seed=0)
    write_safetensors(tmp_path / "x.safetensors", {"z": np.ones(3)})
    with pytest.raises(FamilyError, match="shares no floating-point parameter"):
        Family.open(base, [tmp_path / "x.safetensors"], strict=False)
    with pytest.raises(FamilyError, match="none usable: .*shares no"):
        Family.open(base, [tmp_path / "x.safetensors"], strict=False, on_error="refuse")


def test_a_model_with_integers_where_the_base_has_floats(tmp_path):
    base = write(tmp_path, "base", seed=0)
    odd = write(tmp_path, "odd", lambda t: t.update({"layer.bias": np.arange(12)}))
    family = Family.open(base, [odd])
    assert [e.reason for e in family.private] == ["integer values in odd"]


def test_tied_names_are_matched_across_formats(tmp_path):
    shared = torch.randn(5, 3)
    base = {"a.embed": shared, "z.out": shared, "w": torch.randn(4)}
    torch.save(base, tmp_path / "base.pt")
    write_safetensors(
        tmp_path / "m.safetensors", {"z.out": (shared + 1).numpy(), "w": base["w"].numpy()}
    )
    family = Family.open(tmp_path / "base.pt", [tmp_path / "m.safetensors"])
    assert family.shared == ("a.embed", "w")
    np.testing.assert_allclose(family.block("a.embed").deltas, 1, rtol=1e-6)


def test_labels_take_the_parent_where_names_repeat(tmp_path):
    base = write(tmp_path, "base", seed=0)
    for parent in ("x", "y"):
        (tmp_path / parent).mkdir()
        write(tmp_path / parent, "model")
    paths = [tmp_path / p / "model.safetensors" for p in ("x", "y")]
    assert Family.open(base, paths).names == ("x/model", "y/model")
    with pytest.raises(UsageError, match="given twice"):
        Family.open(base, [paths[0], paths[0]])
    for parent in ("x", "y"):
        (tmp_path / parent / "out").mkdir()
        write(tmp_path / parent / "out", "model")
    deep = [tmp_path / p / "out" / "model.safetensors" for p in ("x", "y")]
    assert Family.open(base, deep).names == ("x/out/model", "y/out/model")
    alike = [write(tmp_path, "a+b"), write(tmp_path, "a_b")]
    assert Family.open(base, alike).names == ("a_b#1", "a_b#2")
    # What stands between labels in options and tables is in none.
    assert Family.open(base, [write(tmp_path, "x,y+z"), alike[0]]).names == ("x_y_z", "a_b")


def test_subset_keeps_order_and_refuses_unknown_or_repeated_names(family_paths):
    family = Family.open(*family_paths)
    assert family.subset(["c", "a"]).names == ("c", "a")
    with pytest.raises(UsageError, match="unknown"):
        family.subset(["d"])
    with pytest.raises(UsageError, match="name each model once"):
        family.subset(["a", "a"])


def test_unusable_input_is_named(family_paths, tmp_path):
    base, models = family_paths
    with pytest.raises(UsageError, match="none given"):
        Family.open(base, [])
    with pytest.raises(UsageError, match=r"contains '\+'"):
        Family.open(base, {"a+b": models[0]})
    with pytest.raises(CheckpointError, match="does not exist"):
        Family.open(tmp_path / "no.safetensors", models)
    models[0].write_bytes(b"x" * 40)
    family = Family.open(base, models, on_error="refuse")
    assert family.names == ("b", "c")


def test_mixed_dtypes_are_computed_in_the_wider(tmp_path):
    base = write(tmp_path, "base", seed=0)
    wide = write(tmp_path, "wide", lambda t: t.update({"layer.bias": t["layer.bias"].astype("f8")}))
    block = Family.open(base, [wide]).block("layer.bias")
    assert block.deltas.dtype == np.float32
    np.testing.assert_allclose(
        block.deltas[0], arrays(1)["layer.bias"] - arrays(0)["layer.bias"], atol=1e-7
    )


def test_blocks_of_arrays_check_their_shapes():
    block = ParamBlock.from_arrays("w", np.zeros(3), np.ones((2, 3)))
    assert block.members == ("model_0", "model_1")
    assert block.deltas.tolist() == [[1, 1, 1]] * 2
    with pytest.raises(FamilyError, match=r"models of shape \[4\] on a base of \[3\]"):
        ParamBlock.from_arrays("w", np.zeros(3), np.ones((2, 4)))


def test_a_tensor_without_elements_is_set_aside(tmp_path):
    def empty(tensors):
        tensors["nothing"] = np.zeros((0, 5), dtype=np.float32)

    family = Family.open(write(tmp_path, "base", empty, seed=0), [write(tmp_path, "a", empty)])
    assert "nothing" not in family.shared
    assert family.buffers[0].reason == "no elements, kept from the base"
