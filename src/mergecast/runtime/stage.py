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
from collections.abc import Callable
from dataclasses import dataclass


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
    code : str
        Digest of a function that is given and not declared here: a form, a merging kernel.
    """

    name: str
    version: int
    uses: tuple[Stage, ...] = ()
    modules: tuple[str, ...] = ()
    code: str = ""

    @property
    def key(self) -> dict[str, object]:
        """What a stored unit's spec holds of it: plain data, the stages it uses included."""
        found: dict[str, object] = {"name": self.name, "version": self.version}
        if self.code:
            found["code"] = self.code
        if self.uses:
            found["uses"] = [one.key for one in sorted(self.uses, key=lambda stage: stage.name)]
        return found

    def with_uses(self, *more: Stage) -> Stage:
        """The same stage that uses others beside its own."""
        return Stage(self.name, self.version, (*self.uses, *more), self.modules, self.code)

    def versions(self) -> dict[str, int]:
        """Name to version of the stage and of all that it uses, however far down."""
        found = {self.name: self.version}
        for one in self.uses:
            found |= one.versions()
        return dict(sorted(found.items()))


def code_digest(function: Callable[..., object]) -> str:
    """SHA-256 (hex) of a function's code: comments, docstrings and layout do not count.

    Empty where there is no source to read, as for a function typed into an interpreter.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return ""
    return tree_digest(tree)


def tree_digest(tree: ast.AST) -> str:
    """SHA-256 (hex) of parsed code without its docstrings."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            del body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
