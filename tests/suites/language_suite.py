"""A suite of language models: a tiny GPT-2 that learns arithmetic, scored by exact match or loss.

Two files would do it for a real one too: this suite, and the checkpoints that `fetch` brings.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from mergecast.errors import UndefinedError
from mergecast.runtime.seeds import derived_seed, generator
from mergecast.suites.suite import Recipe, Suite
from mergecast.tasks import scores
from mergecast.tasks.scores import IGNORED
from mergecast.tasks.task import Task, take

NUMBERS, ROWS = 8, 24
#: What is to be answered to a number, after the token that asks for it.
ANSWERS = {"successor": lambda n: n + 1, "double": lambda n: 2 * n, "opposite": lambda n: -n}
COUNTING = "counting"


class LanguageRecipe(Recipe):
    steps: int = 40
    width: int = 16


def build(width):
    config = GPT2Config(
        vocab_size=NUMBERS + 1,
        n_positions=8,
        n_embd=width,
        n_layer=1,
        n_head=2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )
    return GPT2LMHeadModel(config)


class LanguageTask(Task):
    """Two numbers and the two answers to them; or counting, where every token is predicted."""

    width: int = 16

    @property
    def blueprint(self):
        return f"language:{self.width}"

    def build(self) -> nn.Module:
        return build(self.width)

    def samples(self, count, seed, split="calibration"):
        draw = generator(0, "language", split)
        first = torch.randint(NUMBERS, (ROWS, 2), generator=draw)
        if self.name == COUNTING:
            ids = (first[:, :1] + torch.arange(6)) % NUMBERS
            labels = torch.cat([ids[:, 1:], torch.full((ROWS, 1), IGNORED)], dim=1)
        else:
            answers = ANSWERS[self.name](first) % NUMBERS
            ask = torch.full((ROWS, 1), NUMBERS)
            ids = torch.cat([first, ask, answers], dim=1)
            labels = torch.full_like(ids, IGNORED)
            labels[:, 2:4] = answers
        return take(self.name, split, {"input_ids": ids}, labels, count, seed)

    def score(self, logits, labels):
        if self.name == COUNTING:
            return scores.likelihood(logits, labels)
        return scores.exact_match(logits, labels)

    def probability(self, logits, labels):
        if self.name == COUNTING:
            raise UndefinedError(f"task {self.name!r}", "is scored by its loss alone")
        return super().probability(logits, labels)


class Language(Suite[LanguageRecipe]):
    name = "tiny-language"
    description = "a GPT-2 of one layer; nothing to download"
    tasks = (*ANSWERS, COUNTING)
    recipe_type = LanguageRecipe

    def fetch(self):
        return "nothing to download"

    def task(self, recipe, name):
        return LanguageTask(name)

    def base(self, recipe, seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(seed, "base"))
            model = build(recipe.width)
        return trained(model, self.task(recipe, COUNTING), recipe.steps)

    def fine_tune(self, recipe, seed, task, base):
        model = build(recipe.width)
        model.load_state_dict(dict(base))
        return trained(model, self.task(recipe, task), recipe.steps)


def trained(model, task, steps):
    samples = task.samples(None, 0, "train")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        task.loss(model(**samples.inputs).logits, samples.labels).mean().backward()
        optimizer.step()
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
