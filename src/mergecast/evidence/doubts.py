"""Members that hardly answer their own task, said before anything is said of their merges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from mergecast.errors import MergecastError
from mergecast.evidence.session import Session
from mergecast.family.findings import NO_MODEL, Finding
from mergecast.runtime.stage import Stage
from mergecast.tasks.measure import EVALUATION, scored
from mergecast.tasks.standing import Standing
from mergecast.tasks.task import Samples

#: A model, and its base with its head, on calibration samples.
STANDING = Stage(
    "standing",
    2,
    uses=(EVALUATION,),
    modules=("mergecast.evidence.doubts", "mergecast.tasks.standing"),
)


def standings(session: Session) -> dict[str, Standing]:
    """How every model answers its own calibration samples, by label.

    Only what chooses among classes can be judged.
    """
    judged = [x for x in session.family.names if session.task(x).outputs == "classes"]
    advance = session.progress.stage("own answers", len(judged))
    found = {}
    for label in judged:
        try:
            found[label] = _standing(session, label, session.samples(label))
        except MergecastError as error:
            context = f"model {label!r}"
            if error.thing.startswith(context):
                raise
            raise error.about(context) from error
        advance(1)
    return found


def doubtful(standings: Mapping[str, Standing]) -> list[Finding]:
    """A warning for every model whose standing leaves doubt, by its label; see `Standing.doubt`."""
    return [
        Finding(
            "warning",
            NO_MODEL,
            label,
            f"hardly answers its own task: it {standing.doubt}",
            standing.remedy,
        )
        for label, standing in standings.items()
        if standing.doubt
    ]


def _standing(session: Session, label: str, samples: Samples) -> Standing:
    """Of one model; kept in the session's store."""
    spec = session.spec(
        STANDING, label, samples, base=session.base_digest, shared=session.shared_digest
    )
    record = session.unit(spec, lambda: asdict(_answered(session, label, samples)))
    return Standing.parse(record)


def _answered(session: Session, label: str, samples: Samples) -> Standing:
    count, labels = len(samples), samples.labels
    logits = session.logits(label, count)
    if labels is None:
        tokens = samples.tokens(logits.shape[1]) if logits.dim() == 3 else None
        return Standing.unlabelled(logits, tokens)
    single, base = (
        scored(session.task(label), [(answers, labels)], count)
        for answers in (logits, session.base_logits(label, count))
    )
    return Standing.labelled(single, labels, base)
