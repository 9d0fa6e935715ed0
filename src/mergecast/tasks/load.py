"""Reading a file of tasks; what is wrong is named by line and field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mergecast.errors import UsageError
from mergecast.tasks.file_task import FileTask
from mergecast.tasks.spec import TasksFile
from mergecast.tasks.task import Task


def load_tasks(path: str | Path) -> dict[str, Task]:
    """The tasks of a YAML file, by the label of their model.

    Parameters
    ----------
    path : str or Path
        The file; paths in it are relative to it.

    Raises
    ------
    UsageError
        It cannot be read, or is wrong: by line and field.

    Examples
    --------
    .. code-block:: yaml

        defaults:
          model: {folder: bert-base, auto: AutoModelForSequenceClassification}
          private: ["classifier.*"]
        tasks:
          cola:
            data: {file: cola.parquet, text: sentence, labels: label}
          mnli:
            data: {file: mnli.parquet, text: pair, labels: label}
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(path, f"cannot be read: {error}", "give a YAML file of tasks") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise UsageError(path, f"{line}{problem}", "fix the file") from error
    if not isinstance(root, yaml.MappingNode):
        raise UsageError(path, "line 1: is not a mapping", "begin with 'tasks:'")
    for number, key in _duplicates(root):
        raise UsageError(path, f"line {number}: {key!r} is given twice", "keep one of them")
    merged = _with_defaults(path, root, content)
    try:
        file = TasksFile.model_validate(merged)
    except ValidationError as error:
        raise _named(path, root, error) from error
    return {label: FileTask(label, spec, path.parent) for label, spec in file.tasks.items()}


def _with_defaults(path: Path, root: yaml.Node, content: dict[str, Any]) -> dict[str, Any]:
    """Fields of `defaults` for every task that does not set them."""
    defaults = content.pop("defaults", None) or {}
    tasks = content.get("tasks")
    if not isinstance(defaults, dict):
        line = _line(root, ("defaults",))
        raise UsageError(path, f"line {line}: defaults: is not a mapping", "list fields of tasks")
    if not isinstance(tasks, dict):
        return content
    return {
        **content,
        "tasks": {
            label: {**defaults, **task} if isinstance(task, dict) else task
            for label, task in tasks.items()
        },
    }


def _named(path: Path, root: yaml.Node, error: ValidationError) -> UsageError:
    """The first problem that pydantic found, by line and field; how many more there are."""
    first, *more = error.errors()
    where = [part for part in first["loc"] if part != "[key]"]
    field = ".".join(str(part) for part in where) or "file"
    message = str(first["msg"]).removeprefix("Value error, ")
    value = first.get("input")
    got = "" if isinstance(value, dict | list) or value is None else f", got {value!r}"
    others = f" (and {len(more)} more)" if more else ""
    return UsageError(
        path, f"line {_line(root, where)}: {field}: {message}{got}{others}", "fix the field"
    )


def _line(root: yaml.Node, where: Sequence[object]) -> int:
    """Line of the last key on the way to a field that is there; inherited ones are in defaults."""
    line, depth = _walk(root, where)
    if depth == 2 and where[0] == "tasks":
        inherited, deeper = _walk(root, ("defaults", *where[2:]))
        line = inherited if deeper > 1 else line
    return line


def _walk(root: yaml.Node, where: Sequence[object]) -> tuple[int, int]:
    """Line of the deepest key of `where` that is there, and how deep it is."""
    node, line = root, root.start_mark.line + 1
    for depth, part in enumerate(where):
        children = {key.value: (key.start_mark.line + 1, child) for key, child in _children(node)}
        if str(part) not in children:
            return line, depth
        line, node = children[str(part)]
    return line, len(where)


def _children(node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from node.value


def _duplicates(node: yaml.Node) -> Iterator[tuple[int, str]]:
    seen: set[str] = set()
    for key, child in _children(node):
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                yield key.start_mark.line + 1, key.value
            seen.add(key.value)
        yield from _duplicates(child)
