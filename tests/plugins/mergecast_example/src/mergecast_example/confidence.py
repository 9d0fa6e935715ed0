"""A kind of evidence, one forward pass a model, and the metric that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from mergecast.evidence import EVIDENCE, EvidenceKind, Session, Step, metric
from mergecast.evidence.readings import PairReadings, Readings
from mergecast.runtime.stage import Stage

KIND = "example_confidence"
STAGE = Stage(KIND, 1, modules=(__name__,))


def collect(session: Session) -> Readings:
    """The mean probability that each model gives its own answers on its own samples."""
    advance = session.progress.stage(KIND, session.family.size)
    values = {}
    for label in session.family.names:
        spec = session.spec(STAGE, label, session.samples(label))
        values[label, "confidence"] = session.unit(spec, partial(_of, session, label))["mean"]
        advance(1)
    return Readings(values, {})


def _of(session: Session, label: str) -> dict[str, object]:
    samples = session.samples(label)
    logits = session.load(label).logits(session.state(label), samples, 32)
    return {"mean": float(logits.double().softmax(-1).amax(-1).mean())}


def steps(session: Session) -> Iterator[Step]:
    """One model, as often as there are models."""
    one = session.narrowed(session.family.names[:1])
    yield Step(lambda: collect(one), session.family.size, forward=1)


EVIDENCE.add(KIND, EvidenceKind(KIND, "activations", __name__))


@metric(
    "example_confidence",
    family="activation",
    tier="activations",
    evidence=KIND,
    symmetric=False,
    range=(0, 1),
    source="an example",
    sets=("example",),
)
def confidence(pair: PairReadings) -> float:
    """How sure the first model is of its answers."""
    return pair.alone("confidence")
