"""Stages of stored computations: what a stored number was made by, as a part of its key.

Every computation whose results are kept declares a `Stage` beside its code. The stage's version
is raised by hand whenever a change of the code may change a number; what *uses* a stage carries
its version along, so that a change is missed by exactly what depends on it. A test compares the
code of every stage with the code that its version was declared for (``tests/stages.json``), so
that a version cannot be forgotten.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType


@dataclass(frozen=True)
class Stage:
    """One step of a stored computation.

    Attributes
    ----------
    name : str
        What the step is called in keys and tables.
    version : int
        Raised when a change of the code may change a number.
    uses : tuple of Stage
        The steps whose results go into this one's.
    modules : tuple of str
        Where its code is; a test says when it changed and the version did not.
    functions : callable, or None
        Gives functions whose code counts as it is now, before anyone raises the version: those
        that people write and edit most, such as forms and merging kernels.

    Examples
    --------
    >>> read = Stage("read", 2)
    >>> Stage("mean", uses=(read,)).versions()
    {'mean': 1, 'read': 2}
    """

    name: str
    version: int = 1
    uses: tuple[Stage, ...] = ()
    modules: tuple[str, ...] = ()
    functions: Callable[[], Iterable[Callable[..., object]]] | None = None

    @property
    def key(self) -> dict[str, object]:
        """What a stored unit's spec holds of it: plain data, the stages it uses included."""
        key: dict[str, object] = {"name": self.name, "version": self.version}
        if self.functions is not None:
            digests = " ".join(map(code_digest, self.functions()))
            key["code"] = hashlib.sha256(digests.encode()).hexdigest()
        if self.uses:
            key["uses"] = [stage.key for stage in sorted(self.uses, key=lambda one: one.name)]
        return key

    def with_uses(self, *more: Stage) -> Stage:
        """The same stage that uses others beside its own."""
        return replace(self, uses=(*self.uses, *more))

    def versions(self) -> dict[str, int]:
        """Name to version of the stage and of all that it uses, however far down."""
        versions = {self.name: self.version}
        for stage in self.uses:
            versions |= stage.versions()
        return dict(sorted(versions.items()))


@cache
def code_digest(function: Callable[..., object] | ModuleType) -> str:
    """SHA-256 (hex) of the code of a function, class or module.

    Comments, docstrings and layout do not count. Empty where there is no source to read,
    as for a function typed into an interpreter.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return ""
    return tree_digest(tree)


def tree_digest(*trees: ast.AST) -> str:
    """SHA-256 (hex) of parsed code without its docstrings, alike in all versions of Python."""
    return hashlib.sha256(repr([_plain(tree) for tree in trees]).encode()).hexdigest()


def _plain(value: object) -> object:
    """A node as nested lists of what is set in it: later versions of Python add empty fields."""
    if isinstance(value, list):
        return [_plain(item) for item in value if not _is_text(item)]
    if not isinstance(value, ast.AST):
        return value
    fields = [(name, _plain(part)) for name, part in ast.iter_fields(value)]
    return [
        type(value).__name__,
        *((name, part) for name, part in fields if part not in ([], None)),
    ]


def _is_text(statement: object) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
