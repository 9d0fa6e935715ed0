"""What a merging method is: a function of one block, with typed and bounded parameters."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from mergecast.errors import UsageError
from mergecast.registry import Registry
from mergecast.runtime.stage import Stage

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TensorBlock:
    """One parameter, as a merging method sees it.

    Attributes
    ----------
    name : the parameter.
    base : the base's values, any shape, float32 or float64.
    deltas : shape ``(N, *base.shape)``: every member's difference from the base.
    members : labels of the N members; their order decides nothing but float rounding.
    seed : the run's seed; use `generator` for random numbers.
    """

    name: str
    base: torch.Tensor
    deltas: torch.Tensor
    members: tuple[str, ...]
    seed: int = 0

    @property
    def is_matrix(self) -> bool:
        """Whether the parameter is two-dimensional."""
        return self.base.dim() == 2

    def generator(self, member: str) -> torch.Generator:
        """A random stream of its own for (seed, member, parameter), equal on every device."""
        import torch

        key = f"{self.seed}/{member}/{self.name}".encode()
        state = int.from_bytes(hashlib.sha256(key).digest()[:8], "little") >> 1
        return torch.Generator().manual_seed(state)


Kernel = Callable[..., "torch.Tensor"]
K = TypeVar("K", bound=Kernel)


@dataclass(frozen=True)
class MergingMethod:
    """A registered merging method.

    Attributes
    ----------
    name : what users call it.
    kernel : ``(block, **parameters) -> merged delta`` of the block's shape, to be added to the
        base.
    reference : the paper or code it implements.
    max_members : the most members it takes; None for any number.
    version : raised when a change of the kernel, or of what it calls, may change a number.
    """

    name: str
    kernel: Kernel
    reference: str
    max_members: int | None = None
    version: int = 1
    _model: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def stage(self) -> Stage:
        """What stored merges by it were made by; the kernel's own code counts at once."""
        return Stage(
            f"method {self.name}",
            self.version,
            modules=(self.kernel.__module__,),
            functions=lambda: (self.kernel,),
        )

    @property
    def summary(self) -> str:
        """The first line of the kernel's docstring."""
        return (inspect.getdoc(self.kernel) or "").partition("\n")[0]

    @property
    def defaults(self) -> dict[str, Any]:
        """Parameter names to default values."""
        return {p.name: p.default for p in list(_signature(self.kernel).values())[1:]}

    def validate(self, parameters: Mapping[str, object] | None = None) -> dict[str, Any]:
        """All parameters with defaults filled in; raises UsageError naming a wrong one."""
        from pydantic import ConfigDict, ValidationError, create_model

        given = dict(parameters or {})
        for name in given:
            if name not in self.defaults:
                raise UsageError.unknown(f"parameter of {self.name}", name, self.defaults)
            if isinstance(given[name], bool) and not isinstance(self.defaults[name], bool):
                # pydantic would take it for 0 or 1
                raise UsageError(
                    f"parameter {name!r} of {self.name}",
                    f"is {given[name]}",
                    f"give a value such as {self.defaults[name]!r}",
                )
        if "model" not in self._model:
            fields: dict[str, Any] = {
                p.name: (p.annotation, p.default)
                for p in list(_signature(self.kernel).values())[1:]
            }
            config = ConfigDict(extra="forbid", allow_inf_nan=False)
            self._model["model"] = create_model(self.name, __config__=config, **fields)
        try:
            return dict(self._model["model"](**given).model_dump())
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise UsageError(
                f"parameter {name!r} of {self.name}",
                f"is {first['input']!r}",
                first["msg"],
            ) from error

    def check_members(self, members: Sequence[str]) -> None:
        """Raise UsageError where this method cannot merge so many models."""
        if self.max_members is not None and len(members) > self.max_members:
            raise UsageError(
                f"method {self.name!r}",
                f"got {len(members)} models, takes at most {self.max_members}",
                "merge fewer models or use another method",
            )


METHODS: Registry[MergingMethod] = Registry("merging method")


def merging_method(
    name: str, *, reference: str, max_members: int | None = None, version: int = 1
) -> Callable[[K], K]:
    """Register a merging method: a decorator of its kernel.

    The kernel's first argument is a `TensorBlock`; its keyword arguments are the method's
    parameters, annotated (with pydantic ``Field`` bounds where they have any) and defaulted.
    Raise `version` when what the kernel calls changes: results kept of the method then count no
    more.

    Examples
    --------
    >>> import mergecast as mc
    >>> @mc.merging_method("half_sum", reference="an example")
    ... def half_sum(block, *, scaling: float = 0.5):
    ...     return scaling * block.deltas.sum(0)
    >>> mc.METHODS.get("half_sum").defaults
    {'scaling': 0.5}
    """

    def register(kernel: K) -> K:
        METHODS.add(name, MergingMethod(name, kernel, reference, max_members, version))
        return kernel

    return register


def _signature(kernel: Kernel) -> dict[str, inspect.Parameter]:
    parameters = dict(inspect.signature(kernel, eval_str=True).parameters)
    for parameter in list(parameters.values())[1:]:
        if parameter.default is inspect.Parameter.empty:
            raise UsageError(
                f"merging method kernel {kernel.__name__!r}",
                f"parameter {parameter.name!r} has no default",
                "give every parameter a default",
            )
    return parameters
