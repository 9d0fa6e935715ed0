"""The typed, bounded parameters of a merging kernel, read from its signature."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

from mergecast.errors import UsageError
from mergecast.merging.recipe_text import written

if TYPE_CHECKING:
    from pydantic import BaseModel

T = TypeVar("T")
#: The annotation of a parameter that may have a value of its own for every member, by label.
Each: TypeAlias = T | Mapping[str, T]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel.

    Attributes
    ----------
    name : str
        What users call it.
    kind : object
        Annotation of one value.
    default : object
        Its value where none is given.
    each : bool
        Whether members may have values of their own.
    """

    name: str
    kind: object
    default: Any
    each: bool

    @property
    def choices(self) -> list[str]:
        """The values that a word or flag may have beside its default, as people write them."""
        return [text for text in map(written, _values(self.kind)) if text != written(self.default)]


@cache
def parameters_of(kernel: Callable[..., Any]) -> dict[str, Parameter]:
    """Every parameter after the block, by name, in order.

    Of annotations that are text only those of parameters are read: what a kernel returns may be
    a type that is imported for type checkers alone.

    Raises
    ------
    UsageError
        One has no default, or an annotation of names that its module does not have.
    """
    names = inspect.unwrap(kernel).__globals__
    found = {}
    for name, (kind, default) in signature_of(kernel).items():
        try:
            annotation = eval(kind, names) if isinstance(kind, str) else kind
        except NameError as error:
            raise _bad_parameter(kernel, name, f"is annotated {kind!r}, but {error}") from error
        one, each = _one_value(annotation)
        found[name] = Parameter(name, one, default, each)
    return found


@cache
def signature_of(kernel: Callable[..., Any]) -> dict[str, tuple[object, Any]]:
    """Annotation and default of every parameter after the block; raises UsageError without."""
    _, *parameters = inspect.signature(kernel).parameters.values()
    for parameter in parameters:
        for what in ("default", "annotation"):
            if getattr(parameter, what) is inspect.Parameter.empty:
                raise _bad_parameter(kernel, parameter.name, f"has no {what}")
    return {one.name: (one.annotation, one.default) for one in parameters}


def validated(
    method: str, kernel: Callable[..., Any], given: Mapping[str, object] | None
) -> dict[str, Any]:
    """All parameters in the kernel's order, defaults filled in; UsageError names a wrong one."""
    known = parameters_of(kernel)
    plain: dict[str, object] = {}
    by_member: dict[str, dict[str, Any]] = {}
    for name, value in (given or {}).items():
        if name not in known:
            raise UsageError.unknown(f"parameter of {method}", name, known)
        if known[name].each and isinstance(value, Mapping):
            if not value:
                raise UsageError(
                    f"parameter {name!r} of {method}", "names no model", "give a number"
                )
            by_member[name] = {
                str(label): _checked(f"{method} for {str(label)!r}", kernel, {name: one})[name]
                for label, one in value.items()
            }
        else:
            plain[name] = value
    full = _checked(method, kernel, plain) | {
        name: dict(sorted(values.items())) for name, values in by_member.items()
    }
    return {name: full[name] for name in known}


def _checked(
    method: str, kernel: Callable[..., Any], given: Mapping[str, object]
) -> dict[str, Any]:
    """Single values with defaults filled in."""
    from pydantic import ValidationError

    known = parameters_of(kernel)
    for name, value in given.items():
        if isinstance(value, bool) and bool not in _alternatives(known[name].kind):
            # pydantic would take it for 0 or 1
            raise UsageError(
                f"parameter {name!r} of {method}",
                f"is {value}",
                f"give a value such as {known[name].default!r}",
            )
    try:
        return _model(kernel)(**given).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        others = known[name].choices
        remedy = first["msg"]
        if others and len(_alternatives(known[name].kind)) > 1:
            remedy = f"give {', '.join([written(known[name].default), *others])}"
        raise UsageError(
            f"parameter {name!r} of {method}", f"is {first['input']!r}", remedy
        ) from error


@cache
def _model(kernel: Callable[..., Any]) -> type[BaseModel]:
    """What single values are validated by."""
    from pydantic import ConfigDict, create_model

    fields: dict[str, Any] = {
        name: (one.kind, one.default) for name, one in parameters_of(kernel).items()
    }
    config = ConfigDict(extra="forbid", allow_inf_nan=False, validate_default=True)
    return create_model(kernel.__name__, __config__=config, **fields)


def _one_value(annotation: object) -> tuple[object, bool]:
    """The annotation of one value, and whether it was an `Each`."""
    parts = get_args(annotation) if _is_union(annotation) else ()
    mappings = [part for part in parts if get_origin(part) is get_origin(Mapping[str, Any])]
    if not mappings:
        return annotation, False
    return get_args(mappings[0])[1], True


def _alternatives(kind: object) -> tuple[object, ...]:
    return get_args(kind) if _is_union(kind) else (kind,)


def _is_union(kind: object) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _values(kind: object) -> Iterable[object]:
    for part in _alternatives(kind):
        if part is bool:
            yield from (True, False)
        elif get_origin(part) is Literal:
            yield from get_args(part)


def _bad_parameter(kernel: Callable[..., Any], name: str, problem: str) -> UsageError:
    return UsageError(
        f"merging method kernel {kernel.__name__!r} of {kernel.__module__}",
        f"parameter {name!r} {problem}",
        "give every parameter a default and an annotation of names that its module imports",
    )
