"""One evaluation by lm-evaluation-harness: its results file, and the samples beside it.

Scores are the keys of `results` with a comma, ``metric,filter``; the rest of the file says how
they came about. Samples (``--log_samples``) are a file a task, with the date of the results file.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergecast.errors import TableError, UsageError

_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(\.\d+)?")
# What a file says of each task, and must agree.
_SECTIONS = {
    "version": "versions",
    "n-shot": "n-shot",
    "number of samples": "n-samples",
    "task hash": "task_hashes",
}
#: A document of a task, by the hash of its content; documents that are the same are counted.
Document = tuple[str, str, int]


@dataclass(frozen=True)
class Sample:
    """One document's value of a metric, and the hash of the prompt that was asked."""

    value: float
    prompt: str


@dataclass(frozen=True)
class HarnessFile:
    """What a results file holds."""

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: str | Path, task: str) -> HarnessFile:
        """The results file at a path, or the one in a folder that holds a task.

        Raises
        ------
        TableError
            No such file, several, one that is no results file, or one without the task.
        """
        path = Path(path)
        paths = [path] if not path.is_dir() else _results_in(path)
        files = [cls(found, _content(found)) for found in paths]
        holding = [file for file in files if task in file.content["results"]]
        if len(holding) == 1:
            return holding[0]
        if holding:
            listing = ", ".join(str(file.path.relative_to(path)) for file in holding)
            raise TableError(path, f"holds task {task!r} {len(holding)} times", f"name: {listing}")
        known = sorted({name for file in files for name in file.content["results"]})
        raise TableError(
            path,
            f"has no result of task {task!r}; it has {', '.join(known) or 'none'}",
            "evaluate the model on this task, or name one of these",
        )

    def leaves(self, task: str) -> list[str]:
        """The tasks that a group is made of; a task itself."""
        below = (self.content.get("group_subtasks") or {}).get(task) or []
        return [leaf for name in below for leaf in self.leaves(name)] or [task]

    def metric(self, task: str, asked: str | None) -> str:
        """The key of a metric: as asked for, or the first of which more is better.

        Raises
        ------
        UsageError
            There is no such metric, more of it is worse, or the file does not say.
        """
        keys = self._metrics(task)
        named = [key for key in keys if asked in (None, key, key.partition(",")[0])]
        listing = ", ".join(keys) or "none"
        if not named:
            raise UsageError(
                self.path, f"task {task!r} has no metric {asked!r}", f"it has {listing}"
            )
        if asked is not None and len(named) > 1:
            problem = f"metric {asked!r} of task {task!r} is there with several filters"
            raise UsageError(self.path, problem, f"name one of {', '.join(named)}")
        better = [key for key in named if self._higher(task, key)]
        if better:
            return better[0]
        tried = ", ".join(named)
        problem = f"less of {tried} is better, so it is no score"
        if any(self._higher(task, key) is None for key in named):
            problem = f"does not say that more of {tried} is better"
        remedy = f"name a metric of which more is better (there are {listing})"
        raise UsageError(self.path, f"task {task!r}: {problem}", remedy)

    def score(self, task: str, key: str) -> float:
        """A score; NaN where the harness got none, TableError where it was not taken."""
        if key not in self._metrics(task):
            found = ", ".join(self._metrics(task)) or "none"
            raise TableError(
                self.path, f"task {task!r} lacks {key!r}; it has {found}", "evaluate it alike"
            )
        return float(self.content["results"][task][key])

    def settings(self, task: str) -> dict[str, Any]:
        """How a task was evaluated, as far as the file says; what must agree between files."""
        config = self.content.get("config") or {}
        leaves = self.leaves(task)
        known: dict[str, Any] = {"limit": config["limit"]} if "limit" in config else {}
        known |= {"gen_kwargs": config["gen_kwargs"] or None} if "gen_kwargs" in config else {}
        for name in ("chat_template", "system_instruction"):
            if f"{name}_sha" in self.content:
                known[name.replace("_", " ")] = self.content[f"{name}_sha"]
        if self.content.get("chat_template_sha"):
            known["fewshot_as_multiturn"] = bool(self.content.get("fewshot_as_multiturn"))
        for name, section in _SECTIONS.items():
            entries = self.content.get(section) or {}
            known |= {f"{name} of {leaf}": entries[leaf] for leaf in leaves if leaf in entries}
        if "fewshot_seed" in config and any(known.get(f"n-shot of {leaf}") for leaf in leaves):
            known["fewshot_seed"] = config["fewshot_seed"]
        return known

    def n_eval(self, task: str) -> float:
        """The number of samples of a task; NaN where the file does not say."""
        entries = self.content.get("n-samples") or {}
        counts = [
            (entries.get(leaf) or {}).get("effective", math.nan) for leaf in self.leaves(task)
        ]
        return float(sum(counts))

    def is_mean(self, task: str, key: str) -> bool:
        """Whether the file says that a metric is the mean over samples."""
        listed = ((self.content.get("configs") or {}).get(task) or {}).get("metric_list") or []
        name = key.partition(",")[0]
        return any(m.get("metric") == name and m.get("aggregation") == "mean" for m in listed)

    def samples(self, task: str, key: str) -> dict[Document, Sample] | str:
        """A metric's value for every document, or the reason why there are none.

        Raises
        ------
        TableError
            A samples file that cannot be read, or of another run.
        """
        metric, _, chosen = key.partition(",")
        found: dict[Document, Sample] = {}
        for leaf in self.leaves(task):
            seen: Counter[str] = Counter()
            rows = [row for row in self._rows(leaf) if row.get("filter", chosen) == chosen]
            if not rows:
                return f"no samples of task {leaf!r} beside {self.path}"
            for row in sorted(rows, key=lambda row: int(row.get("doc_id") or 0)):
                value, digest = row.get(metric), row.get("doc_hash")
                if not isinstance(value, int | float) or not math.isfinite(value):
                    return f"{metric} of a single sample is no number"
                if not isinstance(digest, str):
                    return f"samples of {leaf!r} have no doc_hash"
                prompt = str(row.get("prompt_hash", ""))
                found[leaf, digest, seen[digest]] = Sample(float(value), prompt)
                seen[digest] += 1
        return found

    def _metrics(self, task: str) -> list[str]:
        entries = self.content["results"][task]
        return [
            key
            for key, value in entries.items()
            if "," in key
            and not key.partition(",")[0].endswith("_stderr")
            and isinstance(value, int | float)
        ]

    def _higher(self, task: str, key: str) -> bool | None:
        """Whether more of a metric is better; None where the file does not say."""
        name = key.partition(",")[0]
        said = ((self.content.get("higher_is_better") or {}).get(task) or {}).get(name)
        listed = ((self.content.get("configs") or {}).get(task) or {}).get("metric_list") or []
        given = [m.get("higher_is_better") for m in listed if m.get("metric") == name]
        return said if said is not None or not given else given[0]

    def _rows(self, leaf: str) -> Iterator[Mapping[str, Any]]:
        inside = (self.content.get("samples") or {}).get(leaf)
        if inside is not None:
            yield from inside
            return
        date = _DATE.search(self.path.name)
        path = self.path.with_name(f"samples_{leaf}_{date.group()}.jsonl") if date else None
        if path is None or not path.is_file():
            return
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    row = json.loads(line)
                except ValueError as error:
                    problem = f"line {number}: not JSON: {error}"
                    raise TableError(path, problem, "evaluate again") from error
                if not isinstance(row, dict):
                    raise TableError(path, f"line {number}: no JSON object", "evaluate again")
                yield row


def _results_in(folder: Path) -> list[Path]:
    """The results files of a folder, or of the folders of models in it."""
    found = sorted(folder.glob("results*.json")) or sorted(folder.glob("*/results*.json"))
    if not found:
        raise TableError(
            folder, "holds no results_*.json", "give the folder or file that lm_eval wrote"
        )
    return found


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise TableError(path, problem, "give a results file of lm_eval") from error
    except (ValueError, RecursionError) as error:
        raise TableError(path, f"not JSON: {error}", "give a results file of lm_eval") from error
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict) or not all(isinstance(row, dict) for row in results.values()):
        raise TableError(path, "has no results by task", "give a results file of lm_eval")
    return {str(key): value for key, value in content.items()}
