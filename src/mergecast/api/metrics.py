"""Metrics of every pair of a family: the pair table, and what came to light on the way."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mergecast.api.asked import Asked, ask, same_words
from mergecast.api.inputs import log_refused
from mergecast.evidence import Evidence, collect_evidence, wanted
from mergecast.evidence.plan import PlanRow
from mergecast.evidence.plan import plan as plan_of
from mergecast.evidence.table import need_pair
from mergecast.family.family import Family
from mergecast.family.findings import Finding, delta_findings
from mergecast.family.headers import header_findings
from mergecast.family.heads import is_statistic
from mergecast.tables.pairs import PairTable

if TYPE_CHECKING:
    import pandas as pd

    from mergecast.tasks.standing import Standing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measurement:
    """The evidence collected of a family, and what of it could not be used.

    Attributes
    ----------
    asked : Asked
        What it answers.
    evidence : Evidence
        By kind, weights first.
    standings : mapping of str to Standing
        How models answer their own samples, by label; none where no model was run.
    """

    asked: Asked
    evidence: Evidence
    standings: Mapping[str, Standing] = field(default_factory=dict)

    @property
    def family(self) -> Family:
        """What was opened."""
        return self.asked.session.family

    @cached_property
    def doubts(self) -> list[Finding]:
        """Models that hardly answer their own task."""
        if not self.standings:
            return []
        from mergecast.evidence.doubts import doubtful

        return doubtful(self.standings)

    def task_scores(self, members: Sequence[str]) -> pd.DataFrame | None:
        """What models score on their own samples, and their base and one class for all on them.

        Returns
        -------
        DataFrame or None
            `task, single_score, base_score, majority, n_eval`, of the members with labels; a score
            that is not defined is NaN. None where no member has labels.
        """
        import pandas as pd

        known = {x: self.standings[x] for x in members if x in self.standings}
        rows = [
            {
                "task": label,
                "single_score": standing.score,
                "base_score": standing.base.score if standing.base else math.nan,
                "majority": standing.majority.score if standing.majority else math.nan,
                "n_eval": standing.n,
            }
            for label, standing in known.items()
            if standing.score is not None
        ]
        return pd.DataFrame(rows) if rows else None

    @cached_property
    def refused(self) -> dict[str, str]:
        """Every model left out, with the reason."""
        opened = {label: str(error) for label, error in self.family.refused.items()}
        return opened | dict(self.evidence.weights.refused)

    @cached_property
    def findings(self) -> list[Finding]:
        """What is to be said of the models that were not refused: answers, files, task vectors."""
        weights = self.evidence.weights
        files = [one for one in header_findings(self.family) if one.severity != "note"]
        usable = [i for i, label in enumerate(weights.members) if label not in weights.refused]
        gram = weights.gram[usable][:, usable]
        members = [weights.members[i] for i in usable]
        doubts = [one for one in self.doubts if one.about not in weights.refused]
        trained = None if any(map(is_statistic, self.family.shared)) else gram
        return [*doubts, *files, *delta_findings(members, gram, weights.base_norm, trained)]

    @property
    def kinds(self) -> list[str]:
        """Kinds of the tasks, sorted; none where no model was run."""
        tasks = self.asked.session.tasks or {}
        return sorted({task.kind_name for task in tasks.values()})

    @property
    def batchnorm(self) -> str | None:
        """What was done about running statistics after merges; None where none has any."""
        return self.evidence.note or None

    def table(self, members: Sequence[str] | None = None) -> PairTable:
        """The pair table of some models; by default of all that were not refused."""
        names = [label for label in self.family.names if label not in self.refused]
        return self.evidence.table(names if members is None else members, self.asked.suite)


@same_words(ask)
def measure(*args: Any, **options: Any) -> Measurement:
    """The evidence on every pair, with the models left out and what preflight finds on the way."""
    asked = ask(*args, **options)
    answered: dict[str, Standing] = {}
    with asked.session as session:
        need_pair(len(session.family.names))
        if asked.tier != "weights":
            from mergecast.evidence.doubts import standings

            _say_if_measuring_is_cheaper(asked)
            answered = standings(session)
        evidence = collect_evidence(session, asked.tier, asked.metrics, asked.keys)
    log_refused(evidence.weights.refused)
    return Measurement(asked, evidence, answered)


@same_words(ask)
def pair_table(*args: Any, **options: Any) -> PairTable:
    """The metrics of every pair of models, up to a tier of evidence.

    The weights tier needs nothing but checkpoints. Undefined values are missing, and the table
    says why; it knows which evidence every metric took, and can be written and read.
    """
    return measure(*args, **options).table()


@same_words(ask)
def metrics(*args: Any, **options: Any) -> pd.DataFrame:
    """The metrics of every pair of models as an ordinary DataFrame, to look at: one row a pair.

    It does not say why a value is missing nor which evidence a metric took. Fit, evaluate and
    forecast with the table of `pair_table`, which does.
    """
    return pair_table(*args, **options).to_pandas()


@same_words(ask)
def plan(*args: Any, **options: Any) -> list[PlanRow]:
    """The cost of the metrics of a family, before it is paid: one row a kind of evidence."""
    asked = ask(*args, **options)
    with asked.session as session:
        if asked.tier != "weights":
            _say_if_measuring_is_cheaper(asked)
        return plan_of(session, asked.tier, asked.metrics, asked.keys)


def _say_if_measuring_is_cheaper(asked: Asked) -> None:
    """At once: what is asked for may take hours."""
    from mergecast.api.measured import cheaper_by_measuring

    sentence = cheaper_by_measuring(asked.session, wanted(asked.tier, asked.metrics, asked.keys))
    if sentence:
        log.warning("%s", sentence)
