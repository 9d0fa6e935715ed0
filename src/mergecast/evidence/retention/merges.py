"""Merges of one model with stand-ins, and what any merge keeps on a few samples of a member's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import torch
from torch import Tensor

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.errors import (
    CheckpointError,
    FamilyError,
    MergecastError,
    UndefinedError,
    UsageError,
)
from mergecast.evidence.readings import Key, Readings
from mergecast.evidence.retention import forms
from mergecast.evidence.retention.answers import STAGE as ANSWERS
from mergecast.evidence.retention.answers import has_batchnorm, kept_of
from mergecast.evidence.retention.batchnorm import BATCHNORM, reestimated
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.retention.left import LEFT, left_in
from mergecast.evidence.session import Session
from mergecast.merging.apply import apply
from mergecast.merging.decompositions import current
from mergecast.merging.stand_ins import (
    ALONE,
    merge_alone,
    with_own_head,
    with_stand_ins,
)
from mergecast.runtime.seeds import derived_seed
from mergecast.runtime.stage import Stage
from mergecast.tasks.probe import FORWARD

_MODULES = ("mergecast.evidence.retention.merges",)
RETENTION = Stage(
    "retention", 3, uses=(FORWARD, ALONE, LEFT, forms.STAGE, ANSWERS), modules=_MODULES
)
#: What was answered by a model merged alone, in the file of its unit, and what was left of it.
_ANSWERS, _LEFT = "answers", "left"


def alone(session: Session, member: str, method: str, stand_in: str) -> Comparison:
    """A model merged with stand-ins, against itself; the mean over draws if they are random.

    Parameters
    ----------
    session : Session
        Finished merges are kept in its store, with what they answered.
    member : str
        The model.
    method : str
        One of the session's.
    stand_in : str
        ``base`` or ``scrambled``; see `mergecast.merging.stand_ins`.
    """
    return _alone(session, member, method, stand_in)[1]


def alone_answers(session: Session, member: str, method: str) -> Tensor:
    """What is kept of a model's answers where it is merged with copies of its base, (r, k).

    Raises UndefinedError where there is no such merge.
    """
    file, comparison, _ = _alone(session, member, method, "base")
    answers = to_tensor(file.array(_ANSWERS))
    if not len(answers):
        raise UndefinedError(f"model {member!r}", next(iter(comparison.missing.values())))
    return answers[0]


def alone_left(session: Session, member: str, method: str) -> float:
    """What is left of a model's task vector where it is merged with copies of its base.

    See `mergecast.evidence.retention.left.left_in`. Raises UndefinedError where there is no such
    merge.
    """
    _, comparison, left = _alone(session, member, method, "base")
    if left is None:
        raise UndefinedError(f"model {member!r}", next(iter(comparison.missing.values())))
    return left


def _alone(
    session: Session, member: str, method: str, stand_in: str
) -> tuple[Checkpoint, Comparison, float | None]:
    """Answers of every draw, none where there is no merge; how they compare to its own; and what
    copies of the base leave of its task vector.
    """
    merges = session.merges
    draws = 1 if stand_in == "base" else merges.draws
    spec = merge_spec(session, RETENTION, member, method)
    spec |= {"partner": stand_in, "size": merges.size, "draws": draws}
    if stand_in != "base":
        spec["seed"] = session.settings.seed

    def compute() -> tuple[dict[str, Tensor], dict[str, object]]:
        kept, answers, comparisons = kept_of(session, member), [], []
        weights: dict[str, Tensor] = {}
        for draw in range(draws):
            try:
                weights = _one_draw(session, member, method, stand_in, draw)
            except UndefinedError as reason:
                return {_ANSWERS: torch.empty(0)}, vars(forms.all_missing(reason.problem))
            logits = answer(session, member, weights)
            answers.append(kept.of(logits))
            comparisons.append(compare(session, member, logits))
        record: dict[str, object] = {**vars(forms.mean_of(comparisons))}
        if stand_in == "base":
            record |= {_LEFT: left_in(session.family.subset([member]), weights)[member]}
        return {_ANSWERS: torch.stack(answers)}, record

    file, record = session.file_unit(spec, "alone", compute)
    return file, Comparison(record["values"], record["missing"]), record.get(_LEFT)


def _one_draw(
    session: Session, member: str, method: str, stand_in: str, draw: int
) -> dict[str, Tensor]:
    """A model merged with one draw of its stand-ins; raises UndefinedError where that fails."""
    settings, recipe = session.settings, session.recipe(method)
    try:
        return merge_alone(
            session.family,
            member,
            recipe.method,
            size=session.merges.size,
            partner=stand_in,
            draw=derived_seed(settings.seed, draw),
            params=recipe.params,
            seed=recipe.seed,
            device=settings.device,
        )
    except (FamilyError, UndefinedError, UsageError) as error:
        raise UndefinedError(f"model {member!r}", f"no merge by {method}: {error}") from error


def answer(
    session: Session, member: str, weights: Mapping[str, Tensor], beside: Sequence[str] = ()
) -> Tensor:
    """Logits of merged weights on one member's samples, with that member's head.

    `beside` are the other models of the merge, which may bring tokens of their own.
    """
    samples, batch = session.merge_samples(member), session.settings.batch_size
    parameters: Mapping[str, Tensor] = with_own_head(session.family, weights, member, beside)
    probe = session.probe(member)
    try:
        if session.merges.reestimate_batchnorm:
            parameters = reestimated(probe, parameters, samples, batch)
        return probe.logits(parameters, samples, batch)
    except CheckpointError as error:
        raise error.about(f"model {member!r}") from error


def compare(session: Session, member: str, logits: Tensor) -> Comparison:
    """All forms of a merge's logits on one member's samples, against the member's own."""
    samples, single, probe = (
        session.merge_samples(member),
        session.logits(member),
        session.probe(member),
    )
    if probe.task.outputs == "features":
        return forms.compare_features(logits, single)
    if probe.task.outputs == "values":
        return forms.all_missing("a regression has no classes")
    padded = probe.has_encoder_and_decoder
    tokens = samples.tokens(logits.shape[1], decoder=padded) if logits.dim() == 3 else None
    return forms.compare(logits, single, samples.labels, tokens, probe.task.score_name)


