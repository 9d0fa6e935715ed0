"""Reading a file of tasks; what is wrong is named by line and field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from mergecast.errors import UsageError
from mergecast.runtime.yaml_file import YamlFile, children_of, first_problem
from mergecast.tasks.file_task import FileTask
from mergecast.tasks.spec import TasksFile
from mergecast.tasks.task import Task

FormT = TypeVar("FormT", bound=TasksFile)

#: What stands in a drafted file where only its owner knows the value.
TODO = "TODO"
#: How each field is filled in.
_REMEDIES = {
    "file": "give a .parquet, .csv, .jsonl or .npz file, or a saved dataset's folder",
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
    specs = read_form(path, TasksFile, "tasks").tasks
    return {label: FileTask(label, spec, Path(path).parent) for label, spec in specs.items()}


def read_form(path: str | Path, form: type[FormT], holds: str) -> FormT:
    """A file of tasks as a form that has more fields than it, or as its own.

    Parameters
    ----------
    path : str or Path
        The YAML file.
    form : type of TasksFile
        Its fields.
    holds : str
        What errors say that the file should hold.

    Raises
    ------
    UsageError
        It cannot be read, or is wrong: by line and field.
    """
    file = YamlFile.read(path, holds, "tasks")
    todos = list(_todos(file.root))
    if todos:
        number, field = todos[0]
        more = f" (and {len(todos) - 1} more)" if len(todos) > 1 else ""
        last = "input" if ".inputs." in field else field.rpartition(".")[2]
        remedy = _REMEDIES.get(last, "fill it in")
        raise UsageError(path, f"line {number}: {field}: is still {TODO}{more}", remedy)
    merged = _with_defaults(file)
    try:
        return form.model_validate(merged)
    except ValidationError as error:
        where, problem = first_problem(error)
        raise UsageError(path, f"line {_line(file, where)}: {problem}", "fix the field") from error


def open_fields(text: str) -> list[tuple[int, str]]:
    """Line and field of every TODO in the text of a file of tasks."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return [] if root is None else list(_todos(root))


def _with_defaults(file: YamlFile) -> dict[str, Any]:
    """Fields of `defaults` for every task that does not set them."""
    path, content = file.path, dict(file.content)
    defaults = content.pop("defaults", None) or {}
    tasks = content.get("tasks")
    if not isinstance(defaults, dict):
        line = _line(file, ("defaults",))
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
    for section in ("model", "data", "test", "train"):
        ours, theirs = full.get(section), defaults.get(section)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            full[section] = _inherited(theirs, ours)
    for section in ("test", "train"):
        if isinstance(full.get("data"), dict) and isinstance(full.get(section), dict):
            full[section] = _inherited(full["data"], full[section])
    return full


def _inherited(general: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Own fields, and the general ones that go with them."""
    instead = {field for given in own for field in _INSTEAD.get(given, ())}
    kept = {name: value for name, value in general.items() if name not in instead}
    return {**kept, **own}


def _line(file: YamlFile, where: Sequence[object]) -> int:
    """Line of the last key on the way to a field that is there; inherited ones are in defaults."""
    line, depth = file.walk(where)
    if depth == 2 and where[0] == "tasks":
        inherited, deeper = file.walk(("defaults", *where[2:]))
        line = inherited if deeper > 1 else line
    return line


def _todos(node: yaml.Node, field: str = "") -> Iterator[tuple[int, str]]:
    """Line and field of every value, or name, that is still to be filled in."""
    if isinstance(node, yaml.ScalarNode) and node.value.strip().startswith(TODO):
        yield node.start_mark.line + 1, field
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _todos(child, field)
    for key, child in children_of(node):
        yield from _todos(child, f"{field}.{key.value}".lstrip("."))
