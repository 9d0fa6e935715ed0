"""Tied tensors: no values a model trained are dropped unsaid, and one tensor serves two names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mergecast.checkpoints import Checkpoint
from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import FamilyError
from mergecast.family import Family
from mergecast.family.ties import tied_as, trained_apart

EMBED = torch.randn(5, 3)
OTHER = torch.randn(4)


def save(path, **tensors):
    torch.save({name.replace("_", "."): tensor for name, tensor in tensors.items()}, path)
    return path


@pytest.fixture
def tied_base(tmp_path):
    return save(tmp_path / "base.pt", a_embed=EMBED, z_out=EMBED, w=OTHER)


def test_values_trained_apart_from_a_tie_of_the_base_are_refused(tied_base, tmp_path):
    model = save(tmp_path / "m.pt", a_embed=EMBED + 1, z_out=EMBED + 2, w=OTHER)
    message = "the base ties 'a.embed' and 'z.out', this model trained them apart; .*--no-strict"
    with pytest.raises(FamilyError, match=message):
        Family.open(tied_base, [model])
    good = save(tmp_path / "good.pt", a_embed=EMBED + 1, z_out=EMBED + 1, w=OTHER)
    family = Family.open(tied_base, [model, good], on_error="refuse")
    assert family.names == ("good",)
    assert list(family.refused) == ["m"]


@pytest.mark.parametrize("options", [{"strict": False}, {"private": ["z.*"]}])
def test_allowed_to_differ_they_are_listed_as_left_out(options, tied_base, tmp_path):
    model = save(tmp_path / "m.pt", a_embed=EMBED + 1, z_out=EMBED + 2, w=OTHER)
    good = save(tmp_path / "good.pt", a_embed=EMBED + 1, z_out=EMBED + 1, w=OTHER)
    family = Family.open(tied_base, [model, good], **options)
    assert family.shared == ("a.embed", "w")
    assert [(e.name, e.reason) for e in family.private] == [
        ("z.out", "tied to a.embed in the base, trained apart in m")
    ]
    np.testing.assert_allclose(family.block("a.embed").deltas, 1, rtol=1e-6)


def test_equal_values_stored_twice_are_one_tensor(tied_base, tmp_path):
    values = {"a.embed": EMBED.numpy(), "z.out": EMBED.numpy(), "w": OTHER.numpy()}
    write_safetensors(tmp_path / "m.safetensors", values)
    family = Family.open(tied_base, [tmp_path / "m.safetensors"])
    assert family.shared == ("a.embed", "w")
    assert not family.private


def test_a_tensor_the_model_ties_serves_both_names_of_an_untied_base(tmp_path):
    base = save(tmp_path / "base.pt", a_embed=EMBED, z_out=EMBED + 3, w=OTHER)
    tied = EMBED + 4
    model = save(tmp_path / "m.pt", a_embed=tied, z_out=tied, w=OTHER)
    family = Family.open(base, [model])
    assert family.shared == ("a.embed", "w", "z.out")
    np.testing.assert_allclose(family.block("a.embed").deltas, 4, rtol=1e-5)
    np.testing.assert_allclose(family.block("z.out").deltas, 1, rtol=1e-5)


def test_asking_what_is_tied_changes_no_checkpoint(tied_base, tmp_path):
    values = {"a.embed": EMBED.numpy(), "z.out": EMBED.numpy(), "w": OTHER.numpy()}
    write_safetensors(tmp_path / "m.safetensors", values)
    base, model = Checkpoint.open(tied_base), Checkpoint.open(tmp_path / "m.safetensors")
    tied = tied_as(base, model)
    assert trained_apart(base, model) == {"z.out": "a.embed"}
    assert model.names == ["a.embed", "w", "z.out"]
    assert tied.names == ["a.embed", "w"]
    assert tied.tied == {"z.out": "a.embed"}
    assert not trained_apart(base, tied)
