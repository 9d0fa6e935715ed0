"""What a merging method is: a function of one block, with typed and bounded parameters."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from mergecast.errors import UsageError
from mergecast.registry import Registry
from mergecast.runtime.stage import Stage

if TYPE_CHECKING:
    import torch
    from pydantic import BaseModel


@dataclass(frozen=True)
class TensorBlock:
    """One parameter, as a merging method sees it.

    Attributes
    ----------
    name : str
        The parameter.
    base : torch.Tensor
        The base's values, any shape, float32 or float64.
    deltas : torch.Tensor
        Shape ``(N, *base.shape)``: every member's difference from the base.
    members : tuple of str
        Labels of the N members; their order decides nothing but float rounding.
    seed : int
        The run's seed; use `generator` for random numbers.
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
    name : str
        What users call it.
    kernel : callable
        ``(block, **parameters) -> merged delta`` of the block's shape, to be added to the base.
    reference : str
        The paper or code it implements.
    max_members : int or None
        The most members it takes; None for any number.
    version : int
        Raised when a change of the kernel, or of what it calls, may change a number.
    """

    name: str
    kernel: Kernel
    reference: str
    max_members: int | None = None
    version: int = 1

    @property
    def package(self) -> str:
        """The package that its kernel comes from."""
        return self.kernel.__module__.partition(".")[0]

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
        return {name: default for name, (_, default) in _parameters(self.kernel).items()}

    @property
    def options(self) -> list[str]:
        """``parameter=default``, with the other values where there is a choice of words."""
        options = []
        for name, field in _parameter_model(self.kernel).model_fields.items():
            value = str(field.default)
            others = [str(one) for one in get_args(field.annotation) if one != field.default]
            more = f" (or {', '.join(others)})" if others else ""
            options.append(f"{name}={value.lower() if value in ('True', 'False') else value}{more}")
        return options

    def validate(self, parameters: Mapping[str, object] | None = None) -> dict[str, Any]:
        """All parameters with defaults filled in; raises UsageError naming a wrong one."""
        from pydantic import ValidationError

        given = dict(parameters or {})
        defaults = self.defaults
        for name in given:
            if name not in defaults:
                raise UsageError.unknown(f"parameter of {self.name}", name, defaults)
            if isinstance(given[name], bool) and not isinstance(defaults[name], bool):
                # pydantic would take it for 0 or 1
                raise UsageError(
                    f"parameter {name!r} of {self.name}",
                    f"is {given[name]}",
                    f"give a value such as {defaults[name]!r}",
                )
        try:
            return _parameter_model(self.kernel)(**given).model_dump()
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


METHODS: Registry[MergingMethod] = Registry(
    "merging method", MergingMethod, modules=("mergecast.merging.methods.*",)
)


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
        method = MergingMethod(name, kernel, reference, max_members, version)
        _parameters(kernel)
        METHODS.add(name, method, module=kernel.__module__)
        return kernel

    return register


@cache
def _parameters(kernel: Kernel) -> dict[str, tuple[object, object]]:
    """Annotation and default of every parameter after the block; raises UsageError without."""
    _, *parameters = inspect.signature(kernel).parameters.values()
    for parameter in parameters:
        for what in ("default", "annotation"):
            if getattr(parameter, what) is inspect.Parameter.empty:
                raise _bad_parameter(kernel, parameter.name, f"has no {what}")
    return {one.name: (one.annotation, one.default) for one in parameters}


@cache
def _parameter_model(kernel: Kernel) -> type[BaseModel]:
    """What parameters are validated by.

    Of annotations that are text only those of parameters are read: what a kernel returns may be
    a type that is imported for type checkers alone.
    """
    from pydantic import ConfigDict, create_model

    names = inspect.unwrap(kernel).__globals__
    fields: dict[str, Any] = {}
    for name, (kind, default) in _parameters(kernel).items():
        try:
            fields[name] = (eval(kind, names) if isinstance(kind, str) else kind, default)
        except NameError as error:
            raise _bad_parameter(kernel, name, f"is annotated {kind!r}, but {error}") from error
    config = ConfigDict(extra="forbid", allow_inf_nan=False, validate_default=True)
    return create_model(kernel.__name__, __config__=config, **fields)


def _bad_parameter(kernel: Kernel, name: str, problem: str) -> UsageError:
    return UsageError(
        f"merging method kernel {kernel.__name__!r} of {kernel.__module__}",
        f"parameter {name!r} {problem}",
        "give every parameter a default and an annotation of names that its module imports",
    )
