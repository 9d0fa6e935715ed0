"""What the sections of a numpydoc docstring hold, and whether a type is one.

https://numpydoc.readthedocs.io/en/latest/format.html: under *Parameters* stands ``name : type``,
the description below it and indented. The library itself comes with all of Sphinx.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAMED = ("Attributes", "Parameters")
UNNAMED = ("Raises", "Returns", "Yields")
#: Words of types that are no names of classes; everything else reads as a sentence.
WORDS = frozenset(
    {
        *("bool", "bytes", "dtype", "float", "int", "object", "str", "type"),
        *("array", "array-like", "arrays", "frame", "ndarray", "table", "tables", "tensor"),
        *("collection", "dict", "frozenset", "iterable", "iterator", "list", "mapping"),
        *("pair", "sequence", "set", "tuple", "callable", "generator", "module"),
        *("and", "of", "optional", "or", "shape", "them", "to"),
    }
)
_QUOTED = re.compile(r"\{[^}]*\}|\"[^\"]*\"|``[^`]*``|\((?:[^()]|\([^()]*\))*\)")
_ENTRY = re.compile(r"(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: : (?P<type>.+))?")


@dataclass(frozen=True)
class Docstring:
    """A function's or class's docstring, and the names that it may document."""

    where: str
    text: str
    parameters: frozenset[str]


def docstrings(file: Path, module: str) -> Iterator[Docstring]:
    """Every docstring of a function or class in a file."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            text = ast.get_docstring(node)
            if text:
                yield Docstring(f"{module}.{node.name}", text, frozenset(_parameters(node)))


def problems(docstring: Docstring) -> Iterator[str]:
    """What breaks the grammar, a line each."""
    for section, lines in _sections(docstring.text).items():
        heads = [number for number, line in enumerate(lines) if line and line[0] != " "]
        for number in heads:
            head, below = lines[number], lines[number + 1 : number + 2]
            said = f"{docstring.where}: {section}: {head!r}"
            described = bool(below) and below[0].startswith("    ")
            if section in UNNAMED:
                if not is_type(head.partition(" : ")[2] or head):
                    yield f"{said}: give a type, and the description indented below it"
                elif section == "Raises" and not described:
                    yield f"{said}: say when"
                continue
            entry = _ENTRY.fullmatch(head)
            if entry is None:
                yield f"{said} is no 'name : type'"
            elif entry["type"] is None and not (described and "," in entry["names"]):
                yield f"{said} has no type"
            elif entry["type"] is not None and not is_type(entry["type"]):
                yield f"{said} has a description where its type belongs"
            elif section == "Parameters":
                for name in re.findall(r"\w+", entry["names"]):
                    if docstring.parameters and name not in docstring.parameters:
                        yield f"{said}: there is no parameter {name!r}"


def is_type(text: str) -> bool:
    """Whether a text names types, as ``sequence of str or None``, rather than saying something."""
    plain = _QUOTED.sub(" ", text)
    words = re.findall(r"[^\W\d][\w.\-]*", plain)
    return not re.search(r"[;:]|\.$", plain.strip()) and all(
        word in WORDS or word[0].isupper() or "." in word for word in words
    )


def _sections(text: str) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    lines = text.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if following and set(following) == {"-"}:
            current = []
            if line in NAMED + UNNAMED:
                sections[line] = current
        elif not (line and set(line) == {"-"}):
            current.append(line)
    return sections


def _parameters(node: ast.FunctionDef | ast.ClassDef) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef):
        arguments = node.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        yield from (
            argument.arg for argument in [*named, arguments.vararg, arguments.kwarg] if argument
        )
        return
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            yield from _parameters(statement)
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id
