"""Scorers of people's own: a function, or a command that prints a number, judges merges."""

from __future__ import annotations

import math
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np

from mergecast.errors import UndefinedError, UsageError
from mergecast.evidence.session import Session
from mergecast.family.task_heads import has_heads
from mergecast.merging import write_merge
from mergecast.runtime.stage import Stage
from mergecast.search.candidates import Candidate
from mergecast.search.judge import Seen
from mergecast.typing import Floats

#: From the folder or file of a model and the label of a task, a score: higher is better.
Scorer: TypeAlias = Callable[[Path, str], float]
SCORED = Stage("scored", 1, modules=("mergecast.search.scorer",))
#: What a scorer's number may be off by, as a standard deviation of what is kept: it has samples of
#: its own, of which nothing is known here.
NOISE = 0.005
_TAIL = 300


class Command:
    """A command that prints a score as the last line of its output.

    Parameters
    ----------
    text : str
        The command; ``{model}`` and ``{task}`` in it stand for a model's path and a task's label.

    Raises
    ------
    UsageError
        ``{model}`` is not in it.
    """

    def __init__(self, text: str) -> None:
        if "{model}" not in text:
            raise UsageError(
                "scorer", f"{text!r} names no model", "put {model} (and {task}) into the command"
            )
        self.text = text

    def __call__(self, model: Path, label: str, /) -> float:
        """Run it; raises UsageError where it fails or prints no number."""
        words = shlex.split(self.text)
        words = [word.replace("{model}", str(model)).replace("{task}", label) for word in words]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except OSError as error:
            raise UsageError("scorer", f"cannot be run: {error}", "check the command") from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-_TAIL:]
            raise UsageError(
                f"scorer on {label!r}", f"ended with {done.returncode}: {said}", "run it by hand"
            )
        lines = done.stdout.split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        try:
            return float(last)
        except ValueError as error:
            raise UsageError(
                f"scorer on {label!r}",
                f"printed {last!r} last, which is no number",
                "print the score as the last line",
            ) from error


class ScorerJudge:
    """Measures merges by writing them and asking a scorer.

    Parameters
    ----------
    session : Session
        The family. Scores of a `Command` are kept in its store; of a function in memory.
    scorer : callable
        From a model's path and a label to a score.

    Raises
    ------
    UsageError, UndefinedError
        The scorer fails on one of the models, or gives no number above 0.
    """

    levels: Sequence[int] = (1,)
    at_once = 1

    def __init__(self, session: Session, scorer: Scorer) -> None:
        self._session, self._scorer, self.samples = session, scorer, 0
        self.single: dict[str, float] = {}
        for label in sorted(session.family.names):
            path = session.family.models[label].path
            score = self._kept({"models": {label: session.digest(label)}}, {label: path})[label]
            if not score > 0:
                raise UndefinedError(
                    f"model {label!r}",
                    f"the scorer gives it {score}, and what is kept is a share of that",
                    "let it give a number above 0, higher for better",
                )
            self.single[label] = score

    def variance(self, candidate: Candidate, kept: Floats) -> Floats:
        """What a scorer's numbers may be off by, (k,)."""
        del candidate
        return np.full(len(kept), NOISE**2)

    def cost(self, candidate: Candidate, samples: int) -> float:
        """One run of the scorer a member."""
        return float(len(candidate.members) * samples)

    def see(self, asked: Sequence[tuple[Candidate, int]]) -> list[Seen]:
        """Score merges; raises what the scorer raises."""
        return [self._one(candidate) for candidate, _ in asked]

    def _one(self, candidate: Candidate) -> Seen:
        session, members = self._session, candidate.members
        models = {label: session.digest(label) for label in members}
        spec = {"models": models, "recipe": candidate.recipe.key, "base": session.base_digest}
        found = self._kept(spec, None, candidate)
        self.samples += len(members)
        kept = np.array([found[label] / self.single[label] for label in members])
        return Seen(kept, np.full(len(members), NOISE**2), 1)

    def _kept(
        self,
        spec: Mapping[str, object],
        models: Mapping[str, Path] | None,
        candidate: Candidate | None = None,
    ) -> dict[str, float]:
        def compute() -> dict[str, object]:
            if candidate is None:
                return {label: self._score(path, label) for label, path in (models or {}).items()}
            with TemporaryDirectory(prefix="mergecast-") as scratch:
                places = self._written(candidate, Path(scratch) / "merged")
                return {label: self._score(path, label) for label, path in places.items()}

        if not isinstance(self._scorer, Command):
            return {label: float(str(score)) for label, score in compute().items()}
        whole = {"stage": SCORED.key, "scorer": self._scorer.text, **spec}
        return self._session.unit(whole, compute)

    def _written(self, candidate: Candidate, out: Path) -> dict[str, Path]:
        """Where each member's model is, once the merge is written."""
        family = self._session.family.subset(candidate.members)
        heads = has_heads(family)
        write_merge(family, candidate.recipe, out, heads=heads, unchecked=True)
        return {label: out / "heads" / label if heads else out for label in candidate.members}

    def _score(self, path: Path, label: str) -> float:
        score = self._scorer(path, label)
        if not isinstance(score, int | float) or not math.isfinite(score):
            raise UsageError(
                f"scorer on {label!r}", f"gave {score!r}", "let it give a finite number"
            )
        return float(score)
