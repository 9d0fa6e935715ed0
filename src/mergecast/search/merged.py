"""The judge that makes merges and runs them, on workers; what is measured is kept by content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from mergecast.checkpoints.torch_bridge import read_state
from mergecast.errors import FamilyError, UndefinedError, UsageError
from mergecast.evidence.session import Session
from mergecast.evidence.side_by_side import pack, unpack
from mergecast.merging import merge
from mergecast.merging.stand_ins import with_own_head
from mergecast.runtime.stage import Stage
from mergecast.runtime.workers import Workers
from mergecast.search.candidates import Candidate
from mergecast.search.judge import Seen, expected_variance, levels
from mergecast.search.samples import Parts, part, parts_of
from mergecast.search.scores import sample_scores
from mergecast.suites.evaluate import merged_state, outcome_spec, outcome_stage, single_stage
from mergecast.tasks.task import Samples
from mergecast.typing import Floats

LOOK = Stage(
    "look",
    1,
    modules=("mergecast.search.merged", "mergecast.search.samples", "mergecast.search.scores"),
)
#: A session, and the samples and whether some are held back, as `MergeJudge` is given them.
Packed = tuple[bytes, int | None, bool]
#: Samples that making a merge counts as, a member: fixed, so that a search does not depend on how
#: fast a machine is.
_MERGE = 20.0


@dataclass(frozen=True)
class Look:
    """Some samples of every member of a merge, from `first` to `last`; held back ones or not."""

    candidate: Candidate
    first: int
    last: int
    held: bool = False


class MergeJudge:
    """Measures merges of a family by making them.

    Parameters
    ----------
    session : Session
        Family and tasks; finished measurements are kept in its store.
    workers : Workers
        Where merges are made and run.
    most : int, optional
        Samples of each part of a task at most, where fewer than a search may look at are enough.
    hold : bool
        Whether samples are held back for `verify`.

    Raises
    ------
    UsageError, UndefinedError
        As `parts_of`; a model that has no score on samples of its own task.
    """

    def __init__(
        self,
        session: Session,
        workers: Workers,
        most: int | None = None,
        *,
        hold: bool = True,
    ) -> None:
        self._session, self._workers = session, workers
        self._bench = _Bench(session, most, hold=hold)
        self.parts = {x: self._bench.parts(x) for x in sorted(session.family.names)}
        self.single = {x: self._bench.single(x, held=False) for x in self.parts}
        for label, scores in self.single.items():
            if not scores.mean() > 0:
                raise UndefinedError(
                    f"model {label!r}", "its score on its own task is 0", "leave it out"
                )
        self.samples = 0
        self._scores: dict[str, list[Floats]] = {}

    @property
    def at_once(self) -> int:
        """Two, however many workers there are: the same seed is to give the same search."""
        return 2

    def levels(self, candidate: Candidate) -> tuple[int, ...]:
        """Numbers of samples a member; of a task that has fewer all are taken.

        None on which a member's own model scores 0, since there is nothing to keep.
        """
        single = [self.single[label] for label in candidate.members]
        return tuple(n for n in levels(max(map(len, single))) if all(s[:n].any() for s in single))

    def variance(self, candidate: Candidate, kept: Floats) -> Floats:
        """Of one sample's part in what each member is seen to keep, before it is measured, (k,)."""
        single = np.array([self.single[label].mean() for label in candidate.members])
        return expected_variance(kept, single)

    def cost(self, candidate: Candidate, first: int, last: int) -> float:
        """Forward passes of more samples, and what making the merge counts as."""
        more = self.counts(candidate, last) - self.counts(candidate, first)
        return float((more + _MERGE).sum())

    def counts(self, candidate: Candidate, samples: int) -> Floats:
        """Samples of each member where so many are asked for, (k,)."""
        most = [len(self.parts[label].looked) for label in candidate.members]
        return np.minimum(most, float(samples))

    def see(self, asked: Sequence[tuple[Candidate, int]]) -> list[Seen | str]:
        """Measure merges."""
        looks = []
        for candidate, samples in asked:
            before = self._scores.get(candidate.key)
            first = 0 if before is None else max(map(len, before))
            looks.append(Look(candidate, first, samples))
        found = self._run(looks)
        seen: list[Seen | str] = []
        for look, scores in zip(looks, found, strict=True):
            candidate = look.candidate
            if isinstance(scores, str):
                seen.append(scores)
                continue
            before = self._scores.get(candidate.key, [np.empty(0)] * len(scores))
            whole = [np.concatenate(both) for both in zip(before, scores, strict=True)]
            self._scores[candidate.key] = whole
            self.samples += sum(map(len, scores))
            single = [self.single[x][: look.last] for x in candidate.members]
            try:
                seen.append(Seen.of(whole, single))
            except UndefinedError as error:
                seen.append(str(error))
        return seen

    def verify(self, candidate: Candidate) -> Seen:
        """The same on samples that were held back; raises UndefinedError where that fails."""
        last = max(len(self.parts[label].held) for label in candidate.members)
        [scores] = self._run([Look(candidate, 0, last, held=True)])
        if isinstance(scores, str):
            raise UndefinedError(candidate.name, scores)
        single = [self._bench.single(label, held=True) for label in candidate.members]
        return Seen.of(scores, single)

    def base(self, members: Sequence[str]) -> Floats:
        """What the base keeps with each member's head on the samples that were held back, (k,).

        NaN where it has no score.
        """
        found = np.full(len(members), np.nan)
        for row, label in enumerate(members):
            single = self._bench.single(label, held=True)
            try:
                found[row] = Seen.of([self._bench.base(label)], [single]).kept[0]
            except UndefinedError:
                continue
        return found

    def _run(self, looks: Sequence[Look]) -> list[list[Floats] | str]:
        if self._workers.count == 1 or len(looks) == 1:
            found = [self._bench.look(one) for one in looks]
        else:
            found = self._workers.map(_look, [(self._bench.packed, one) for one in looks])
        return [
            one
            if isinstance(one, str)
            else [np.asarray(scores, dtype=np.float64) for scores in one]
            for one in found
        ]


