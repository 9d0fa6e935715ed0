"""Preflight finds what spoils merges, says where, and leaves healthy families alone."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from mergecast.api.metrics import measure
from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import FamilyError
from mergecast.family.family import Family
from mergecast.family.light import refuse_unusable
from mergecast.family.preflight import check
from tiny_family import arrays


def write(folder, label, tensors):
    path = folder / f"{label}.safetensors"
    write_safetensors(path, tensors)
    return path


def rules(preflight):
    return {(f.severity, f.rule, f.about) for f in preflight.findings}


def test_a_healthy_family_has_no_finding(family_paths):
    preflight = check(*family_paths)
    assert preflight.findings == ()
    assert preflight.usable == ["a", "b", "c"]
    norms = [
        np.sqrt(
            sum(np.square(v - arrays(0)[k]).sum() for k, v in arrays(1).items())
            / sum(np.square(v).sum() for k, v in arrays(0).items() if k != "position_ids")
        )
    ]
    assert preflight.relative_norms["a"] == pytest.approx(norms[0], rel=1e-5)
    assert preflight.to_dict()["shared_elements"] == 6 * 3 * 4 + 30 * 12 + 12 + 480 + 1


def test_a_wrong_base_is_far_away_and_common_to_all(tmp_path):
    other = {k: np.flip(v) if v.dtype.kind == "f" else v for k, v in arrays(0).items()}
    base = write(tmp_path, "base", {k: np.array(v) for k, v in other.items()})
    models = [write(tmp_path, label, arrays(seed)) for seed, label in enumerate("abc", 1)]
    preflight = check(base, models)
    assert ("error", "wrong base", "a") in rules(preflight)
    assert ("error", "common component", "family") in rules(preflight)
    assert preflight.usable == []


@pytest.mark.parametrize("labels", ["ab", "abcd"])
def test_a_model_in_the_place_of_its_base_is_common_to_all(tmp_path, labels):
    base = write(tmp_path, "base", arrays(0))
    models = [write(tmp_path, label, arrays(seed)) for seed, label in enumerate(labels, 1)]
    assert check(base, models).findings == ()
    forgotten = write(tmp_path, "forgotten", arrays(9))
    [found] = check(forgotten, models).findings
    assert (found.severity, found.rule, found.subject) == ("warning", "common component", "family")
    assert "give first the base that all were fine-tuned from" in found.remedy
    # A merge says so as well, and forecasts from weights.
    assert [one.rule for one in refuse_unusable(Family.open(forgotten, models))] == [found.rule]
    assert measure(forgotten, models).findings[-1].message == found.message


def test_running_statistics_that_move_alike_are_no_common_component(tmp_path):
    def with_statistics(tensors, mean):
        return tensors | {"norm.running_mean": np.full(4000, mean, np.float32)}

    base = write(tmp_path, "base", with_statistics(arrays(0), 0.0))
    models = [
        write(tmp_path, label, with_statistics(arrays(seed), 0.02 * seed))
        for seed, label in enumerate("abc", 1)
    ]
    assert not [one for one in check(base, models).findings if one.rule == "common component"]


def test_zero_and_identical_task_vectors(tmp_path):
    base = write(tmp_path, "base", arrays(0))
    models = [
        write(tmp_path, "zero", arrays(0)),
        write(tmp_path, "one", arrays(1)),
        write(tmp_path, "two", arrays(1)),
    ]
    preflight = check(base, models)
    assert rules(preflight) == {
        ("error", "zero task vector", "zero"),
        ("warning", "identical task vectors", "two"),
    }
    assert preflight.usable == ["one", "two"]


def test_copies_of_one_model_do_not_speak_against_the_base(tmp_path):
    base = write(tmp_path, "base", arrays(0))
    copies = [write(tmp_path, name, arrays(1)) for name in ("one", "two", "three")]
    preflight = check(base, copies)
    assert [(f.rule, f.about) for f in preflight.findings] == [
        ("identical task vectors", "three"),
        ("identical task vectors", "two"),
    ]
    assert preflight.usable == ["one", "two", "three"]


def test_non_finite_values_are_refused_with_the_parameter(tmp_path, family_paths):
    base, models = family_paths
    broken = arrays(2)
    broken["layer.weight"][3, 4] = np.nan
    preflight = check(base, [*models, write(tmp_path, "broken", broken)])
    (finding,) = preflight.findings
    assert (finding.rule, finding.about) == ("non-finite", "broken")
    assert "1 parameter(s), first 'layer.weight'" in finding.message
    assert preflight.usable == ["a", "b", "c"]
    assert "broken" not in preflight.relative_norms


def test_infinities_on_both_sides_are_found_without_a_warning(tmp_path):
    broken = arrays(0)
    broken["layer.weight"][0] = np.inf  # infinity minus infinity
    base = write(tmp_path, "base", broken)
    assert rules(check(base, [write(tmp_path, "own", broken)])) == {("error", "non-finite", "base")}


def test_a_base_that_is_not_finite_is_blamed_alone(tmp_path, family_paths):
    broken = arrays(0)
    broken["scale"] = np.array(np.inf, dtype=np.float32)
    preflight = check(write(tmp_path, "broken", broken), family_paths[1])
    assert rules(preflight) == {("error", "non-finite", "base")}
    assert preflight.usable == []


def test_deltas_that_vanish_in_16_bits(tmp_path):
    def low(seed, size):
        return {
            k: v.astype(ml_dtypes.bfloat16) if v.dtype.kind == "f" else v
            for k, v in arrays(seed, size).items()
        }

    base = write(tmp_path, "base", low(0, 0))
    faint, strong = write(tmp_path, "faint", low(1, 1e-3)), write(tmp_path, "strong", low(2, 0.1))
    preflight = check(base, [faint, strong])
    assert rules(preflight) == {("warning", "vanished deltas", "faint")}
    assert "storage as bfloat16 rounded" in preflight.findings[0].message


def test_dtypes_shared_heads_and_ties_are_told(tmp_path):
    import torch

    base = arrays(0)
    base["classifier.weight"] = np.ones((2, 12), dtype=np.float32)
    path = write(tmp_path, "base", base)
    half = {k: v.astype(np.float16) if v.dtype.kind == "f" else v for k, v in arrays(1).items()}
    half["classifier.weight"] = np.full((2, 12), 2, dtype=np.float16)
    tensors = {k: torch.from_numpy(np.array(v)) for k, v in half.items()}
    tensors["classifier.copy"] = tensors["classifier.weight"]
    torch.save(tensors, tmp_path / "m.pt")
    found = rules(check(path, [tmp_path / "m.pt"], strict=False))
    assert ("warning", "dtype", "m") in found
    assert ("note", "tied", "m") in found


def test_a_quantized_model_is_told_what_it_loses(tmp_path):
    quantized = arrays(1)
    quantized["layer.weight"] = np.zeros(quantized["layer.weight"].shape, dtype=np.int8)
    preflight = check(write(tmp_path, "base", arrays(0)), [write(tmp_path, "quantized", quantized)])
    assert rules(preflight) == {("warning", "integers", "quantized")}
    assert "1 parameter(s) as integers" in preflight.findings[0].message


def test_shared_heads_are_noted(tmp_path):
    def with_head(seed):
        return {**arrays(seed), "head.weight": np.full((2, 3), seed, dtype=np.float32)}

    found = check(write(tmp_path, "base", with_head(0)), [write(tmp_path, "a", with_head(1))])
    assert ("note", "shared head", "family") in rules(found)


def test_unreadable_and_mismatching_models_are_listed_with_the_rest_checked(tmp_path, family_paths):
    base, models = family_paths
    (tmp_path / "bad.safetensors").write_bytes(b"junk" * 20)
    short = arrays(1)
    short.pop("layer.bias")
    odd = write(tmp_path, "odd", short)
    preflight = check(base, [*models, tmp_path / "bad.safetensors", odd])
    assert rules(preflight) == {("error", "unreadable", "bad"), ("error", "mismatch", "odd")}
    assert preflight.usable == ["a", "b", "c"]
    with pytest.raises(FamilyError, match="none usable"):
        check(base, [odd])
