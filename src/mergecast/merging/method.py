"""What a merging method is: a function of one block, with typed and bounded parameters."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from mergecast.errors import UsageError
from mergecast.merging.parameters import T, parameters_of, signature_of, validated
from mergecast.merging.recipe_text import written
from mergecast.registry import Registry
from mergecast.runtime.stage import Stage

if TYPE_CHECKING:
    import torch

#: What a method may need to know of the members' tasks.
EvidenceKind: TypeAlias = Literal["inputs", "fisher"]
#: What weights of members a method takes: none, none below zero, or any.
WeightKind: TypeAlias = Literal["none", "positive", "signed"]
#: The built-in methods that evidence is gathered about, and suites may be forecast by, unless
#: others are named. Those of other packages join them.
USUAL = (
    "weight_avg",
    "task_arithmetic",
    "ties",
    "dare",
    "dare_ties",
    "tsv",
    "isotropic",
    "iso_cts",
    "slerp",
)


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
    given : tuple of float or None
        The members' weights where there are any, in their order; see `weights`.
    evidence : tuple of torch.Tensor, or None
        For a method that asks for it, what is known of each member's task about this parameter,
        in their order: the second moment (in, in) of the inputs that a layer's weight reads
        (``inputs``), or the diagonal of the Fisher information, of the parameter's shape
        (``fisher``). None where the parameter has none.
    transposed : bool
        Whether the weight is stored as (in, out); known where there are second moments.
    """

    name: str
    base: torch.Tensor
    deltas: torch.Tensor
    members: tuple[str, ...]
    seed: int = 0
    given: tuple[float, ...] | None = None
    evidence: tuple[torch.Tensor, ...] | None = None
    transposed: bool = False

    @property
    def is_matrix(self) -> bool:
        """Whether the parameter is two-dimensional."""
        return self.base.dim() == 2

    @property
    def weights(self) -> torch.Tensor:
        """Every member's weight, shape (N,), in the deltas' dtype: ones unless some are given."""
        return self.deltas.new_tensor(self.given or [1.0] * len(self.members))

    @property
    def alike(self) -> bool:
        """Whether all members have the same weight, so that a weighted mean is the plain one."""
        return len(set(self.given or (1.0,))) == 1

    def each(self, value: T | Mapping[str, T]) -> list[T]:
        """A parameter's value for every member, in their order, from one value or one a label."""
        if isinstance(value, Mapping):
            return [value[label] for label in self.members]
        return [value] * len(self.members)

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
    min_members : int
        The fewest members it takes.
    weights : {"none", "positive", "signed"}
        What weights of members it takes.
    random : bool
        Whether it draws random numbers, so that the seed matters.
    evidence : {"inputs", "fisher"}, optional
        What it needs to know of the members' tasks; see `TensorBlock`.
    """

    name: str
    kernel: Kernel
    reference: str
    max_members: int | None = None
    version: int = 1
    min_members: int = 1
    weights: WeightKind = "none"
    random: bool = False
    evidence: EvidenceKind | None = None

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
        return {name: default for name, (_, default) in signature_of(self.kernel).items()}

    @property
    def options(self) -> list[str]:
        """``parameter=default``, with the other values where there is a choice of words."""
        options = []
        for one in parameters_of(self.kernel).values():
            more = f" (or {', '.join(one.choices)})" if one.choices else ""
            options.append(f"{one.name}={written(one.default)}{more}")
        return options

    def validate(self, parameters: Mapping[str, object] | None = None) -> dict[str, Any]:
        """All parameters with defaults filled in; raises UsageError naming a wrong one."""
        return validated(self.name, self.kernel, parameters)

    def check_members(self, members: Sequence[str]) -> None:
        """Raise UsageError where this method cannot merge so many models."""
        if self.max_members is not None and len(members) > self.max_members:
            raise UsageError(
                f"method {self.name!r}",
                f"got {len(members)} models, takes at most {self.max_members}",
                "merge fewer models or use another method",
            )
        if len(members) < self.min_members:
            raise UsageError(
                f"method {self.name!r}",
                f"got {len(members)} model, takes at least {self.min_members}",
                "merge more models or use another method",
            )

    def check_evidence(self, given: bool) -> None:
        """Raise UsageError where what it needs to know of the members' tasks is not what it has."""
        if given and self.evidence is None:
            raise UsageError(
                f"method {self.name!r}", "needs no evidence of tasks, got some", "leave it out"
            )
        if not given and self.evidence is not None:
            raise UsageError(
                f"method {self.name!r}",
                f"needs evidence of the models' tasks ({self.evidence}), got none",
                "gather it by merge_evidence or, on the command line, --tasks",
            )


METHODS: Registry[MergingMethod] = Registry(
    "merging method", MergingMethod, modules=("mergecast.merging.methods.*",)
)


def usual_methods() -> list[str]:
    """The methods that evidence is gathered about unless others are named, in their order."""
    own = __name__.partition(".")[0]
    return [name for name in METHODS.names() if name in USUAL or METHODS.package(name) != own]


def merging_method(
    name: str,
    *,
    reference: str,
    max_members: int | None = None,
    version: int = 1,
    min_members: int = 1,
    weights: WeightKind = "none",
    random: bool = False,
    evidence: EvidenceKind | None = None,
) -> Callable[[K], K]:
    """Register a merging method: a decorator of its kernel.

    The kernel's first argument is a `TensorBlock`; its keyword arguments are the method's
    parameters, annotated (with pydantic ``Field`` bounds where they have any) and defaulted.
    Raise `version` when what the kernel calls changes: results kept of the method then count no
    more. A kernel that reads the block's `weights` says so by `weights`, one that draws from its
    `generator` by `random`; a parameter that members may have values of their own of is annotated
    ``Each[float]`` and read by the block's `each`.

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
        method = MergingMethod(
            name, kernel, reference, max_members, version, min_members, weights, random, evidence
        )
        signature_of(kernel)
        METHODS.add(name, method, module=kernel.__module__)
        return kernel

    return register
