"""A model that is not finished yet, merged in memory with finished ones and asked for answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.torch_bridge import read_state
from mergecast.errors import FamilyError, UndefinedError
from mergecast.evidence.settings import ProbeSettings, usual_count
from mergecast.family.family import Family
from mergecast.family.mismatch import BY_TOKEN
from mergecast.merging import merge
from mergecast.merging.recipe import Recipe
from mergecast.merging.stand_ins import with_own_head
from mergecast.search.judge import Seen
from mergecast.search.scores import own_answers, sample_scores
from mergecast.tasks.probe import Probe
from mergecast.tasks.task import Samples, Task
from mergecast.typing import Floats


@dataclass(frozen=True)
class Reference:
    """A model on samples of its own task: what merges with it are compared with.

    Attributes
    ----------
    samples : Samples
        Labelled, by the model's own answers where the task has no labels.
    features : (n, d) Tensor or None
        The model's own, where they are what is compared.
    scores : (n,) array
        The model's own.
    """

    samples: Samples
    features: Tensor | None
    scores: Floats


class PartnerMerges:
    """Merges of one model, which may change, with each of some finished partners.

    Parameters
    ----------
    base : Checkpoint
        What all were fine-tuned from.
    partners : mapping of str to Checkpoint
        The finished models.
    tasks : mapping of str to Task
        Of the partners, and of the model.
    label : str
        What the model is called among the tasks.
    recipe : Recipe
        How it is merged with a partner.
    settings : ProbeSettings
        How many samples, and where models are run and merged.
    """

    def __init__(
        self,
        base: Checkpoint,
        partners: Mapping[str, Checkpoint],
        tasks: Mapping[str, Task],
        label: str,
        recipe: Recipe,
        settings: ProbeSettings,
    ) -> None:
        self.base, self.partners, self.label = base, dict(partners), label
        self.tasks, self.recipe, self.settings = tasks, recipe, settings
        self.private = sorted({x for y in (label, *partners) for x in tasks[y].private})
        self._modules: dict[str, nn.Module] = {}
        self._samples: dict[str, Samples] = {}
        self._finished: dict[str, Reference] = {}

    def prepare(self) -> None:
        """Score the partners on their own samples; once.

        Raises
        ------
        FamilyError, CheckpointError, UsageError
            A partner is no fine-tune of the base, or does not answer its task.
        UndefinedError
            A partner has no score, or one of 0.
        """
        for partner, checkpoint in self.partners.items():
            if partner not in self._finished:
                self._finished[partner] = self.reference(partner, checkpoint)

    def finished(self, partner: str) -> Reference:
        """A partner on its own samples; `prepare` was called."""
        return self._finished[partner]

    def reference(self, label: str, checkpoint: Checkpoint) -> Reference:
        """A model on its own samples; errors as of `prepare`."""
        checkpoint = self._family({label: checkpoint}).models[label]
        samples, batch = self._of_task(label), self.settings.batch_size
        probe, state = self._probe(label, checkpoint), read_state(checkpoint)
        task, features = self.tasks[label], None
        if task.outputs == "values":
            raise UndefinedError(
                f"task {label!r}",
                f"a {task.kind_name} has no classes, and what is kept is a share of a score",
                "leave its model out",
            )
        if task.outputs == "features":
            features = probe.logits(state, samples, batch).double()
        elif samples.labels is None:
            probe.load(state)
            samples = own_answers(probe, samples, batch)
        scores = np.array(sample_scores(probe, label, state, samples, batch, features))
        if not scores.mean() > 0:
            raise UndefinedError(f"model {label!r}", "its score on its own task is 0")
        return Reference(samples, features, scores)

    def kept(self, model: Checkpoint, own: Reference, partner: str) -> Seen:
        """What the model, first, and a partner keep of their own scores in their merge.

        Parameters
        ----------
        model : Checkpoint
            As it is now.
        own : Reference
            The same on its own samples.
        partner : str
            Label of a finished one; `prepare` was called.

        Raises
        ------
        FamilyError, CheckpointError, UsageError
            The two cannot be merged, or the merge not run.
        UndefinedError
            The merge has no score.
        """
        labels = (self.label, partner)
        family = self._family({self.label: model, partner: self.partners[partner]})
        merged = merge(family, self.recipe, device=self.settings.device)
        references = (own, self._finished[partner])
        scores = []
        for label, reference in zip(labels, references, strict=True):
            state = with_own_head(family, merged, label)
            probe = self._probe(label, family.models[label])
            batch = self.settings.batch_size
            given = (probe, label, state, reference.samples, batch, reference.features)
            scores.append(np.array(sample_scores(*given)))
        return Seen.of(scores, [one.scores for one in references])

    def _family(self, models: Mapping[str, Checkpoint]) -> Family:
        try:
            return Family.open(self.base, models, private=self.private)
        except FamilyError as error:
            if error.remedy != BY_TOKEN:
                raise
            # A model in memory has no tokenizer that says which tokens its rows are of.
            remedy = "leave it out: a model in training is merged row by row, as its base is"
            raise FamilyError(error.thing, error.problem, remedy) from error

    def _of_task(self, label: str) -> Samples:
        if label not in self._samples:
            task, count = self.tasks[label], self.settings.count(label)
            if count is None:
                count = usual_count(label, task.size("calibration"))
            self._samples[label] = task.samples(count, self.settings.seed)
        return self._samples[label]

    def _probe(self, label: str, checkpoint: Checkpoint) -> Probe:
        """A probe of a model's task; modules hold no weights, and are kept."""
        task = self.tasks[label]
        module = self._modules.get(task.blueprint)
        probe = Probe(task, self.settings.device, module, checkpoint.passed_on)
        self._modules[task.blueprint] = probe.module
        return probe