class _Bench:
    """Where looks are taken: a session and the samples of its tasks."""

    def __init__(self, session: Session, most: int | None = None, *, hold: bool = True) -> None:
        self._session, self._most, self._hold = session, most, hold
        self._merged: tuple[str, Mapping[str, Tensor]] | None = None
        self._features: dict[tuple[str, bool], Tensor] = {}
        self._parts: dict[str, Parts] = {}

    def parts(self, label: str) -> Parts:
        """Samples of a model's task, read once."""
        if label not in self._parts:
            self._parts[label] = parts_of(self._session, label, self._most, hold=self._hold)
        return self._parts[label]

    @cached_property
    def packed(self) -> Packed:
        """All that another process needs to take looks."""
        packed = pack(self._session)
        if packed is None:
            raise UsageError("tasks", "cannot be sent to workers", "search with one worker")
        return packed, self._most, self._hold

    def single(self, label: str, *, held: bool) -> Floats:
        """Scores of a model on its own samples, (n,)."""
        samples = self.parts(label).held if held else self.parts(label).looked

        def compute() -> dict[str, object]:
            own = self._own_features(label, held=held)
            return {"scores": self._scores(label, self._session.state(label), samples, own)}

        spec = self._session.spec(single_stage().with_uses(LOOK), label, samples)
        return np.asarray(self._session.unit(spec, compute)["scores"], dtype=np.float64)

    def base(self, label: str) -> Floats:
        """Scores of the base with a model's head on the model's held back samples, (n,)."""
        session, samples = self._session, self.parts(label).held

        def compute() -> dict[str, object]:
            state = with_own_head(session.family, read_state(session.family.base), label)
            own = self._own_features(label, held=True)
            return {"scores": self._scores(label, state, samples, own)}

        shared = {"base": session.base_digest, "shared": session.shared_digest}
        spec = session.spec(single_stage().with_uses(LOOK), label, samples, **shared)
        return np.asarray(session.unit(spec, compute)["scores"], dtype=np.float64)

    def look(self, asked: Look) -> list[list[float]] | str:
        """Scores of every member's samples, in the members' order; or why there are none."""
        session, candidate = self._session, asked.candidate
        stage = outcome_stage(candidate.recipe.method).with_uses(LOOK)
        chosen: dict[str, Samples] = {}
        for label in candidate.members:
            parts = self.parts(label)
            samples = parts.held if asked.held else parts.looked
            chosen[label] = part(samples, asked.first, min(asked.last, len(samples)))
        spec = outcome_spec(session, candidate.recipe, chosen, stage, session.settings.batch_size)

        def compute() -> dict[str, object]:
            batch, scores = session.settings.batch_size, dict[str, list[float]]()
            try:
                merged = self._made(candidate)
                for label, some in chosen.items():
                    if not len(some):  # its task has no more, and another member's has
                        scores[label] = []
                        continue
                    own = self._own_features(label, held=asked.held)
                    own = None if own is None else own[asked.first : asked.last]
                    state = merged_state(session, merged, label, batch, candidate.members)
                    scores[label] = self._scores(label, state, some, own)
            except (FamilyError, UndefinedError, UsageError) as error:
                return {"missing": str(error)}
            return {"scores": scores}

        record = session.unit(spec, compute)
        if "missing" in record:
            return str(record["missing"])
        return [record["scores"][label] for label in candidate.members]

    def _made(self, candidate: Candidate) -> Mapping[str, Tensor]:
        """The merge; the last one is kept."""
        if self._merged is None or self._merged[0] != candidate.key:
            self._merged = None
            family, device = self._session.family, self._session.settings.device
            made = merge(family, candidate.recipe, members=candidate.members, device=device)
            self._merged = (candidate.key, made)
        return self._merged[1]

    def _own_features(self, label: str, *, held: bool) -> Tensor | None:
        """A model's own features, which are compared, of samples of its task; None for classes."""
        if self._session.task(label).outputs != "features":
            return None
        key = (label, held)
        if key not in self._features:
            samples = self.parts(label).held if held else self.parts(label).looked
            probe, own = self._session.probe(label), self._session.state(label)
            batch = self._session.settings.batch_size
            self._features[key] = probe.logits(own, samples, batch).double()
        return self._features[key]

    def _scores(
        self, label: str, state: Mapping[str, Tensor], samples: Samples, own: Tensor | None
    ) -> list[float]:
        """The score of every sample, by its `own` features where they are what is compared.

        Raises UndefinedError where there is none.
        """
        batch, probe = self._session.settings.batch_size, self._session.probe(label)
        return sample_scores(probe, label, state, samples, batch, own)


_BENCHES: dict[Packed, _Bench] = {}


def _look(words: tuple[Packed, Look]) -> list[list[float]] | str:
    """One look in a worker, which keeps its session for the next one."""
    packed, look = words
    if packed not in _BENCHES:
        _BENCHES.clear()
        session, most, hold = packed
        _BENCHES[packed] = _Bench(unpack(session), most, hold=hold)
    return _BENCHES[packed].look(look)
