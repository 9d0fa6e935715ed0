"""Scorers of people's own in a search: one that judges, one that verifies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real

from mergecast.api.search_work import Work
from mergecast.errors import MergecastError, UndefinedError, UsageError
from mergecast.evidence.session import Session
from mergecast.runtime.progress import Progress
from mergecast.search.candidates import Candidate
from mergecast.search.command import SCORER, VERIFIER, Command
from mergecast.search.objective import Objective
from mergecast.search.scorer import Scorer, Scoring
from mergecast.search.verify import Scored, scored


@dataclass(frozen=True)
class Scorers:
    """The scorers of a search.

    Attributes
    ----------
    judge : Scoring or None
        Measures merges in place of the tasks' scores.
    verifier : Scoring or None
        Is asked of the single models before the search and of its choice after it, no more.
    costs : mapping of str to float
        Label of a model to what the judge's run on its task costs, in any unit; 1 for others.
    """

    judge: Scoring | None = None
    verifier: Scoring | None = None
    costs: Mapping[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What measures merges: the scorer's text, empty for the tasks' scores."""
        return "" if self.judge is None else self.judge.text

    @classmethod
    def of(
        cls,
        scorer: Scorer | str | None,
        verify_scorer: Scorer | str | None,
        costs: Mapping[str, float] | None = None,
    ) -> Scorers:
        """Those that are asked for.

        Raises
        ------
        UsageError
            A command that cannot be one; a scorer that verifies without one that judges, or that
            is the same; costs without a scorer, or that are no numbers above 0.
        """
        costs = dict(costs or {})
        if costs and scorer is None:
            problem = "given without a scorer"
            raise UsageError(
                "scorer_cost", problem, "leave it out: passes are counted by themselves"
            )
        for label, cost in costs.items():
            if not (isinstance(cost, Real) and not isinstance(cost, bool) and 0 < cost < math.inf):
                raise UsageError(
                    f"scorer_cost of {label!r}", f"is {cost!r}", "give a number above 0, as seconds"
                )
        if verify_scorer is None:
            return cls(None if scorer is None else Scoring(_callable(scorer, SCORER)), costs=costs)
        if scorer is None:
            raise UsageError(
                "verify_scorer",
                "given without a scorer",
                "give a scorer too, or neither: the tasks' scores hold samples back by themselves",
            )
        judge, verifier = _callable(scorer, SCORER), _callable(verify_scorer, VERIFIER)
        if judge == verifier:
            raise UsageError(
                "verify_scorer",
                "is the scorer itself, which the search chooses by",
                "let it score other samples, as by `--split test`",
            )
        return cls(Scoring(judge), Scoring(verifier, VERIFIER), costs)

    def check_labels(self, labels: Sequence[str]) -> None:
        """Raise UsageError for a cost of a model that there is not."""
        for label in self.costs:
            if label not in labels:
                raise UsageError.unknown("model of scorer_cost", label, labels)

    def try_out(self, session: Session, progress: Progress) -> None:
        """Score the single models, so that a scorer that is broken is known before anything else.

        A score of 0 or less is left to `check`: its model may be one that forecasts set aside.
        The same goes for a model whose weights are not finite.

        Raises
        ------
        UsageError
            A scorer fails, or gives no number.
        """
        asked = [one for one in (self.judge, self.verifier) if one is not None]
        labels = sorted(session.family.names) if asked else []
        advance = progress.stage("single models scored", len(labels)) if asked else None
        for label in labels:
            for scoring in asked:
                try:
                    scoring.own(session, label)
                except UndefinedError:
                    continue
                except UsageError:
                    if _is_finite(session, label):
                        raise
            if advance is not None:
                advance(1)

    def check(self, session: Session) -> None:
        """Raise what `Scoring.own` raises where a model that may be merged cannot be verified."""
        if self.verifier is not None:
            for label in sorted(session.family.names):
                self.verifier.own(session, label)

    def verified(
        self, session: Session, candidate: Candidate, objective: Objective, work: Work
    ) -> Scored | None:
        """What a merge keeps by the scorer that verifies; None where there is none.

        Raises
        ------
        MergecastError
            The scorer fails on it, or raises anything; says how to go on, and what was done stays.
        """
        if self.verifier is None:
            return None
        try:
            own = {label: self.verifier.own(session, label) for label in candidate.members}
            merged = self.verifier.merged(session, candidate)
        except MergecastError as error:
            raise type(error)(
                f"verification of {candidate.name}",
                f"{error.thing} {error.problem}",
                f"see to the verification scorer and {self.go_on(work)}",
            ) from error.__cause__ or error
        return scored(own, merged, objective, self.verifier.text)

    def go_on(self, work: Work) -> str:
        """How to go on where a scorer failed on a merge; what was done stays, and which scores."""
        if self.judge is None:
            return work.keep()
        if isinstance(self.judge.scorer, Command):
            kept = "scores too, unless the scorer's words or a file that they name change"
        else:
            kept = "but for scores by a function, which are not stored: it is asked again"
        return f"{work.keep()} ({kept})"


def _callable(given: Scorer | str, name: str) -> Scorer:
    return Command(given, name) if isinstance(given, str) else given


def _is_finite(session: Session, label: str) -> bool:
    """Whether all of a model's weights are numbers; one that has others is set aside later."""
    return all(bool(tensor.isfinite().all()) for tensor in session.state(label).values())
