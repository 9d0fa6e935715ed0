"""A task whose model is run with its family's numbers of tokens, where rows are matched by token.

Its samples were made by the model's own tokenizer. Numbers of tokens in inputs and labels, the rows
of the module that runs, and tokens that its config names become the family's here, and nowhere
else: whatever runs a model or a merge sees one order of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mergecast.checkpoints.module_names import ModuleNames
from mergecast.checkpoints.numbering import Numbering
from mergecast.errors import UsageError
from mergecast.runtime.stage import Stage
from mergecast.tasks.kinds import Outputs
from mergecast.tasks.scores import IGNORED, ScoreName
from mergecast.tasks.task import Samples, Split, Task

#: Rows and samples brought into a family's order of tokens.
RENUMBERED = Stage(
    "tokens matched",
    1,
    modules=(
        "mergecast.tasks.renumbered",
        "mergecast.checkpoints.numbering",
        "mergecast.checkpoints.rows",
        "mergecast.family.vocabulary",
        "mergecast.family.token_names",
        "mergecast.family.token_rows",
    ),
)
#: Ends of the names of inputs that hold numbers of tokens, and of a config's fields that do.
_IDS, _FIELDS = "input_ids", ("_token_id", "_token_index")
_BIAS = "final_logits_bias"


@dataclass
class RenumberedTask(Task):
    """Another task, with its family's numbers of tokens.

    Attributes
    ----------
    inner : Task
        The task as it is given.
    numbering : Numbering
        Its model's numbers and the family's.
    """

    inner: Task
    numbering: Numbering

    @classmethod
    def of(cls, task: Task, numbering: Numbering) -> RenumberedTask:
        """A task with other numbers."""
        return cls(task.name, task, numbering, private=task.private, batch_size=task.batch_size)

    def build(self) -> nn.Module:
        """The architecture with as many rows as the family has."""
        module = self.inner.build()
        _widen(module, self.numbering)
        _rename_tokens(module, self.numbering)
        return module

    def samples(self, count: int | None, seed: int, split: Split = "calibration") -> Samples:
        """The task's samples with the family's numbers.

        Raises UsageError where one has a token that the merge leaves out.
        """
        given = self.inner.samples(count, seed, split)
        inputs = dict(given.inputs)
        names = [name for name in inputs if name.endswith(_IDS)]
        if not names:
            self._refuse_unnamed(inputs)
        for name in names:
            mask = inputs.get(f"{name.removesuffix(_IDS)}attention_mask")
            inputs[name] = self._renumbered(inputs[name], mask)
        labels = given.labels
        if labels is not None and self.answers_tokens:
            asked = labels != IGNORED
            labels = torch.where(asked, self._renumbered(labels, asked), labels)
        return Samples(inputs, labels, given.ids)

    def size(self, split: Split) -> int:
        """As of the task."""
        return self.inner.size(split)

    @property
    def blueprint(self) -> str:
        """The task's, and the numbers."""
        return f"{self.inner.blueprint}:{self.numbering.digest()}"

    @property
    def definition(self) -> dict[str, object]:
        """As of the task."""
        return self.inner.definition

    def head(self) -> Mapping[str, Tensor]:
        """As of the task."""
        return self.inner.head()

    @property
    def kind_name(self) -> str:
        """As of the task."""
        return self.inner.kind_name

    @property
    def score_name(self) -> ScoreName:
        """As of the task."""
        return self.inner.score_name

    @property
    def outputs(self) -> Outputs:
        """As of the task."""
        return self.inner.outputs

    @property
    def answers_tokens(self) -> bool:
        """As of the task."""
        return self.inner.answers_tokens

    def answer(self, output: Any, samples: Samples) -> Tensor:
        """As of the task."""
        return self.inner.answer(output, samples)

    def score(self, logits: Tensor, labels: Tensor) -> Tensor:
        """As of the task."""
        return self.inner.score(logits, labels)

    def probability(self, logits: Tensor, labels: Tensor) -> Tensor:
        """As of the task."""
        return self.inner.probability(logits, labels)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """As of the task."""
        return self.inner.loss(logits, labels)

    def logits(self, output: Any) -> Tensor:
        """As of the task."""
        return self.inner.logits(output)

    def check_labels(self, logits: Tensor, labels: Tensor) -> None:
        """As of the task."""
        self.inner.check_labels(logits, labels)

    def _renumbered(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """Numbers of tokens as the family has them; what is masked and left out becomes a pad."""
        table = torch.from_numpy(self.numbering.numbers)
        known = (ids >= 0) & (ids < len(table))
        found = torch.where(known, table[ids.clamp(0, len(table) - 1).long()], ids.long())
        lacking = known & (found < 0)
        if self.numbering.padding is not None:
            lacking &= ids != self.numbering.padding
        if mask is not None and mask.shape == ids.shape:
            lacking &= mask != 0
        if bool(lacking.any()):
            rows = int(lacking.flatten(1).any(dim=1).sum())
            token = self.numbering.left_out.get(int(ids[lacking][0]), "")
            raise UsageError(
                f"task {self.name!r}",
                f"{rows} of {len(ids)} samples have a token that merges leave out, as {token!r}",
                "keep new tokens by --vocabulary union, or give samples without them",
            )
        return torch.where(known & (found < 0), self.numbering.pad, found).to(ids.dtype)

    def _refuse_unnamed(self, inputs: Mapping[str, Tensor]) -> None:
        """Raise UsageError where numbers of tokens may stand under a name that nobody knows."""
        whole = [name for name, value in inputs.items() if not value.is_floating_point()]
        if whole and not self.numbering.is_identity:
            raise UsageError(
                f"task {self.name!r}",
                f"has inputs {', '.join(whole)}, of which none is called input_ids: tokens have "
                "other numbers in the family than in its model, and nothing says where they are",
                "call the input that holds them input_ids",
            )


def _widen(module: nn.Module, numbering: Numbering) -> None:
    """Give parameters with a row a token as many rows as there are; values do not matter here."""
    names, rows = ModuleNames(module), numbering.rows
    places = module.state_dict(keep_vars=True)
    found = {target for name in numbering.names if (target := names.get(name)) is not None}
    old = {id(places[target]) for target in found if target in places}
    wide: dict[int, nn.Parameter] = {}
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is None or id(value) not in old:
                continue
            if id(value) not in wide:
                shape = (rows, *value.shape[1:])
                wide[id(value)] = nn.Parameter(value.new_zeros(shape), value.requires_grad)
            part._parameters[name] = wide[id(value)]
            if isinstance(part, nn.Embedding):
                part.num_embeddings = rows
                if part.padding_idx is not None:
                    part.padding_idx = numbering.number(part.padding_idx)
            elif isinstance(part, nn.Linear):
                part.out_features = rows
        bias = part._buffers.get(_BIAS)
        if bias is not None:
            part._buffers[_BIAS] = bias.new_zeros((*bias.shape[:-1], rows))


def _rename_tokens(module: nn.Module, numbering: Numbering) -> None:
    """Tokens that configs and layers name, by the family's numbers."""
    for config in _configs(module):
        if isinstance(getattr(config, "vocab_size", None), int):
            config.vocab_size = numbering.rows
        for name, value in list(vars(config).items()):
            if name.endswith(_FIELDS) and not isinstance(value, bool):
                if isinstance(value, int):
                    setattr(config, name, numbering.number(value))
                elif isinstance(value, list) and all(isinstance(one, int) for one in value):
                    setattr(config, name, [numbering.number(one) for one in value])
    for part in module.modules():
        padding = vars(part).get("padding_idx")
        if isinstance(padding, int) and not isinstance(part, nn.Embedding):
            vars(part)["padding_idx"] = numbering.number(padding)


def _configs(module: nn.Module) -> Iterator[Any]:
    """The configs of a module and its parts, and that of its text, each once."""
    seen: set[int] = set()
    for part in module.modules():
        config = vars(part).get("config")
        for one in (config, getattr(config, "text_config", None)):
            if one is not None and not isinstance(one, dict) and id(one) not in seen:
                seen.add(id(one))
                yield one
