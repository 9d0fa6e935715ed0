"""YAML files that people write; what is wrong is named by line and field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from mergecast.errors import UsageError


class YamlFile(NamedTuple):
    """A mapping that was read, and where its keys stand."""

    path: Path
    root: yaml.Node
    content: dict[str, Any]

    @classmethod
    def read(cls, path: str | Path, holds: str, begins: str) -> YamlFile:
        """Read a file whose root is a mapping without repeated keys.

        Parameters
        ----------
        path : str or Path
            The file.
        holds, begins : str
            What errors say that it should hold, and begin with.

        Raises
        ------
        UsageError
            It cannot be read, is not YAML or no mapping, or a key stands twice: by line.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            content = yaml.safe_load(text)
        except (OSError, UnicodeDecodeError) as error:
            remedy = f"give a YAML file of {holds}"
            raise UsageError(path, f"cannot be read: {error}", remedy) from error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"line {mark.line + 1}: " if mark else ""
            problem = getattr(error, "problem", None) or "not YAML"
            raise UsageError(path, f"{where}{problem}", "fix the file") from error
        if not isinstance(root, yaml.MappingNode):
            raise UsageError(path, "line 1: is not a mapping", f"begin with '{begins}:'")
        for number, key in _duplicates(root):
            raise UsageError(path, f"line {number}: {key!r} is given twice", "keep one of them")
        return cls(path, root, content)

    def walk(self, where: Sequence[object]) -> tuple[int, int]:
        """Line of the deepest key of `where` that is there, and how deep it is."""
        node, line = self.root, self.root.start_mark.line + 1
        for depth, part in enumerate(where):
            children = {
                key.value: (key.start_mark.line + 1, child) for key, child in children_of(node)
            }
            if str(part) not in children:
                return line, depth
            line, node = children[str(part)]
        return line, len(where)


def first_problem(error: ValidationError) -> tuple[list[object], str]:
    """Where the first problem that pydantic found is, and what it is; how many more there are."""
    first, *more = error.errors()
    where: list[object] = [part for part in first["loc"] if part != "[key]"]
    field = ".".join(str(part) for part in where) or "file"
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "no field is called so here"
    value = first.get("input")
    got = "" if isinstance(value, dict | list) or value is None else f", got {value!r}"
    others = f" (and {len(more)} more)" if more else ""
    return where, f"{field}: {message}{got}{others}"


def children_of(node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Keys and values of a mapping; nothing of another node."""
    if isinstance(node, yaml.MappingNode):
        yield from node.value


def _duplicates(node: yaml.Node) -> Iterator[tuple[int, str]]:
    seen: set[str] = set()
    for key, child in children_of(node):
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                yield key.start_mark.line + 1, key.value
            seen.add(key.value)
        yield from _duplicates(child)
