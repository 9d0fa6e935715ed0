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

#: What stands in a drafted file where only its owner knows the value.
TODO = "TODO"
#: How each field is filled in.
_REMEDIES = {
    "file": "give a .parquet or .npz file, or a saved dataset's folder",
    "text": "name the column of texts",
    "labels": "name the column of labels, or take the field out where there are none",
    "input": "name the column that holds this input of the model",
    "choices": "name the column of lists of choices",
    "build": "name a function of yours, module:function, that returns the model",
}
#: Fields that a field is given instead of: a default of theirs then has no say.
_INSTEAD = {
    "folder": ("build", "args"),
    "build": ("folder", "auto", "args"),
    "file": ("call", "args", "split"),
    "call": ("file", "split", "inputs", "text", "choices", "tokenizer", "max_length", "labels",
             "args"),
    "inputs": ("text", "choices", "tokenizer", "max_length"),
    "text": ("inputs", "choices"),
}  # fmt: skip


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
    todos = list(_todos(root))
    if todos:
        number, field = todos[0]
        more = f" (and {len(todos) - 1} more)" if len(todos) > 1 else ""
        last = "input" if ".inputs." in field else field.rpartition(".")[2]
        remedy = _REMEDIES.get(last, "fill it in")
        raise UsageError(path, f"line {number}: {field}: is still {TODO}{more}", remedy)
    merged = _with_defaults(path, root, content)
    try:
        file = TasksFile.model_validate(merged)
    except ValidationError as error:
        raise _named(path, root, error) from error
    return {label: FileTask(label, spec, path.parent) for label, spec in file.tasks.items()}


def open_fields(text: str) -> list[tuple[int, str]]:
    """Line and field of every TODO in the text of a file of tasks."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return [] if root is None else list(_todos(root))


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
            label: _filled(defaults, task) if isinstance(task, dict) else task
            for label, task in tasks.items()
        },
    }


def _filled(defaults: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    """A task with the defaults' fields that it does not set; its test is as its data by default."""
    full = {**defaults, **task}
    for section in ("model", "data", "test"):
        ours, theirs = full.get(section), defaults.get(section)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            full[section] = _inherited(theirs, ours)
    if isinstance(full.get("data"), dict) and isinstance(full.get("test"), dict):
        full["test"] = _inherited(full["data"], full["test"])
    return full


def _inherited(general: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Own fields, and the general ones that go with them."""
    instead = {field for given in own for field in _INSTEAD.get(given, ())}
    kept = {name: value for name, value in general.items() if name not in instead}
    return {**kept, **own}


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


def _todos(node: yaml.Node, field: str = "") -> Iterator[tuple[int, str]]:
    """Line and field of every value, or name, that is still to be filled in."""
    if isinstance(node, yaml.ScalarNode) and node.value.strip().startswith(TODO):
        yield node.start_mark.line + 1, field
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _todos(child, field)
    for key, child in _children(node):
        yield from _todos(child, f"{field}.{key.value}".lstrip("."))


def _duplicates(node: yaml.Node) -> Iterator[tuple[int, str]]:
    seen: set[str] = set()
    for key, child in _children(node):
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                yield key.start_mark.line + 1, key.value
            seen.add(key.value)
        yield from _duplicates(child)
