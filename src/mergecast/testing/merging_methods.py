"""The laws of a merging method: what every kernel does, whatever it does to weights."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mergecast.merging.method import METHODS, MergingMethod, TensorBlock
from mergecast.testing.check import Laws, expect

if TYPE_CHECKING:
    import torch

_SHAPES = ((8, 5), (5, 8), (7,), (), (4, 3, 2, 2), (1, 6), (2, 2))
_MEMBERS = "abcdefgh"


def check_merging_method(name: str) -> None:
    """Run every common test of a merging method.

    Parameters
    ----------
    name : str
        What it is registered as.

    Raises
    ------
    AssertionError
        It breaks a law; the message says which and how.
    UsageError
        No such method.

    Examples
    --------
    >>> check_merging_method("ties")
    """
    for check in LAWS.of(name, METHODS.get(name)):
        check()


def it_says_where_it_is_from(method: MergingMethod) -> None:
    """A reference, and one line that says what it does."""
    expect(bool(method.reference), "has no reference")
    expect(bool(method.summary), "its kernel has no docstring")


def its_defaults_are_valid(method: MergingMethod) -> None:
    """Defaults pass the validation that users' values have to pass."""
    given = method.validate()
    expect(given == method.defaults, f"its defaults become {given}")


def it_takes_any_shape_and_number_of_members(method: MergingMethod) -> None:
    """The result is a finite delta of the block's shape and dtype."""
    import torch

    for count in _counts(method):
        for shape in _SHAPES:
            for dtype in (torch.float32, torch.float64):
                block = random_block(count, shape, dtype=dtype)
                merged = _merge(method, block)
                what = f"{count} × {shape} in {dtype}"
                expect(merged.shape == shape, f"{what} became {tuple(merged.shape)}")
                expect(bool(merged.isfinite().all()), f"{what} became NaN or infinity")
                expect(merged.dtype == dtype, f"{what} became {merged.dtype}")


def the_order_of_members_does_not_matter(method: MergingMethod) -> None:
    """Labels move with their deltas, since masks follow labels."""
    import torch

    counts = _counts(method)
    for seed in range(16):
        count = counts[-1 - seed % len(counts)]
        block = random_block(count, (6, 4), seed, torch.float64)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
        labels = tuple(block.members[i] for i in order)
        shuffled = TensorBlock(block.name, block.base, block.deltas[order], labels)
        _expect_close(_merge(method, shuffled), _merge(method, block), f"in the order {order}")
        if method.weights != "none":
            weights = torch.linspace(0.5, 2, count).tolist()
            weighted = replace(block, given=tuple(weights))
            shuffled = replace(shuffled, given=tuple(weights[i] for i in order))
            _expect_close(_merge(method, shuffled), _merge(method, weighted), f"weighted, {order}")


def weights_count_if_it_says_so(method: MergingMethod) -> None:
    """Weights of 1 are none, and others change a merge exactly if the method takes weights."""
    for count in _counts(method):
        block = random_block(count, (6, 4))
        plain = _merge(method, block)
        ones = _merge(method, replace(block, given=(1.0,) * count))
        _expect_close(ones, plain, "with weights of 1", atol=1e-6)
    if count > 1:
        other = _merge(method, replace(block, given=tuple(1.0 + i for i in range(count))))
        moved, takes = bool((other != plain).any()), method.weights != "none"
        expect(moved == takes, f"weights {'move' if moved else 'do not move'} it")


def the_seed_matters_if_it_says_so(method: MergingMethod) -> None:
    """Another seed gives another merge exactly if the method is declared random."""
    block = random_block(max(_counts(method)), (16, 10))
    moved = bool((_merge(method, block) != _merge(method, replace(block, seed=1))).any())
    expect(moved == method.random, f"the seed {'moves' if moved else 'does not move'} it")


def models_equal_to_the_base_leave_it_as_it_is(method: MergingMethod) -> None:
    """Task vectors of zero merge into zero."""
    import torch

    for shape in _SHAPES:
        count = min(max(2, method.min_members), max(_counts(method)))
        block = random_block(count, shape, dtype=torch.float64)
        nothing = TensorBlock(block.name, block.base, block.deltas * 0, block.members)
        merged = _merge(method, nothing)
        _expect_close(merged, torch.zeros_like(merged), f"shape {shape}")


def it_gives_the_same_bits_each_time(method: MergingMethod) -> None:
    """Randomness comes from the block's generators alone."""
    import torch

    block = random_block(max(_counts(method)), (8, 5))
    torch.manual_seed(0)
    first = _merge(method, block)
    torch.manual_seed(1)
    expect(torch.equal(first, _merge(method, block)), "two runs differ")


def it_alters_nothing_that_it_is_given(method: MergingMethod) -> None:
    """Base and deltas are other merges' input as well."""
    import torch

    for shape in _SHAPES:
        block = random_block(max(_counts(method)), shape)
        base, deltas = block.base.clone(), block.deltas.clone()
        _merge(method, block)
        same = torch.equal(base, block.base) and torch.equal(deltas, block.deltas)
        expect(same, f"it wrote into its input of shape {shape}")


LAWS: Laws[MergingMethod, MergingMethod] = Laws(
    METHODS,
    (
        it_says_where_it_is_from,
        its_defaults_are_valid,
        it_takes_any_shape_and_number_of_members,
        the_order_of_members_does_not_matter,
        weights_count_if_it_says_so,
        the_seed_matters_if_it_says_so,
        models_equal_to_the_base_leave_it_as_it_is,
        it_gives_the_same_bits_each_time,
        it_alters_nothing_that_it_is_given,
    ),
    lambda method: method,
)


def random_block(
    count: int, shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype | None = None
) -> TensorBlock:
    """A parameter of standard normal values and `count` members a tenth of that away."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(shape, generator=generator, dtype=dtype)
    deltas = 0.1 * torch.randn((count, *shape), generator=generator, dtype=dtype)
    return TensorBlock("w", base, deltas, tuple(_MEMBERS[:count]))


def _counts(method: MergingMethod) -> list[int]:
    most = method.max_members
    counts = (count for count in (1, 2, 3, 5) if most is None or count <= most)
    return [count for count in counts if count >= method.min_members]


def _merge(method: MergingMethod, block: TensorBlock) -> torch.Tensor:
    import torch

    if method.evidence is not None:
        block = replace(block, evidence=_evidence(block, method.evidence))
    merged = method.kernel(block, **method.validate())
    expect(isinstance(merged, torch.Tensor), f"it returned {type(merged).__name__}, no tensor")
    return merged


def _expect_close(
    result: torch.Tensor, wanted: torch.Tensor, where: str, atol: float = 1e-9
) -> None:
    import torch

    expect(
        torch.allclose(result, wanted, atol=atol, rtol=1e-7),
        f"{where} it differs by up to {float((result - wanted).abs().max()):.3g}",
    )


def _evidence(block: TensorBlock, kind: str) -> tuple[torch.Tensor, ...] | None:
    """Of each member something of its own, by its label."""
    import torch

    shape = block.base.shape
    if kind == "inputs" and len(shape) < 2:
        return None
    known = []
    for label in block.members:
        generator = torch.Generator().manual_seed(ord(label))
        if kind == "fisher":
            known.append(torch.rand(shape, generator=generator).to(block.base.dtype))
            continue
        inputs = torch.randn((9, shape[1:].numel()), generator=generator, dtype=torch.float64)
        known.append((inputs.mT @ inputs).to(block.base.dtype))
    return tuple(known)
