"""Retention probes: what a model loses alone when a method treats it as if it had partners.

For method M and n members, θ = θ₀ + M(τᵢ, s, …, s), with stand-ins s for the partners
(`mergecast.merging.stand_ins`): copies of the base, as if the partners' task vectors were zero, or
scrambled copies of τᵢ. The model there and the fine-tuned one answer task i's own calibration
samples. N · methods · (1 + draws) merges of one model and as many forward passes, no pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from mergecast.errors import (
    CheckpointError,
    FamilyError,
    MergecastError,
    UndefinedError,
    UsageError,
)
from mergecast.evidence.retention.batchnorm import batchnorm_layers, reestimated
from mergecast.evidence.retention.forms import FORMS, Comparison, compare, mean_of
from mergecast.evidence.session import ProbedFamily, read_state, state_digest
from mergecast.evidence.settings import MergeSettings
from mergecast.merging.decompositions import Decompositions, remembered
from mergecast.merging.method import METHODS
from mergecast.merging.run import merge
from mergecast.merging.stand_ins import merge_alone, private_parameters
from mergecast.runtime.seeds import derived_seed
from mergecast.tasks.probe import Probe
from mergecast.tasks.task import Samples

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Retention:
    """Retention probes of a family.

    Attributes
    ----------
    members : labels of the models.
    found : (member, method, partner) to all forms of `FORMS`.
    batchnorm : what was done about running statistics, in words.
    methods : merging methods probed.
    """

    members: tuple[str, ...]
    found: Mapping[tuple[str, str, str], Comparison]
    batchnorm: str
    methods: tuple[str, ...]

    def value(self, member: str, method: str, form: str, partner: str = "base") -> float:
        """One value; raises UndefinedError with the reason where there is none."""
        return value_of(self.found, (member, method, partner), form)


def collect_retention(
    probed: ProbedFamily,
    *,
    methods: Sequence[str] | None = None,
    settings: MergeSettings | None = None,
    advance: Advance | None = None,
) -> Retention:
    """Probe every model alone, by every method; finished units are kept in the family's store.

    Parameters
    ----------
    probed : the family and its tasks; each model's own samples are used.
    methods : names in `METHODS`; all by default.
    settings : defaults are those of `MergeSettings`.
    advance : called with 1 for each merge probed, ``N · methods · partners`` in all.

    Raises
    ------
    UsageError
        Too few samples, an unknown method.
    """
    names = list(METHODS.names()) if methods is None else list(methods)
    bench = MergeBench(probed, settings or MergeSettings())
    found: dict[tuple[str, str, str], Comparison] = {}
    for member in sorted(probed.family.names):
        with remembered(Decompositions()):
            for method in names:
                for partner in bench.settings.partners:
                    found[member, method, partner] = bench.alone(member, method, partner)
                    if advance:
                        advance(1)
    return Retention(probed.family.names, found, bench.batchnorm, tuple(names))


class MergeBench:
    """The models of a family on their own samples: references once, then any merge of them."""

    def __init__(self, probed: ProbedFamily, settings: MergeSettings) -> None:
        self.probed = probed
        self.family = probed.family
        self.settings = settings
        self._samples: dict[str, Samples] = {}
        self._single: dict[str, Tensor] = {}
        self._base = ""

    def probe(self, member: str) -> Probe:
        """A probe of its own on the family's module: what it loads is nobody else's affair."""
        shared = self.probed.probe(member)
        return Probe(self.probed.tasks[member], self.probed.settings.device, shared.module)

    @property
    def count(self) -> int:
        """Calibration samples a task."""
        return self.settings.samples or self.probed.settings.calibration

    def samples(self, member: str) -> Samples:
        """A model's calibration samples."""
        if member not in self._samples:
            self._samples[member] = self.probed.tasks[member].samples(
                self.count, self.probed.settings.seed
            )
        return self._samples[member]

    def single(self, member: str) -> Tensor:
        """A model's own logits on its samples; computed once."""
        if member not in self._single:
            state, batch = self.probed.state(member), self.probed.settings.batch_size
            probe, samples = self.probe(member), self.samples(member)
            try:
                logits = probe.logits(state, samples, batch)
                if samples.labels is not None:
                    probe.task.check_labels(logits, samples.labels)
            except MergecastError as error:
                raise error.about(f"model {member!r}") from error
            self._single[member] = logits
        return self._single[member]

    def spec(self, stage: str, member: str, **more: object) -> dict[str, object]:
        """What a unit about one model is stored under; `more` names the others by content."""
        if not self._base:
            self._base = state_digest(read_state(self.family.base))
        return self.probed.spec(
            stage,
            member,
            self.samples(member),
            base=self._base,
            random_stream=member,
            merge_seed=self.settings.merge_seed,
            **more,
        )

    def kept(self, spec: dict[str, object], compute: Callable[[], Comparison]) -> Comparison:
        """The comparison stored under `spec`, computed where there is none."""
        stored = self.probed.store.get(spec)
        if stored is None:
            found = compute()
            stored = {"values": dict(found.values), "missing": dict(found.missing)}
            self.probed.store.put(spec, stored)
        return Comparison(stored["values"], stored["missing"])

    def _how(self, method: str) -> dict[str, object]:
        """What a merge by `method` depends on, besides the models."""
        return {
            "method": method,
            "params": METHODS.get(method).validate(self.settings.params.get(method)),
            "batchnorm": self.settings.reestimate_batchnorm,
        }

    def alone(self, member: str, method: str, partner: str) -> Comparison:
        """A model merged with stand-ins, against itself; the mean over draws if they are random."""
        size, draws = self.settings.size, 1 if partner == "base" else self.settings.draws
        spec = self.spec(
            "retention", member, partner=partner, size=size, draws=draws, **self._how(method)
        )
        return self.kept(spec, lambda: self._alone(member, method, partner, draws))

    def _alone(self, member: str, method: str, partner: str, draws: int) -> Comparison:
        comparisons = []
        for draw in range(draws):
            try:
                merged = merge_alone(
                    self.family,
                    member,
                    method,
                    size=self.settings.size,
                    partner=partner,
                    draw=derived_seed(self.probed.settings.seed, draw),
                    params=self.settings.params.get(method),
                    seed=self.settings.merge_seed,
                    device=self.probed.settings.device,
                )
            except (FamilyError, UndefinedError, UsageError) as error:
                return _impossible(method, error)
            comparisons.append(self.compare(member, merged))
        return mean_of(comparisons)

    def together(self, members: Sequence[str], method: str) -> dict[str, Comparison]:
        """The real merge of `members`, each of them on its own samples."""
        merged: dict[str, Tensor] = {}

        def compute(member: str) -> Comparison:
            if not merged:
                try:
                    merged.update(self._merge(members, method))
                except (FamilyError, UndefinedError, UsageError) as error:
                    return _impossible(method, error)
            return self.compare(member, merged)

        models = {label: self.probed.digest(label) for label in sorted(members)}
        found = {}
        for member in members:
            spec = self.spec("pair probe", member, models=models, **self._how(method))
            found[member] = self.kept(spec, partial(compute, member))
        return found

    def _merge(self, members: Sequence[str], method: str) -> dict[str, Tensor]:
        return merge(
            self.family,
            method,
            members=members,
            params=self.settings.params.get(method),
            seed=self.settings.merge_seed,
            device=self.probed.settings.device,
        )

    def compare(self, member: str, merged: Mapping[str, Tensor]) -> Comparison:
        """All forms of merged weights on one member's samples, with that member's head."""
        samples, batch = self.samples(member), self.probed.settings.batch_size
        private = private_parameters(self.family, member)
        shared = {name: merged[name] for name in self.family.shared}
        probe = self.probe(member)
        parameters: Mapping[str, Tensor] = {**shared, **private}
        try:
            if self.settings.reestimate_batchnorm:
                parameters = reestimated(probe, parameters, samples, batch)
            logits = probe.logits(parameters, samples, batch)
        except CheckpointError as error:
            raise error.about(f"model {member!r}") from error
        return compare(logits, self.single(member), samples.labels)

    @property
    def batchnorm(self) -> str:
        """What happens to BatchNorm's running statistics after a merge."""
        layers = {len(batchnorm_layers(self.probe(member).module)) for member in self.family.names}
        if layers == {0}:
            return "the models have no BatchNorm"
        if self.settings.reestimate_batchnorm:
            return f"running statistics re-estimated on {self.count} samples a task"
        return "running statistics as merged"


def value_of(
    found: Mapping[tuple[str, str, str], Comparison], key: tuple[str, str, str], form: str
) -> float:
    """A form's value among comparisons; UndefinedError where it is missing, with the reason."""
    if form not in FORMS:
        raise UsageError.unknown("form of retention", form, FORMS)
    if key not in found:
        raise UndefinedError(f"model {key[0]!r}", f"was not probed with {' and '.join(key[1:])}")
    comparison = found[key]
    if form in comparison.missing:
        raise UndefinedError(f"model {key[0]!r}", comparison.missing[form])
    return comparison.values[form]


def _impossible(method: str, error: Exception) -> Comparison:
    return Comparison({}, dict.fromkeys(FORMS, f"no merge by {method}: {error}"))
