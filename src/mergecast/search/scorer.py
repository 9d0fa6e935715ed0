"""Scorers of people's own, functions or commands: the scores that they give, kept and judged by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np

from mergecast.errors import FamilyError, UndefinedError, UsageError
from mergecast.evidence.session import Session
from mergecast.family.task_heads import has_heads
from mergecast.merging import write_merge
from mergecast.merging.run import MERGE
from mergecast.runtime.stage import Stage
from mergecast.search.candidates import Candidate
from mergecast.search.command import SAID, SCORER, Command
from mergecast.search.judge import Seen
from mergecast.typing import Floats

#: From the folder or file of a model and the label of a task, a score: higher is better.
Scorer: TypeAlias = Callable[[Path, str], float]
SCORED = Stage("scored", 2, modules=("mergecast.search.scorer", "mergecast.search.command"))
#: What a scorer's number may be off by, as a standard deviation of what is kept: it has samples of
#: its own, of which nothing is known here.
NOISE = 0.005


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
        UsageError
            The scorer fails or raises anything, or gives no number.
        UndefinedError
            It gives one that is not above 0.
        """
        if isinstance(self.scorer, Command):
            models = {"models": {label: session.digest(label)}}
            kept = self._spec(self.scorer, SCORED, models)
            return float(session.unit(kept, lambda: {label: self._single(session, label)})[label])
        if label not in self._own:
            self._own[label] = self._single(session, label)
        return self._own[label]

    def merged(self, session: Session, candidate: Candidate) -> dict[str, float]:
        """Scores of a merge on its members' tasks, by label.

        Raises
        ------
        UsageError
            The scorer fails or raises anything, or gives no number.
        UndefinedError
            The merge cannot be made, whoever scores it.
        """

        def compute() -> dict[str, float]:
            with TemporaryDirectory(prefix="mergecast-") as scratch:
                try:
                    places = _written(session, candidate, Path(scratch) / "merged")
                except (FamilyError, UndefinedError, UsageError) as error:
                    raise UndefinedError("", f"it cannot be made: {error}") from error
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
        stage = SCORED.with_uses(MERGE, candidate.recipe.merging_method.stage)
        return session.unit(self._spec(self.scorer, stage, spec), compute)

    def _spec(
        self, command: Command, stage: Stage, spec: Mapping[str, object]
    ) -> dict[str, object]:
        """What scores of a command are stored under."""
        if self._files is None:
            self._files = command.files
        return {"stage": stage.key, "scorer": command.text, **spec, "files": self._files}

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
        score: object = self._asked(path, label)
        # NumPy's numbers are numbers too; a truth value is what a comparison gave by mistake.
        if not isinstance(score, Real) or isinstance(score, bool) or not math.isfinite(score):
            raise UsageError(
                f"{self._name} on {label!r}",
                f"gave {score!r}, of type {type(score).__name__}",
                "let it give a finite number, as a float",
            )
        return float(score)

    def _asked(self, path: Path, label: str) -> object:
        """What the scorer gives; whatever a function raises becomes one kind of error."""
        if isinstance(self.scorer, Command):
            return self.scorer(path, label)
        try:
            return self.scorer(path, label)
        except Exception as error:
            said = f": {error}"[:SAID] if str(error) else ""
            raise UsageError(
                f"{self._name} on {label!r}",
                f"raised {type(error).__name__}{said}",
                f"see to {self.text}",
            ) from error


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
    go_on : callable
        Says how to go on where the scorer fails on a merge, and what is kept.
    costs : mapping of str to float, optional
        Label to what scoring its task costs, in any unit; 1 for others.

    Raises
    ------
    UsageError, UndefinedError
        The scorer fails on one of the models, or gives no number above 0.
    """

    at_once = 1

    def __init__(
        self,
        session: Session,
        scoring: Scoring,
        go_on: Callable[[], str],
        costs: Mapping[str, float] | None = None,
    ) -> None:
        self._session, self._scoring, self.samples = session, scoring, 0
        self._go_on, self._costs = go_on, costs or {}
        self.single = {label: scoring.own(session, label) for label in sorted(session.family.names)}

    def levels(self, candidate: Candidate) -> tuple[int, ...]:
        """A merge is scored once."""
        del candidate
        return (1,)

    def counts(self, candidate: Candidate, samples: int) -> Floats:
        """One number of each member, (k,)."""
        return np.full(len(candidate.members), float(samples))

    def variance(self, candidate: Candidate, kept: Floats) -> Floats:
        """What a scorer's numbers may be off by, (k,)."""
        del candidate
        return np.full(len(kept), NOISE**2)

    def cost(self, candidate: Candidate, first: int, last: int) -> float:
        """One run of the scorer a member, each at what its task costs."""
        return sum(self._costs.get(label, 1.0) for label in candidate.members) * (last - first)

    def see(self, asked: Sequence[tuple[Candidate, int]]) -> list[Seen | str]:
        """Score merges, or say why one cannot be made.

        Raises
        ------
        UsageError
            The scorer fails on a merge: none is passed over, since a broken scorer decides nothing.
        """
        return [self._one(candidate) for candidate, _ in asked]

    def _one(self, candidate: Candidate) -> Seen | str:
        members = candidate.members
        try:
            found = self._scoring.merged(self._session, candidate)
        except UndefinedError as error:
            return str(error)
        except UsageError as error:
            raise UsageError(
                candidate.name,
                f"{error.thing} {error.problem}",
                f"{error.remedy}, and {self._go_on()}",
            ) from error.__cause__ or error
        self.samples += len(members)
        kept = np.array([found[label] / self.single[label] for label in members])
        return Seen(kept, np.full(len(members), NOISE**2), (1,) * len(members))
