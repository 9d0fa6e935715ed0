"""Names that differ by known rules are aligned, and said; what differs otherwise is refused."""

from __future__ import annotations

import numpy as np
import pytest

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import FamilyError
from mergecast.family import Family

ENCODER = {
    "embeddings.word.weight": (20, 6),
    "embeddings.LayerNorm.weight": (6,),
    "embeddings.LayerNorm.bias": (6,),
    "encoder.layer.0.attention.query.weight": (6, 6),
    "encoder.layer.0.attention.query.bias": (6,),
    "encoder.layer.1.attention.query.weight": (6, 6),
    "encoder.layer.1.attention.query.bias": (6,),
}


def values(seed, prefix="", more=None, rename=str):
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(0)
    tensors = {
        prefix + rename(name): base.standard_normal(shape, dtype=np.float32)
        + (0.01 * rng.standard_normal(shape, dtype=np.float32) if seed else 0)
        for name, shape in ENCODER.items()
    }
    return tensors | {
        name: rng.standard_normal(shape, dtype=np.float32) for name, shape in (more or {}).items()
    }


def save(folder, label, tensors):
    write_safetensors(folder / f"{label}.safetensors", tensors)
    return folder / f"{label}.safetensors"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "module."),
        ("", "_orig_mod."),
        ("", "model._orig_mod."),
        ("", "bert."),
        ("bert.", ""),
        ("bert.", "module.bert."),
        ("model.", "net."),
    ],
)
def test_a_prefix_on_either_side_is_aligned_and_said(before, after, tmp_path):
    base = save(tmp_path, "base", values(0, before))
    family = Family.open(base, [save(tmp_path, "a", values(1, after))])
    assert family.shared == tuple(sorted(before + name for name in ENCODER))
    [note] = family.models["a"].notes
    assert note.startswith("aligned by name: ")
    for block in family.blocks():
        plain = block.name.removeprefix(before)
        np.testing.assert_array_equal(
            block.deltas[0], values(1)[plain] - values(0)[plain], strict=True
        )


def test_older_names_of_layer_norms_are_today_s(tmp_path):
    def legacy(name):
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        )

    base = save(tmp_path, "base", values(0, "bert.", rename=legacy))
    family = Family.open(base, [save(tmp_path, "a", values(1, "bert."))])
    assert len(family.shared) == len(ENCODER)
    assert "older names of layer norms" in family.models["a"].notes[0]


def test_heads_beside_the_backbone_are_private_whatever_they_are_called(tmp_path):
    base = save(
        tmp_path, "base", values(0, "bert.", {"vocab_transform.weight": (6, 6), "x.bias": (20,)})
    )
    one = save(tmp_path, "a", values(1, "bert.", {"pre_classifier.weight": (6, 6)}))
    two = save(tmp_path, "b", values(2, "bert.", {"probe.weight": (3, 6)}))
    family = Family.open(base, [one, two])
    assert len(family.shared) == len(ENCODER)
    reasons = {exclusion.name: exclusion.reason for exclusion in family.private}
    assert reasons["vocab_transform.weight"] == "missing in a, b"
    assert reasons["pre_classifier.weight"] == "not in the base; in a"


def test_the_encoder_alone_is_a_fine_tune_of_a_model_with_a_larger_decoder(tmp_path):
    decoder = {f"decoder.block.0.layer.{i}.weight": (30, 30) for i in range(3)}
    base = save(tmp_path, "base", values(0, "encoder.", decoder))
    models = [save(tmp_path, label, values(i, "encoder.")) for i, label in enumerate("ab", 1)]
    family = Family.open(base, models)
    assert len(family.shared) == len(ENCODER)
    assert {exclusion.name for exclusion in family.private} == set(decoder)


def test_poolers_may_be_missing(tmp_path):
    base = save(tmp_path, "base", values(0, "bert.", {"bert.pooler.dense.weight": (6, 6)}))
    family = Family.open(base, [save(tmp_path, "a", values(1, "bert."))])
    assert [e.name for e in family.private] == ["bert.pooler.dense.weight"]


@pytest.mark.parametrize(
    "buffer",
    {
        "embeddings.position_ids": np.arange(9)[None],
        "encoder.layer.0.rotary_emb.inv_freq": np.ones(3, dtype=np.float32),
        "encoder.layer.0.attn.bias": np.ones((1, 1, 4, 4), dtype=np.float32),
        "encoder.layer.0.attn.masked_bias": np.ones((), dtype=np.float32),
    }.items(),
    ids=lambda item: item[0],
)
@pytest.mark.parametrize("side", ["base", "a"])
def test_tables_that_some_versions_save_are_set_aside(buffer, side, tmp_path):
    tensors = {"base": values(0), "a": values(1)}
    tensors[side][buffer[0]] = buffer[1]
    paths = {label: save(tmp_path, label, state) for label, state in tensors.items()}
    family = Family.open(paths["base"], [paths["a"]])
    assert len(family.shared) == len(ENCODER)
    assert [e.name for e in family.buffers] == [buffer[0]]


def test_a_vocabulary_of_another_size_is_no_head(tmp_path):
    base = save(tmp_path, "base", values(0))
    longer = values(1, "bert.")
    longer["bert.embeddings.word.weight"] = np.ones((22, 6), dtype=np.float32)
    with pytest.raises(FamilyError, match="vocabulary of 22 rows in 'embeddings.word.weight'"):
        Family.open(base, [save(tmp_path, "a", longer)])


def test_a_layer_that_is_missing_is_refused_with_the_nearest_name(tmp_path):
    base = save(tmp_path, "base", values(0))
    other = values(1)
    other["encoder.layer.1.attention.queries.bias"] = other.pop(
        "encoder.layer.1.attention.query.bias"
    )
    with pytest.raises(
        FamilyError,
        match=r"1 missing .*nearest to the base's '.*query.bias' is its '.*queries.bias'",
    ):
        Family.open(base, [save(tmp_path, "a", other)])


def test_an_unrelated_network_is_refused(tmp_path):
    base = save(tmp_path, "base", values(0))
    other = save(tmp_path, "a", {f"x.{i}.weight": np.ones((2, 2)) for i in range(5)})
    with pytest.raises(FamilyError, match="another architecture: it has 0 of the base's 7"):
        Family.open(base, [other])


def test_a_renamed_model_reads_the_stored_tensors(tmp_path):
    base = Checkpoint.open(save(tmp_path, "base", values(0)))
    family = Family.open(base, [save(tmp_path, "a", values(1, "module."))])
    model = family.models["a"]
    name = "encoder.layer.0.attention.query.weight"
    np.testing.assert_array_equal(model.array(name), values(1)[name])
    np.testing.assert_array_equal(model.floats(name, 3, 9), values(1)[name].reshape(-1)[3:9])
    assert model.dense_update(name)