def merge_parameter(
    session: Session, members: Sequence[str], method: str, name: str, stand_in: str = ""
) -> None:
    """What a merge does to one parameter; its result is of no interest, what it takes is."""
    merges, recipe = session.merges, session.recipe(method)
    block = session.family.subset(members).block(name)
    if stand_in:
        if (decompositions := current()) is not None:
            decompositions.expect(block.delta(0))
        block = with_stand_ins(block, merges.size, stand_in, merges.merge_seed)
    with suppress(MergecastError):  # which a merge that is kept has as its reason
        kernel = recipe.merging_method
        kernel.check_members(block.members)
        apply(block, kernel, recipe.params, seed=recipe.seed, device=session.settings.device)


def batchnorm_words(session: Session) -> str:
    """What happens to BatchNorm's running statistics after a merge; empty where there are none."""
    if not any(has_batchnorm(session, member) for member in session.family.names):
        return ""
    if session.merges.reestimate_batchnorm:
        count = len(session.merge_samples(session.family.names[0]))
        return f"running statistics re-estimated on {count} samples a task"
    return "running statistics as merged"


def merge_spec(session: Session, stage: Stage, member: str, method: str) -> dict[str, object]:
    """What a merge measured on one model's samples is stored under, besides its partners."""
    recipe, anew = session.recipe(method), session.merges.reestimate_batchnorm
    return session.spec(
        stage.with_uses(recipe.merging_method.stage, *([BATCHNORM] if anew else [])),
        member,
        session.merge_samples(member),
        base=session.base_digest,
        shared=session.shared_digest,
        random_stream=member,
        merge_seed=recipe.seed,
        method=recipe.method,
        params=recipe.as_mapping()["params"],
        batchnorm=anew,
    )


def readings_of(comparisons: Mapping[Key, Comparison], session: Session) -> Readings:
    """Every form of every comparison, by the comparison's key and the form's."""
    values: dict[Key, float] = {}
    missing: dict[Key, str] = {}
    for key, comparison in comparisons.items():
        values |= {(*key, form): value for form, value in comparison.values.items()}
        missing |= {(*key, form): reason for form, reason in comparison.missing.items()}
    return Readings(values, missing, batchnorm_words(session))
