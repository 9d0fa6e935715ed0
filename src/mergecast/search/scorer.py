"""Scorers of people's own: a function, or a command that prints a number, scores models."""

from __future__ import annotations

import math
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np

from mergecast.errors import UndefinedError, UsageError
from mergecast.evidence.session import Session
from mergecast.family.task_heads import has_heads
from mergecast.merging import write_merge
from mergecast.runtime.stage import Stage
from mergecast.runtime.store import file_digest
from mergecast.search.candidates import Candidate
from mergecast.search.judge import Seen
from mergecast.typing import Floats

#: From the folder or file of a model and the label of a task, a score: higher is better.
Scorer: TypeAlias = Callable[[Path, str], float]
SCORED = Stage("scored", 2, modules=("mergecast.search.scorer",))
#: What a scorer's number may be off by, as a standard deviation of what is kept: it has samples of
#: its own, of which nothing is known here.
NOISE = 0.005
#: What errors call a scorer, and one that verifies.
SCORER, VERIFIER = "scorer", "verification scorer"
_TAIL = 300


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
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except OSError as error:
            raise UsageError(self._name, f"cannot be run: {error}", "check the command") from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-_TAIL:]
            raise UsageError(
                f"{self._name} on {label!r}",
                f"ended with {done.returncode}: {said}",
                "run it by hand",
            )
        lines = done.stdout.split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        try:
            return float(last)
        except ValueError as error:
            raise UsageError(
                f"{self._name} on {label!r}",
                f"printed {last!r} last, which is no number",
                "print the score as the last line",
            ) from error


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except OSError:  # longer than a name may be
        return False


class Scoring:
    """Scores that a scorer gives the models and merges of a family.

    Those of a `Command` are kept in the session's store, under its text and what the files that it
    names hold when the first score is asked for, so that a script that was changed scores anew;
    those of a function are kept in memory, for the single models alone.

    Parameters
    ----------
    scorer : callable
        From a model's path and a label to a score.
    name : str
        What errors call it.
    """

    def __init__(self, scorer: Scorer, name: str = SCORER) -> None:
        self.scorer, self._name = scorer, name
        self._own: dict[str, float] = {}
        self._files: dict[str, str] | None = None

    @property
    def text(self) -> str:
        """The command, or the name of the function."""
        if isinstance(self.scorer, Command):
            return self.scorer.text
        return str(getattr(self.scorer, "__qualname__", type(self.scorer).__qualname__))

    def own(self, session: Session, label: str) -> float:
        """The score of a single model on its own task.

        Raises
        ------
        UsageError, UndefinedError
            The scorer fails, or gives no number above 0.
        """
        if isinstance(self.scorer, Command):
            models = {"models": {label: session.digest(label)}}
            kept = self._spec(self.scorer, models)
            return float(session.unit(kept, lambda: {label: self._single(session, label)})[label])
        if label not in self._own:
            self._own[label] = self._single(session, label)
        return self._own[label]

    def merged(self, session: Session, candidate: Candidate) -> dict[str, float]:
        """Scores of a merge on its members' tasks, by label; raises what the scorer raises."""

        def compute() -> dict[str, float]:
            with TemporaryDirectory(prefix="mergecast-") as scratch:
                places = _written(session, candidate, Path(scratch) / "merged")
                return {label: self._score(path, label) for label, path in places.items()}

        if not isinstance(self.scorer, Command):
            return compute()
        models = {label: session.digest(label) for label in candidate.members}
        spec = {
            "models": models,
            "recipe": candidate.recipe.key,
            "base": session.base_digest,
            "shared": session.shared_digest,
        }
        if session.family.vocabulary is not None:
            spec["vocabulary"] = session.family.vocabulary.mode
        return session.unit(self._spec(self.scorer, spec), compute)

    def _spec(self, command: Command, spec: Mapping[str, object]) -> dict[str, object]:
        """What scores of a command are stored under."""
        if self._files is None:
            self._files = command.files
        return {"stage": SCORED.key, "scorer": command.text, **spec, "files": self._files}

    def _single(self, session: Session, label: str) -> float:
        score = self._score(session.family.models[label].path, label)
        if not score > 0:  # raised before it is stored: a scorer that was put right is asked again
            raise UndefinedError(
                f"model {label!r}",
                f"the {self._name} gives it {score}, and what is kept is a share of that",
                "let it give a number above 0, higher for better, or leave the model out",
            )
        return score

    def _score(self, path: Path, label: str) -> float:
        score: object = self.scorer(path, label)
        # NumPy's numbers are numbers too; a truth value is what a comparison gave by mistake.
        if not isinstance(score, Real) or isinstance(score, bool) or not math.isfinite(score):
            raise UsageError(
                f"{self._name} on {label!r}",
                f"gave {score!r}, of type {type(score).__name__}",
                "let it give a finite number, as a float",
            )
        return float(score)


def _written(session: Session, candidate: Candidate, out: Path) -> dict[str, Path]:
    """Where each member's model is, once the merge is written."""
    family = session.family.subset(candidate.members)
    heads = has_heads(family)
    write_merge(family, candidate.recipe, out, heads=heads, unchecked=True)
    return {label: out / "heads" / label if heads else out for label in candidate.members}


class ScorerJudge:
    """Measures merges by writing them and asking a scorer.

    Parameters
    ----------
    session : Session
        The family.
    scoring : Scoring
        Who is asked.

    Raises
    ------
    UsageError, UndefinedError
        The scorer fails on one of the models, or gives no number above 0.
    """

    at_once = 1

    def __init__(self, session: Session, scoring: Scoring) -> None:
        self._session, self._scoring, self.samples = session, scoring, 0
        self.single = {label: scoring.own(session, label) for label in sorted(session.family.names)}

    def levels(self, candidate: Candidate) -> tuple[int, ...]:
        """A merge is scored once."""
        del candidate
        return (1,)

    def variance(self, candidate: Candidate, kept: Floats, samples: int) -> Floats:
        """What a scorer's numbers may be off by, (k,)."""
        del candidate, samples
        return np.full(len(kept), NOISE**2)

    def cost(self, candidate: Candidate, first: int, last: int) -> float:
        """One run of the scorer a member."""
        return float(len(candidate.members) * (last - first))

    def see(self, asked: Sequence[tuple[Candidate, int]]) -> list[Seen]:
        """Score merges; raises what the scorer raises."""
        return [self._one(candidate) for candidate, _ in asked]

    def _one(self, candidate: Candidate) -> Seen:
        members = candidate.members
        found = self._scoring.merged(self._session, candidate)
        self.samples += len(members)
        kept = np.array([found[label] / self.single[label] for label in members])
        return Seen(kept, np.full(len(members), NOISE**2), (1,) * len(members))
