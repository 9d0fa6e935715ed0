"""What each model keeps in a merge, as a table and in words: screen, page and card share them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mergecast.display.table import MISSING, Table, number

#: What a model is shown with where a scorer verified; its scores have any unit.
_SCORES = {"own_score": "own score", "merged_score": "merge's score"}
#: What a model keeps a part of: its own score where samples have labels, else its own answers.
SCORE, ANSWERS = "score", "answers"
_SHARE, _A_MODELS = "the share of {} own answers that the merge gives", "a model's"
_UNKNOWN = "how many of them are right is not known"


@dataclass(frozen=True)
class Own:
    """What it is that models keep a part of, in words.

    Attributes
    ----------
    labelled : mapping of str to bool
        Label of every member of a merge to whether it is judged by labels. Without them it is by
        its own answers, which say nothing of whether they are right.
    """

    labelled: Mapping[str, bool]

    @cached_property
    def without(self) -> tuple[str, ...]:
        """The members that are judged without labels."""
        return tuple(label for label, known in self.labelled.items() if not known)

    @property
    def each(self) -> str:
        """Of one model of them: "its own score"."""
        return self._words("its own score", "its own answers")

    @property
    def all(self) -> str:
        """Of all of them: "their own scores"."""
        return self._words("their own scores", "their own answers")

    @property
    def title(self) -> str:
        """What a table of what is kept is called."""
        return f"What each model keeps of {self.each}"

    @property
    def meaning(self) -> str:
        """What a number of what is kept is, after "What a model keeps is"."""
        if len(self.without) == len(self.labelled):
            return _SHARE.format("its")
        said = "the merge's score on its task over its own"
        return f"{said}; {self._judged_by_answers}" if self.without else said

    @property
    def caution(self) -> str:
        """What is to be known of numbers without labels; empty where there are none."""
        if len(self.without) == len(self.labelled):
            return f"Without labels: {_SHARE.format(_A_MODELS)}; {_UNKNOWN}."
        if not self.without:
            return ""
        return f"O{self._judged_by_answers[1:]}; {_UNKNOWN}."

    @property
    def _judged_by_answers(self) -> str:
        return f"of {', '.join(self.without)}, without labels, {_SHARE.format(self._their)}"

    @property
    def _their(self) -> str:
        return "its" if len(self.without) == 1 else "their"

    def _words(self, scores: str, answers: str) -> str:
        if not self.without:
            return scores
        if len(self.without) == len(self.labelled):
            return answers
        return f"{scores} ({', '.join(self.without)}: of {self._their} own answers)"


def kept_table(found: Mapping[str, Any]) -> Table:
    """A row a model: with its interval, or with the scores where a scorer verified.

    Parameters
    ----------
    found : mapping
        A search, as `SearchResult.to_dict` gives it.
    """
    scored = "scorer" in (found["verified"] or {})
    untouched = any("kept" in one for one in found["kept"])
    headings = [
        "model",
        "forecast",
        "kept" if untouched else "kept (scorer)",
        *(_SCORES.values() if scored else ["interval"]),
    ]
    rows = []
    for one in found["kept"]:
        interval = MISSING
        if "lower" in one:
            interval = f"{number(one['lower'])} to {number(one['upper'])}"
        rows.append(
            [
                one["model"],
                number(one["forecast"]),
                number(one.get("kept", one["seen"])),
                *([f"{one[key]:.4g}" for key in _SCORES] if scored else [interval]),
            ]
        )
    return Table(own_of(found).title, headings, rows)


def own_of(found: Mapping[str, Any]) -> Own:
    """What the members of a search's choice keep a part of; `found` as of `kept_table`."""
    return Own({one["model"]: one.get("of", SCORE) == SCORE for one in found["kept"]})
