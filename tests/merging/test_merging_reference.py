"""Parity with the merged checkpoints that the published code made (../shared/reference)."""

from __future__ import annotations

import numpy as np
import pytest

from mergecast.checkpoints import Checkpoint
from mergecast.family import ParamBlock
from mergecast.merging import METHODS
from mergecast.merging.apply import apply

CASES = [
    (method, members)
    for members in ("ab", "abcd")
    for method in ("weight_avg", "task_arithmetic", "ties", "tsv", "dare")
]


@pytest.mark.parametrize(("method", "members"), CASES)
def test_merged_checkpoints_agree_with_the_published_code(reference, method, members):
    params = {"mask": "magnitude"} if method == "dare" else {}
    suffix = "_magnitude" if method == "dare" else ""
    expected = Checkpoint.open(reference / f"merged_{method}{suffix}_{members}.safetensors")
    base = Checkpoint.open(reference / "base.safetensors")
    checkpoints = {x: Checkpoint.open(reference / f"model_{x}.safetensors") for x in "abcd"}
    kernel = METHODS.get(method)
    for name, info in base.infos.items():
        if not info.is_floating:
            np.testing.assert_array_equal(expected.array(name), base.array(name))
            continue
        models = {x: checkpoint.array(name) for x, checkpoint in checkpoints.items()}
        block = ParamBlock.from_arrays(
            name, base.array(name), np.stack([*map(models.get, members)])
        )
        merged = apply(block, kernel, kernel.validate(params))
        np.testing.assert_allclose(
            merged, expected.array(name), rtol=1e-4, atol=1e-5, err_msg=f"{method} {name}"
        )
