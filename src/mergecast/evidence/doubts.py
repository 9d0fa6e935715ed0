"""Members that hardly answer their own task, said before anything is said of their merges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import torch

from mergecast.checkpoints.torch_bridge import read_state
from mergecast.errors import MergecastError
from mergecast.evidence.session import Session
from mergecast.family.findings import NO_MODEL, Finding
from mergecast.merging.stand_ins import with_own_head
from mergecast.runtime.stage import Stage
from mergecast.tasks.measure import EVALUATION, measure
from mergecast.tasks.standing import Standing
from mergecast.tasks.task import Samples

#: A model, and its base with its head, on calibration samples.
STANDING = Stage(
    "standing",
    1,
    uses=(EVALUATION,),
    modules=("mergecast.evidence.doubts", "mergecast.tasks.standing"),
)


def doubts(session: Session) -> list[Finding]:
    """A warning for every model that hardly answers its own calibration samples.

    Only what chooses among classes can be judged.
    """
    judged = [x for x in session.family.names if session.task(x).outputs == "classes"]
    advance = session.progress.stage("own answers", len(judged))
    standings = {}
    for label in judged:
        try:
            standings[label] = _standing(session, label, session.samples(label))
        except MergecastError as error:
            context = f"model {label!r}"
            if error.thing.startswith(context):
                raise
            raise error.about(context) from error
        advance(1)
    return doubtful(standings)


def doubtful(standings: Mapping[str, Standing]) -> list[Finding]:
    """A warning for every model whose standing leaves doubt, by its label; see `Standing.doubt`."""
    return [
        Finding(
            "warning",
            NO_MODEL,
            label,
            f"hardly answers its own task: it {standing.doubt}",
            "check its file, head, labels and tokenizer: what merges keep of it says nothing",
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


@torch.no_grad()
def _answered(session: Session, label: str, samples: Samples) -> Standing:
    size, probe = session.settings.batch_size, session.load(label)
    if samples.labels is None:
        logits = torch.cat([probe.forward(batch).cpu() for batch in samples.batches(size)])
        tokens = samples.tokens(logits.shape[1]) if logits.dim() == 3 else None
        return Standing.unlabelled(logits, tokens)
    single = measure(probe, samples, size)
    base = session.probe(label)
    base.load(with_own_head(session.family, read_state(session.family.base), label))
    return Standing.labelled(single, samples.labels, measure(base, samples, size))
