"""Who imports whom in ``src/mergecast``, and which rooms ARCHITECTURE.md lets use which."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "mergecast"


@dataclass(frozen=True)
class Arrow:
    """One module's import of another; `for_types` where only type checkers follow it."""

    importer: str
    imported: str
    for_types: bool


def modules() -> dict[str, Path]:
    """Dotted names of all modules to their files."""
    files = sorted(PACKAGE.rglob("*.py"))
    return {_dotted(file.relative_to(PACKAGE.parent)): file for file in files}


def arrows() -> list[Arrow]:
    """Every import of one module by another, inside functions as well."""
    known = modules()
    return [
        Arrow(name, imported, for_types)
        for name, file in known.items()
        for imported, for_types in _imports(ast.parse(file.read_text()), known, False)
        if imported != name
    ]


def circles(graph: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    """Sets of modules that reach each other, sorted (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles: list[tuple[str, ...]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            members = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(members) > 1:
                circles.append(tuple(sorted(members)))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return sorted(circles)


def room_of(module: str) -> str:
    """The room (a folder, or a file beside them) that a module belongs to."""
    return [*module.split("."), "__init__"][1]


def table_of_rooms() -> dict[str, set[str]]:
    """Room to the rooms that its row of the table in ARCHITECTURE.md says it uses."""
    section = (ROOT / "ARCHITECTURE.md").read_text().partition("## The house")[2].partition("\n## ")
    uses: dict[str, set[str]] = {}
    for row in re.findall(r"^\|(.*)\|(.*)\|(.*)\|$", section[0], flags=re.MULTILINE)[2:]:
        used = {name.removesuffix("/") for name in re.findall(r"[\w/]+", row[2])}
        for name in re.findall(r"`([\w.]+)/?`", row[0]):
            uses[name.removesuffix(".py")] = used
    return uses


def reach(uses: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Room to all that it may use: what its row says, and what those use in turn."""
    reached = {room: set(used) for room, used in uses.items()}
    for _ in uses:
        for room, used in reached.items():
            reached[room] = used.union(*(reached[other] for other in used))
    return reached


def _imports(node: ast.AST, known: Mapping[str, Path], for_types: bool) -> Iterator:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name in known:
                yield alias.name, for_types
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            if whole in known or node.module in known:
                yield whole if whole in known else node.module, for_types
    for child in ast.iter_child_nodes(node):
        types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        yield from _imports(child, known, for_types or (types and child in node.body))


def _dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")
