"""Retention probes: what a model loses alone when a method treats it as if it had partners.

For method M and n members, θ = θ₀ + M(τᵢ, s, …, s), with stand-ins s for the partners
(`mergecast.merging.alone`): copies of the base, as if the partners' task vectors were zero, or
scrambled copies of τᵢ. The model there and the fine-tuned one answer task i's own calibration
samples. N · methods · (1 + draws) merges of one model and as many forward passes, no pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from mergecast.errors import CheckpointError, FamilyError, UndefinedError, UsageError
from mergecast.family.family import Family
from mergecast.fingerprints.batchnorm import batchnorm_layers, reestimated
from mergecast.fingerprints.forms import FORMS, Comparison, compare, mean_of
from mergecast.merging.alone import (
    PARTNERS,
    Partner,
    merge_alone,
    own_parameters,
    private_parameters,
)
from mergecast.merging.method import METHODS
from mergecast.merging.run import merge
from mergecast.runtime.seeds import derived_seed
from mergecast.tasks.probe import BATCH_SIZE, Probe
from mergecast.tasks.task import Samples, Task

Progress = Callable[[int, int], None]
#: Calibration samples of a task.
SAMPLES = 40
#: Shuffles of a scrambled partner, averaged.
DRAWS = 3


@dataclass(frozen=True)
class ProbeSettings:
    """How merges are made and measured, alike for retention and pair probes.

    Attributes
    ----------
    samples : calibration samples a task.
    seed : of the samples and of scrambled partners.
    merge_seed : of random masks; the seed that a real merge will be given.
    params : method to its parameters, where they differ from the defaults.
    size : number of models merged, partners' stand-ins included.
    partners : stand-ins for the partner, in retention probes.
    draws : shuffles of the scrambled partner that are averaged.
    reestimate_batchnorm : measure BatchNorm's running statistics anew on the calibration samples
        after each merge; otherwise they stay as merged.
    """

    samples: int = SAMPLES
    seed: int = 0
    merge_seed: int = 0
    params: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    size: int = 2
    partners: tuple[Partner, ...] = PARTNERS
    draws: int = DRAWS
    reestimate_batchnorm: bool = False
    batch_size: int = BATCH_SIZE
    device: str = "cpu"


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

    def value(self, member: str, method: str, form: str, partner: Partner = "base") -> float:
        """One value; raises UndefinedError with the reason where there is none."""
        return value_of(self.found, (member, method, partner), form)


def collect_retention(
    family: Family,
    tasks: Mapping[str, Task],
    *,
    methods: Sequence[str] | None = None,
    settings: ProbeSettings | None = None,
    progress: Progress | None = None,
) -> Retention:
    """Probe every model alone, by every method.

    Parameters
    ----------
    family : base and models.
    tasks : label to task; the model's own samples are read from it.
    methods : names in `METHODS`; all by default.
    settings : defaults are those of `ProbeSettings`.
    progress : called with (merges probed, merges).

    Raises
    ------
    UsageError
        A model has no task, or a task too few samples.
    """
    settings = settings or ProbeSettings()
    names = list(METHODS.names()) if methods is None else list(methods)
    bench = Bench(family, tasks, settings)
    total = family.size * len(names) * len(settings.partners)
    found: dict[tuple[str, str, str], Comparison] = {}
    for member in sorted(family.names):
        for method in names:
            for partner in settings.partners:
                found[member, method, partner] = bench.alone(member, method, partner)
                if progress:
                    progress(len(found), total)
    return Retention(family.names, found, bench.batchnorm, tuple(names))


class Bench:
    """The models of a family on their own samples: references once, then any merge of them."""

    def __init__(self, family: Family, tasks: Mapping[str, Task], settings: ProbeSettings) -> None:
        for member in family.names:
            if member not in tasks:
                raise UsageError(
                    f"model {member!r}", "has no task", f"name one; tasks: {', '.join(tasks)}"
                )
        self.family = family
        self.tasks = {member: tasks[member] for member in family.names}
        self.settings = settings
        self._probes: dict[str, Probe] = {}
        self._single: dict[str, tuple[Samples, Tensor]] = {}

    def probe(self, member: str) -> Probe:
        """The probe of a model's task; tasks of one blueprint share the module."""
        task = self.tasks[member]
        if task.blueprint in self._probes:
            shared = self._probes[task.blueprint].module
            return Probe(task, self.settings.device, shared)
        return self._probes.setdefault(task.blueprint, Probe(task, self.settings.device))

    def single(self, member: str) -> tuple[Samples, Tensor]:
        """A model's calibration samples and its own logits on them; computed once."""
        if member not in self._single:
            samples = self.tasks[member].samples(self.settings.samples, self.settings.seed)
            parameters = own_parameters(self.family, member)
            logits = self.probe(member).logits(parameters, samples, self.settings.batch_size)
            self._single[member] = samples, logits
        return self._single[member]

    def alone(self, member: str, method: str, partner: Partner) -> Comparison:
        """A model merged with stand-ins, against itself; the mean over draws if they are random."""
        settings = self.settings
        draws = 1 if partner == "base" else settings.draws
        comparisons = []
        for draw in range(draws):
            try:
                merged = merge_alone(
                    self.family,
                    member,
                    method,
                    size=settings.size,
                    partner=partner,
                    draw=derived_seed(settings.seed, draw),
                    params=settings.params.get(method),
                    seed=settings.merge_seed,
                    device=settings.device,
                )
            except (FamilyError, UndefinedError, UsageError) as error:
                return _impossible(method, error)
            comparisons.append(self.compare(member, merged))
        return mean_of(comparisons)

    def together(self, members: Sequence[str], method: str) -> dict[str, Comparison]:
        """The real merge of `members`, each of them on its own samples."""
        try:
            merged = merge(
                self.family,
                method,
                members=members,
                params=self.settings.params.get(method),
                seed=self.settings.merge_seed,
                device=self.settings.device,
            )
        except (FamilyError, UndefinedError, UsageError) as error:
            return dict.fromkeys(members, _impossible(method, error))
        return {member: self.compare(member, merged) for member in members}

    def compare(self, member: str, merged: Mapping[str, Tensor]) -> Comparison:
        """All forms of merged weights on one member's samples, with that member's head."""
        samples, single = self.single(member)
        private = private_parameters(self.family, member)
        shared = {name: merged[name] for name in self.family.shared}
        probe = self.probe(member)
        parameters: Mapping[str, Tensor] = {**shared, **private}
        if self.settings.reestimate_batchnorm:
            parameters = reestimated(probe, parameters, samples, self.settings.batch_size)
        try:
            logits = probe.logits(parameters, samples, self.settings.batch_size)
        except CheckpointError as error:
            raise error.about(f"model {member!r}") from error
        return compare(logits, single, samples.labels)

    @property
    def batchnorm(self) -> str:
        """What happens to BatchNorm's running statistics after a merge."""
        layers = {len(batchnorm_layers(self.probe(member).module)) for member in self.tasks}
        if layers == {0}:
            return "the models have no BatchNorm"
        if self.settings.reestimate_batchnorm:
            return f"running statistics re-estimated on {self.settings.samples} samples a task"
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
