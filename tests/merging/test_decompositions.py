import numpy as np
import pytest
import torch

from mergecast.merging import decompositions
from mergecast.merging.decompositions import Decompositions, plain_svd, remembered
from mergecast.merging.stand_ins import merge_alone
from mergecast.testing.tiny import tiny_family

SPECTRAL = ("iso_cts", "isotropic", "tsv")


@pytest.mark.parametrize("partner", ["base", "scrambled"])
@pytest.mark.parametrize("method", SPECTRAL)
def test_sharing_decompositions_changes_no_merge(tmp_path, method, partner):
    family = tiny_family(tmp_path)
    plain = merge_alone(family, "a", method, partner=partner)
    with remembered(Decompositions()):
        for other in SPECTRAL:
            merge_alone(family, "a", other)
        shared = merge_alone(family, "a", method, partner=partner)
    for name, value in plain.items():
        assert torch.equal(shared[name], value)


def test_a_task_matrix_is_decomposed_once_for_all_methods_and_draws(tmp_path, monkeypatch):
    family = tiny_family(tmp_path)
    delta = torch.from_numpy(family.subset(["a"]).block("up.weight").delta(0))
    met = []

    def counting(matrix):
        met.append(matrix.clone())
        return plain_svd(matrix)

    monkeypatch.setattr(decompositions, "plain_svd", counting)
    with remembered(Decompositions()):
        for partner in ("base", "scrambled"):
            for draw in range(3):
                merge_alone(family, "a", "tsv", partner=partner, draw=draw)
    assert sum(m.shape == delta.shape and torch.equal(m, delta) for m in met) == 1


def test_the_budget_bounds_what_is_kept(monkeypatch):
    monkeypatch.setattr(decompositions, "BUDGET", 1)
    matrix = np.eye(3, dtype=np.float32)
    found = Decompositions()
    found.expect(matrix)
    found.svd(torch.from_numpy(matrix))
    assert not found._known


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("failures", [1, 2])
def test_a_decomposition_that_does_not_converge_is_made_another_way(monkeypatch, failures, said):
    """LAPACK says so, or returns NaN in the vectors, as it did of a ViT's scrambled update."""
    whole = torch.linalg.svd
    left = [failures]

    def failing(*arguments, **options):
        if left[0]:
            left[0] -= 1
            if said:
                raise torch.linalg.LinAlgError("did not converge")
            u, s, vh = whole(*arguments, **options)
            return u * torch.nan, s, vh
        return whole(*arguments, **options)

    matrix = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(torch.linalg, "svd", failing)
    u, s, vh = plain_svd(matrix)
    assert {part.dtype for part in (u, s, vh)} == {torch.float32}
    torch.testing.assert_close((u * s) @ vh, matrix)
