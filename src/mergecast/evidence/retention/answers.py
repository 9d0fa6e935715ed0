"""What is kept of answers to a task's samples: few numbers a sample, whatever the model.

A classifier's logits are kept as they are. Of a language model, tens of thousands of logits a
token, those of the classes are kept that the fine-tuned model gives most to, and the true one; all
others count as one class, whose logit is the logarithm of their summed exponentials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.evidence.retention.batchnorm import batchnorm_layers
from mergecast.evidence.retention.judges import Judge
from mergecast.evidence.retention.logits import MOST_CLASSES, likeliest, owners_of
from mergecast.evidence.session import Session
from mergecast.runtime.stage import Stage
from mergecast.tasks.probe import FORWARD
from mergecast.tasks.scores import IGNORED, ScoreName

if TYPE_CHECKING:
    from torch import Tensor

_MODULES = ("mergecast.evidence.retention.answers",)
STAGE = Stage("answers", 1, modules=_MODULES)
#: A model's answers to its own samples, as they are kept.
OWN = Stage("own answers", 2, uses=(FORWARD, STAGE), modules=_MODULES)


@dataclass(frozen=True)
class Kept:
    """Which logits of a task's answers are kept: r rows of k numbers.

    Attributes
    ----------
    rows : Tensor or None
        (r,) int64, positions among all samples' tokens that are asked about; None for all.
    classes : Tensor or None
        (r, k - 1) int64, classes kept of each row, beside which one stands for all others; None
        for all classes.
    labels : Tensor or None
        (r,) int64, true classes, by their place among the kept ones.
    owners : Tensor or None
        (r,) int64, the sample that a token belongs to, where a sample is judged as a whole.
    """

    rows: Tensor | None
    classes: Tensor | None
    labels: Tensor | None
    owners: Tensor | None = None

    def judge(self, score: ScoreName) -> Judge | None:
        """What rows are judged by, where accuracy is not the task's score."""
        if score == "accuracy":
            return None
        return Judge(score, self.owners, others=self.classes is not None)

    def of(self, logits: Tensor) -> Tensor:
        """What is kept of logits (n, C) or (n, L, V): (r, k), float32."""
        import torch

        flat = logits.reshape(-1, logits.shape[-1])
        if self.rows is not None:
            flat = flat[self.rows]
        if self.classes is None:
            return flat.float()
        chosen = flat.gather(1, self.classes)
        others = flat.scatter(1, self.classes, -torch.inf).logsumexp(dim=1, keepdim=True)
        return torch.cat([chosen, others], dim=1).float()


def own_answers(session: Session, label: str) -> tuple[Kept, Tensor]:
    """What is kept of answers to the samples of a model's task, and of its own, (r, k).

    Kept in the session's store, so that what is there needs no model to be run.
    """
    from mergecast.checkpoints.torch_bridge import to_tensor

    file, _ = _own(session, label)
    tensors = {name: to_tensor(file.array(name)) for name in file.infos}
    names = ("rows", "classes", "labels", "owners")
    return Kept(*map(tensors.get, names)), tensors["answers"]


def has_batchnorm(session: Session, label: str) -> bool:
    """Whether a model has running statistics, known without building it where it has answered."""
    return bool(_own(session, label)[1]["batchnorm"])


def _own(session: Session, label: str) -> tuple[Checkpoint, dict[str, Any]]:
    task, samples = session.task(label), session.merge_samples(label)

    def compute() -> tuple[dict[str, Tensor], dict[str, object]]:
        kept = kept_of(session, label)
        tensors = {"answers": kept.of(session.logits(label))}
        tensors |= {name: value for name, value in vars(kept).items() if value is not None}
        return tensors, {"batchnorm": bool(batchnorm_layers(session.probe(label).module))}

    spec = session.spec(OWN, label, samples, outputs=task.outputs)
    return session.file_unit(spec, "own", compute)


def kept_of(session: Session, label: str) -> Kept:
    """What is kept of answers to the samples of a model's task."""
    samples, single, probe = (
        session.merge_samples(label),
        session.logits(label),
        session.probe(label),
    )
    if probe.task.outputs != "classes":
        return Kept(None, None, None)
    labels = None if samples.labels is None else samples.labels.reshape(-1)
    rows = None
    if labels is not None:
        rows = (labels != IGNORED).nonzero()[:, 0]
        labels = labels[rows]
    elif single.dim() == 3:
        decoder = probe.has_encoder_and_decoder
        tokens = samples.tokens(single.shape[1], decoder=decoder)
        rows = None if tokens is None else tokens.reshape(-1).nonzero()[:, 0]
    owners = None
    if single.dim() == 3 and probe.task.score_name != "accuracy":
        owners = owners_of(single, rows)
    if single.shape[-1] <= MOST_CLASSES:
        return Kept(rows, None, labels, owners)
    flat = single.reshape(-1, single.shape[-1])
    flat = flat if rows is None else flat[rows]
    classes, place = likeliest(flat, flat.argmax(dim=1) if labels is None else labels)
    return Kept(rows, classes, None if labels is None else place, owners)
