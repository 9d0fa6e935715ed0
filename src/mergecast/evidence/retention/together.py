"""Real merges of several models, measured on a few samples: what members keep, what is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

from torch import Tensor

from mergecast.errors import FamilyError, UndefinedError, UsageError
from mergecast.evidence.retention import forms
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.retention.left import LEFT, left_in
from mergecast.evidence.retention.merges import answer, compare, merge_spec
from mergecast.evidence.session import Session
from mergecast.merging.run import MERGE, merge
from mergecast.runtime.stage import Stage
from mergecast.tasks.probe import FORWARD

PROBE = Stage(
    "pair probe",
    1,
    uses=(FORWARD, MERGE, forms.STAGE),
    modules=("mergecast.evidence.retention.merges", "mergecast.evidence.retention.together"),
)
_LEFT = "left"


def together(session: Session, members: Sequence[str], method: str) -> dict[str, Comparison]:
    """The real merge of `members`, each of them on its own samples; finished ones are kept."""
    return _together(session, members, method, _weights(session, members, method))


def together_and_left(
    session: Session, members: Sequence[str], method: str
) -> tuple[dict[str, Comparison], dict[str, float]]:
    """The same merge, and what it leaves of each member's task vector, none where it fails."""
    weights = _weights(session, members, method)
    return _together(session, members, method, weights), _left(session, members, method, weights)


def left_together(session: Session, members: Sequence[str], method: str) -> dict[str, float]:
    """What the real merge of `members` leaves of each one's task vector, none where it fails.

    See `mergecast.evidence.retention.left.left_in`. No model is run.
    """
    return _left(session, members, method, _weights(session, members, method))


def _weights(
    session: Session, members: Sequence[str], method: str
) -> Callable[[], dict[str, Tensor]]:
    """What makes the real merge of `members`, once; it raises UndefinedError where that fails."""
    recipe, device = session.recipe(method), session.settings.device

    @cache
    def made() -> dict[str, Tensor]:
        try:
            return merge(session.family, recipe, members=members, device=device)
        except (FamilyError, UndefinedError, UsageError) as error:
            raise UndefinedError("+".join(members), f"no merge by {method}: {error}") from error

    return made


def _together(
    session: Session,
    members: Sequence[str],
    method: str,
    weights: Callable[[], dict[str, Tensor]],
) -> dict[str, Comparison]:
    def compute(member: str) -> Comparison:
        try:
            merged = weights()
        except UndefinedError as reason:
            return forms.all_missing(reason.problem)
        return compare(session, member, answer(session, member, merged, members))

    models = {label: session.digest(label) for label in sorted(members)}
    comparisons = {}
    for member in members:
        spec = {**merge_spec(session, PROBE, member, method), "models": models}
        comparisons[member] = _kept(session, spec, partial(compute, member))
    return comparisons


def _left(
    session: Session,
    members: Sequence[str],
    method: str,
    weights: Callable[[], dict[str, Tensor]],
) -> dict[str, float]:
    recipe, family = session.recipe(method), session.family
    spec = {
        "stage": LEFT.with_uses(MERGE, recipe.merging_method.stage).key,
        "base": session.base_digest,
        "shared": session.shared_digest,
        "models": {label: session.digest(label) for label in sorted(members)},
        "recipe": recipe.key,
        **({"vocabulary": family.vocabulary.mode} if family.vocabulary else {}),
    }

    def compute() -> dict[str, object]:
        try:
            return {_LEFT: left_in(family.for_merge(sorted(members)), weights())}
        except UndefinedError:
            return {_LEFT: {}}

    return {str(label): float(one) for label, one in session.unit(spec, compute)[_LEFT].items()}


def _kept(
    session: Session, spec: Mapping[str, object], compute: Callable[[], Comparison]
) -> Comparison:
    record = session.unit(spec, lambda: vars(compute()))
    return Comparison(record["values"], record["missing"])
