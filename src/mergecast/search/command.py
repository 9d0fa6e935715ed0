"""A command that prints a number, as a scorer of models."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from mergecast.errors import UsageError
from mergecast.runtime.store import file_digest

#: What errors call a scorer, and one that verifies.
SCORER, VERIFIER = "scorer", "verification scorer"
#: Characters of what a scorer says that errors show.
SAID = 300


class Command:
    """A command that prints a score as the last line of its output.

    Parameters
    ----------
    text : str
        The command; ``{model}`` and ``{task}`` in it stand for a model's path and a task's label.
    name : str
        What errors call it.

    Raises
    ------
    UsageError
        ``{model}`` is not in it, or a quotation in it has no end.
    """

    def __init__(self, text: str, name: str = SCORER) -> None:
        if "{model}" not in text:
            raise UsageError(
                name, f"{text!r} names no model", "put {model} (and {task}) into the command"
            )
        try:
            self.words = shlex.split(text)
        except ValueError as error:
            raise UsageError(name, f"{text!r} cannot be read: {error}", "close it") from error
        self.text, self._name = text, name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Command) and self.words == other.words

    def __hash__(self) -> int:
        return hash(tuple(self.words))

    @property
    def files(self) -> dict[str, str]:
        """Words of it that are files, each to the SHA-256 of what the file holds now."""
        return {word: file_digest(Path(word)) for word in self.words if _is_file(word)}

    def __call__(self, model: Path, label: str, /) -> float:
        """Run it; raises UsageError where it fails or prints no number."""
        words = [w.replace("{model}", str(model)).replace("{task}", label) for w in self.words]
        try:
            done = subprocess.run(
                words, capture_output=True, encoding="utf-8", errors="replace", check=False
            )
        except OSError as error:
            raise UsageError(self._name, f"cannot be run: {error}", "check the command") from error
        if done.returncode:
            said = _last(done.stderr) or _last(done.stdout)
            raise UsageError(
                f"{self._name} on {label!r}",
                f"ended with {done.returncode}: {said or 'it said nothing'}",
                "run it by hand",
            )
        last = _last(done.stdout)
        try:
            return float(last)
        except ValueError as error:
            raise UsageError(
                f"{self._name} on {label!r}",
                f"printed {last!r} last, which is no number" if last else "printed nothing",
                "print the score as the last line",
            ) from error


def _last(text: str) -> str:
    """The last line that is not empty; its end where it is long."""
    lines = (line.strip() for line in reversed(text.split("\n")))
    return next((line for line in lines if line), "")[-SAID:]


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except OSError:  # longer than a name may be
        return False
