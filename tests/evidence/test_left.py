"""What merges leave of their members, read from weights."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mergecast.errors import UndefinedError
from mergecast.evidence import MergeSettings
from mergecast.evidence.retention.left import left_in
from mergecast.evidence.retention.merges import alone_left
from mergecast.evidence.retention.together import left_together, together, together_and_left
from mergecast.evidence.superposition.lefts import Lefts, left_of
from mergecast.evidence.superposition.shifts import Left
from mergecast.family import Family
from mergecast.merging import METHODS, merge, merging_method
from mergecast.merging import run as merging_run
from mergecast.tasks.probe import Probe
from mergecast.testing.tiny import tiny_family
from tiny_models import of_one_kind, tiny_session

METHODS_HERE = ("weight_avg", "task_arithmetic", "ties", "tsv", "model_stock")


@pytest.fixture
def session(tmp_path):
    with tiny_session(tmp_path, merges=MergeSettings(samples=12, methods=METHODS_HERE)) as session:
        yield session


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3))
def test_a_sum_of_task_vectors_and_a_rest_of_its_own_is_taken_apart(tmp_path_factory, shares):
    family = tiny_family(tmp_path_factory.mktemp("family"), "abc")
    merged = {}
    draw = np.random.default_rng(0)
    blocks = {block.name: block for block in family.blocks()}
    vectors = np.stack(
        [np.concatenate([b.deltas[i].ravel() for b in blocks.values()]) for i in range(3)]
    )
    rest = draw.standard_normal(vectors.shape[1])
    rest -= np.linalg.lstsq(vectors.T, rest, rcond=None)[0] @ vectors
    start = 0
    for name, block in blocks.items():
        here = np.tensordot(shares, block.deltas, 1).ravel() + rest[start : start + block.size]
        merged[name] = torch.from_numpy(block.base.astype("float64") + here.reshape(block.shape))
        start += block.size
    found = left_in(family, merged)
    assert [found[label] for label in "abc"] == pytest.approx(shares, abs=1e-4)


def test_averages_leave_an_equal_share_sums_their_strength_and_others_less_than_alone(session):
    def left(method, members="abc"):
        found = left_together(session, tuple(members), method)
        return [found[label] for label in members]

    assert left("weight_avg") == pytest.approx([1 / 3] * 3, abs=1e-5)
    assert left("task_arithmetic") == pytest.approx([0.3] * 3, abs=1e-5)
    assert left("ties", "ab") == [pytest.approx(x) for x in left("ties", "ba")[::-1]]
    for method in ("ties", "tsv"):
        alone = [alone_left(session, label, method) for label in "abc"]
        assert sum(left(method)) < 0.95 * sum(alone), method
    assert [alone_left(session, x, "weight_avg") for x in "abc"] == pytest.approx([0.5] * 3)


def test_equal_models_share_what_is_left(tmp_path):
    family = tiny_family(tmp_path, "ab")
    twin = Family.open(
        tmp_path / "base.safetensors", dict.fromkeys("xy", tmp_path / "a.safetensors")
    )
    assert left_in(twin, merge(twin, "weight_avg")) == pytest.approx({"x": 0.5, "y": 0.5})
    assert left_in(family.subset(["a"]), merge(family, "weight_avg", members="a"))[
        "a"
    ] == pytest.approx(1)


def test_half_precision_and_statistics_of_batchnorm_do_not_matter(tmp_path):
    family = tiny_family(tmp_path, "ab", batchnorm=True)
    merged = merge(family, "task_arithmetic")
    spoilt = {
        name: value + 100 if "running" in name else value.bfloat16()
        for name, value in merged.items()
    }
    assert any("running" in name for name in merged)
    assert left_in(family, spoilt) == pytest.approx(left_in(family, merged), abs=0.02)


def test_a_merge_is_made_once_for_what_is_kept_and_left_and_not_again(session, monkeypatch):
    made = []

    def counted(*words, **options):
        made.append(words)
        return merging_run.merge(*words, **options)

    monkeypatch.setattr("mergecast.evidence.retention.together.merge", counted)
    kept, left = together_and_left(session, ("a", "b", "c"), "ties")
    assert len(made) == 1
    monkeypatch.setattr(Probe, "forward", None)  # from here on nothing is run
    assert together_and_left(session, ("a", "b", "c"), "ties") == (kept, left)
    assert together(session, ("a", "b", "c"), "ties") == kept
    assert left_together(session, ("a", "b", "c"), "ties") == left
    assert len(made) == 1
    # What is left needs no samples.
    assert {*left_together(session, ("a", "b"), "ties")} == {*"ab"}


def test_a_merge_that_fails_leaves_nothing_to_read(session):
    def refuses(block):
        raise UndefinedError(block.name, "has no such thing")

    with METHODS.isolated():
        merging_method("left_test_refuses", reference="a test")(refuses)
        session.merges = MergeSettings(samples=12, methods=("left_test_refuses",))
        kept, left = together_and_left(session, ("a", "b"), "left_test_refuses")
        assert left == {}
        assert "has no such thing" in kept["a"].missing["expected_unlabelled"]
        with pytest.raises(UndefinedError, match="no such thing"):
            alone_left(session, "a", "left_test_refuses")
        merges = {(("a", "b"), "left_test_refuses"): {"a": 0.5, "b": 0.5}}
        found = Lefts.of(session, of_one_kind("abc"), merges, Left(2 / 3))
    assert found.beside("left_test_refuses", "ab") == dict.fromkeys("abc", Left(2 / 3))


def test_what_is_left_beside_others_is_a_multiple_of_what_is_left_alone_or_itself():
    assert left_of([(0.5, 0.25), (0.5, 0.35)]) == Left(0.6)
    assert left_of([(1e-4, 0.25), (-1e-4, 0.35)]) == Left(0.0, 0.3)


def test_of_models_of_several_kinds_merges_of_the_same_kinds_tell_it_first(session):
    kinds = {"a": "a", "b": "b", "c": "b"}
    merges = {
        (("a", "b"), "weight_avg"): {"a": 0.1, "b": 0.4},
        (("b", "c"), "weight_avg"): {"b": 0.2, "c": 0.3},
    }
    lefts = Lefts.of(session, kinds, merges, Left())
    assert lefts.beside("weight_avg", "ac") == {"a": Left(0.2), "b": Left(0.8), "c": Left(0.8)}
    assert lefts.beside("weight_avg", "bc")["c"] == Left(0.5)
    # Of compositions that were not merged, all merges tell it; of other methods none.
    assert lefts.among("weight_avg", ("a", "b", "b")) == dict.fromkeys("abc", Left(0.5))
    assert lefts.beside("ties", "ab") == dict.fromkeys("abc", Left())
