"""Runs the code cells of a notebook in one namespace, showing what a notebook would show.

``python notebook_runner.py FILE`` prints, for every cell that ends in an expression, the richest
form that its value has for Jupyter. It is no kernel: magics and top-level await are refused.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

#: What Jupyter asks a value for, the richest first.
FORMS = ("_repr_png_", "_repr_html_")


def code_cells(path: Path) -> list[str]:
    """The sources of a notebook's code cells, in order."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run(path: Path) -> None:
    """Run all cells; what a cell raises is raised."""
    namespace: dict[str, object] = {"__name__": "notebook"}
    for number, source in enumerate(code_cells(path)):
        where = f"{path.name}, code cell {number}"
        tree = ast.parse(source, where)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, where, "exec"), namespace)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), where, "eval"), namespace)
            print(*shown(value))


def shown(value: object) -> tuple[str, str]:
    """In which form a value is shown, and how it begins."""
    if value is None:
        return "nothing", ""
    for form in FORMS:
        if hasattr(value, form):
            found = getattr(value, form)()
            return form, repr(found[:8]) if isinstance(found, bytes) else found
    return "repr", repr(value)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
