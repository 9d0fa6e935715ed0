"""How samples go through a model in less time: no padding that needs none, oneDNN's products.

Texts are padded to the longest of all samples. In batches of like length most of that can be cut
off, where a model's answers do not depend on it. Products of wide layers are several times faster
by oneDNN than by MKL on processors that MKL was not made for, and as fast on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mergecast.errors import MergecastError
from mergecast.runtime.stage import Stage
from mergecast.tasks.task import Samples

#: What changes the last bits of the answers to padded samples, and of those of wide layers.
BATCHES = Stage("batches", 1, modules=("mergecast.tasks.batches",))
#: Weights from which on a layer is wide.
WIDE = 1 << 16
#: What a model may be given of each token.
_OF_TOKENS = {"input_ids", "attention_mask", "token_type_ids", "position_ids"}
#: The share of tokens that cutting must save to be worth a look at whether it may be done.
_SAVED = 0.1
#: Two answers that differ by less, relative to the largest number in them, differ by rounding.
_ROUNDING = 1e-4

#: Modules that were tried without padding: whether they answered the same, and on how few tokens.
_TRIED: WeakKeyDictionary[nn.Module, tuple[bool, int]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Lengths:
    """How far each sample reaches: (n,), the place of its last token that is no padding."""

    longest: int
    of_each: Tensor

    @classmethod
    def of(cls, samples: Samples) -> Lengths | None:
        """Of samples whose inputs can be cut; None where nothing says, or there is no padding."""
        mask = samples.inputs.get("attention_mask")
        if mask is None or mask.dim() != 2:
            return None
        longest = mask.shape[1]
        for name, value in samples.inputs.items():
            if name not in _OF_TOKENS and value.dim() > 1 and value.shape[1] == longest:
                return None
        places = torch.arange(1, longest + 1) * mask.cpu().bool()
        of_each = places.amax(dim=1) if longest else places.sum(dim=1)
        return cls(longest, of_each) if bool((of_each < longest).any()) else None

    def batches(self, size: int) -> list[tuple[Tensor, int]]:
        """Rows of each batch of at most `size` samples, and how far they reach; shortest first."""
        order = self.of_each.argsort(stable=True)
        parts = [order[start : start + size] for start in range(0, len(order), size)]
        return [(rows, int(self.of_each[rows].max())) for rows in parts]

    def saves(self, size: int) -> bool:
        """Whether cutting batches is worth it."""
        left = sum(len(rows) * length for rows, length in self.batches(size))
        return left < (1 - _SAVED) * self.longest * len(self.of_each)


def answers(
    forward: Callable[[Samples], Tensor], samples: Samples, size: int, module: nn.Module
) -> Iterator[tuple[Tensor, Tensor]]:
    """Places and answers of batches of at most `size` samples, as if none had been cut.

    Parameters
    ----------
    forward : callable
        Samples to answers, first dimension theirs.
    samples : Samples
        Whose padding is cut where it costs much and the shortest sample answers the same without.
    size : int
        Samples run at once.
    module : Module
        What answers: whether it looks at padding is tried once.
    """
    lengths = Lengths.of(samples)
    if lengths is None or not lengths.saves(size) or not _blind(forward, samples, lengths, module):
        start = 0
        for batch in samples.batches(size):
            yield torch.arange(start, start := start + len(batch)), forward(batch).cpu()
        return
    for rows, length in lengths.batches(size):
        given = forward(cut(samples, rows.tolist(), length)).cpu()
        yield rows, _padded(given, length, lengths.longest)


def cut(samples: Samples, rows: Sequence[int], length: int) -> Samples:
    """Some samples, with their first tokens only; labels are left out."""
    inputs = {
        name: value[rows][:, :length] if name in _OF_TOKENS else value[rows]
        for name, value in samples.inputs.items()
    }
    return Samples(inputs, None, tuple(samples.ids[row] for row in rows))


def _blind(
    forward: Callable[[Samples], Tensor], samples: Samples, lengths: Lengths, module: nn.Module
) -> bool:
    """Whether a module does not look at padding, also of a text as short as the shortest."""
    shortest = int(lengths.of_each.min())
    alike, tried = _TRIED.get(module, (True, lengths.longest))
    if alike and shortest < tried:
        alike = _answers_alike(forward, samples, lengths)
        _TRIED[module] = (alike, shortest)
    return alike


def _answers_alike(
    forward: Callable[[Samples], Tensor], samples: Samples, lengths: Lengths
) -> bool:
    """Whether the shortest sample answers the same without its padding."""
    row = int(lengths.of_each.argmin())
    length = int(lengths.of_each[row])
    if not length:
        return False
    try:
        short = forward(cut(samples, [row], length))
    except MergecastError:  # a model of one length only
        return False
    whole = forward(cut(samples, [row], lengths.longest))
    if whole.dim() == 3 and whole.shape[1] == lengths.longest and short.shape[1] == length:
        whole = whole[:, :length]
    if whole.shape != short.shape:
        return False
    room = _ROUNDING * float(whole.abs().max())
    return bool(torch.isfinite(whole).all()) and float((whole - short).abs().max()) <= room


def _padded(answers: Tensor, length: int, longest: int) -> Tensor:
    """Answers about tokens with zeros for those that were cut off; others as they are."""
    if answers.dim() < 3 or answers.shape[1] != length or length == longest:
        return answers
    return torch.nn.functional.pad(answers, (0, 0, 0, longest - length))


class OneDNN(TorchFunctionMode):
    """Inside it wide layers in float32 on the CPU multiply by oneDNN; not for gradients."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """A function of torch, or oneDNN's in its place."""
        del types
        if func is torch.nn.functional.linear and not kwargs and _fits(*args[:2]):
            bias = args[2] if len(args) > 2 else None
            return torch.ops.mkldnn._linear_pointwise(*args[:2], bias, "none", [], "")
        return func(*args, **(kwargs or {}))


def products_of(weights: Iterable[Tensor]) -> AbstractContextManager[object]:
    """How a model's layers multiply: by oneDNN, where torch has it and some are wide."""
    there = hasattr(torch.ops.mkldnn, "_linear_pointwise")
    if there and not torch.is_grad_enabled() and any(map(_is_wide, weights)):
        return OneDNN()
    return nullcontext()


def _fits(inputs: Tensor, weight: Tensor) -> bool:
    alike = inputs.dtype == weight.dtype and inputs.device == weight.device
    return alike and _is_wide(weight) and inputs.dim() > 1 and inputs.numel() > 0


def _is_wide(weight: Tensor) -> bool:
    return (
        weight.dim() == 2
        and weight.numel() >= WIDE
        and weight.dtype == torch.float32
        and weight.device.type == "cpu"
    )
