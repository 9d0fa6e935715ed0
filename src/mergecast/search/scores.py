"""What the answer to each sample is worth: by its label, or by what the model itself answers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from mergecast.errors import UndefinedError
from mergecast.tasks.measure import measure
from mergecast.tasks.probe import Probe
from mergecast.tasks.scores import IGNORED
from mergecast.tasks.task import Samples


def own_answers(probe: Probe, samples: Samples, batch_size: int) -> Samples:
    """The samples with the answers of the loaded model as their labels."""
    parts = (probe.forward(one).cpu().argmax(dim=-1) for one in samples.batches(batch_size))
    with torch.no_grad():
        answers = torch.cat(list(parts))
    if answers.dim() == 2:
        tokens = samples.tokens(answers.shape[1], decoder=probe.has_encoder_and_decoder)
        if tokens is not None:
            answers = answers.masked_fill(~tokens, IGNORED)
    return Samples(samples.inputs, answers, samples.ids)


def sample_scores(
    probe: Probe,
    label: str,
    state: Mapping[str, Tensor],
    samples: Samples,
    batch_size: int,
    own: Tensor | None = None,
) -> list[float]:
    """The score of every sample at the weights of `state`.

    Parameters
    ----------
    probe : Probe
        Of the task of model `label`.
    label : str
        Whose task it is, for errors.
    state : mapping of str to Tensor
        What is run.
    samples : Samples
        With labels, where they are scored by them.
    batch_size : int
        Samples run at once.
    own : (n, d) Tensor, optional
        The model's own features, where they are what is compared.

    Raises
    ------
    UndefinedError
        There is no score.
    """
    if own is not None:
        here = probe.logits(state, samples, batch_size).double()
        similar: list[float] = functional.cosine_similarity(own, here, dim=-1).clamp(0, 1).tolist()
        return similar
    probe.load(state)
    found = measure(probe, samples, batch_size)
    if "score" in found.missing:
        raise UndefinedError(f"model {label!r}", f"has no score: {found.missing['score']}")
    return list(found.samples)
