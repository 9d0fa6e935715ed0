"""Padding is cut where a model does not look at it; wide layers multiply as they did."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mergecast.tasks import batches
from mergecast.tasks.probe import Probe
from mergecast.tasks.task import Samples, Task

LONGEST, N = 24, 20


class Pooled(nn.Module):
    """The mean embedding of what is no padding, through a layer; or of everything."""

    def __init__(self, *, masked=True, tokens=False, length=None, wide=6):
        super().__init__()
        self.embed, self.masked, self.tokens = nn.Embedding(30, 6), masked, tokens
        self.head, self.length = nn.Linear(6, wide), length

    def forward(self, input_ids, attention_mask):
        if self.length not in (None, input_ids.shape[1]):
            raise ValueError("takes texts of one length")
        found = self.embed(input_ids)
        if self.tokens:
            return self.head(found)
        weights = attention_mask.float() if self.masked else torch.ones_like(input_ids).float()
        return self.head((found * weights[..., None]).sum(1) / attention_mask.sum(1, keepdim=True))


class Padded(Task):
    def __init__(self, module):
        super().__init__("padded")
        self.module = module

    def build(self):
        return self.module

    def samples(self, count, seed, split="calibration"):
        draw = torch.Generator().manual_seed(seed)
        ids = torch.randint(1, 30, (count, LONGEST), generator=draw)
        lengths = torch.randint(3, LONGEST, (count,), generator=draw)
        lengths[0] = LONGEST
        mask = (torch.arange(LONGEST) < lengths[:, None]).long()
        inputs = {"input_ids": ids, "attention_mask": mask}
        return Samples(inputs, None, tuple(map(str, range(count))))


def run(monkeypatch, **options):
    """Logits in batches of four, logits of all samples at once, and the tokens that were run."""
    torch.manual_seed(0)
    module = Pooled(**options)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    task, tokens, forward = Padded(module), [], Probe.forward
    samples, probe = task.samples(N, 0), Probe(task)
    probe.load(state)
    with torch.no_grad():
        whole = probe.forward(samples)

    def counted(self, part):
        tokens.append(part.inputs["input_ids"].numel())
        return forward(self, part)

    monkeypatch.setattr(Probe, "forward", counted)
    return probe.logits(state, samples, 4), whole, sum(tokens), samples


def test_samples_answer_in_their_order_with_less_padding(monkeypatch):
    logits, whole, tokens, samples = run(monkeypatch)
    torch.testing.assert_close(logits, whole)
    assert int(samples.inputs["attention_mask"].sum()) < tokens < 0.8 * N * LONGEST


def test_answers_about_tokens_keep_their_places(monkeypatch):
    logits, whole, tokens, samples = run(monkeypatch, tokens=True)
    mask = samples.inputs["attention_mask"].bool()
    torch.testing.assert_close(logits[mask], whole[mask])
    assert logits.shape == whole.shape
    assert tokens < 0.8 * N * LONGEST


@pytest.mark.parametrize("options", [{"masked": False}, {"length": LONGEST}])
def test_a_model_that_looks_at_padding_gets_it(monkeypatch, options):
    logits, whole, tokens, _ = run(monkeypatch, **options)
    torch.testing.assert_close(logits, whole)
    assert tokens >= N * LONGEST


def test_padding_before_the_text_stays():
    samples = Padded(None).samples(N, 0)
    flipped = {name: value.flip(1) for name, value in samples.inputs.items()}
    assert batches.Lengths.of(Samples(flipped, None, samples.ids)) is None
    assert batches.Lengths.of(Samples({"x": torch.zeros(3, 2)}, None, ("a", "b", "c"))) is None


def test_wide_layers_multiply_by_onednn_and_learn_as_ever(monkeypatch):
    wide = batches.WIDE // 6 + 1
    logits, whole, *_ = run(monkeypatch, wide=wide)
    layer, x = nn.Linear(6, wide), torch.randn(5, 3, 6)
    with torch.no_grad(), batches.products_of(layer.parameters()) as mode:
        assert isinstance(mode, batches.OneDNN)
        fast = layer(x)
    torch.testing.assert_close(fast, layer(x).detach())
    torch.testing.assert_close(logits, whole)
    with batches.products_of(layer.parameters()) as mode:
        assert mode is None
        layer(x).sum().backward()
    assert layer.weight.grad is not None
