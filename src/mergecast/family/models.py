"""Models as people give them, and what makes one a fine-tune of a base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.hub_headers import is_unfetched, open_headers
from mergecast.errors import CheckpointError, FamilyError, UsageError
from mergecast.family.labels import labelled
from mergecast.family.mismatch import mismatch
from mergecast.family.names import named_as
from mergecast.family.ties import tied_as
from mergecast.family.vocabulary import by_token

#: Fine-tuned models as people have them: one path, several, or label to path, or to what is open.
Models: TypeAlias = (
    str | Path | Sequence[str | Path] | Mapping[str, str | Path] | Mapping[str, Checkpoint]
)


def paths_of(models: Models) -> Mapping[str, str | Path | Checkpoint]:
    """Models as people give them, as label to path, or to what was opened.

    Raises
    ------
    UsageError
        There are none, one is given twice, or a label contains what joins members.
    """
    models = [models] if isinstance(models, str | Path) else models
    paths = models if isinstance(models, Mapping) else labelled(models)
    if not paths:
        raise UsageError("models", "none given", "give at least one fine-tuned checkpoint")
    for label in paths:
        if "+" in label:
            raise UsageError(f"model label {label!r}", "contains '+'", "rename it")
    return paths


@dataclass(frozen=True)
class Rules:
    """How a model is held against its base."""

    private: Sequence[str]
    strict: bool
    by_token: bool

    def model(self, base: Checkpoint, opened: Checkpoint) -> tuple[Checkpoint, Checkpoint]:
        """A model under its base's names, and with its rows too; raises for what is none of it."""
        raw = tied_as(base, named_as(base, opened))
        model = by_token(base, raw) if self.by_token else raw
        _refuse(base, model, self.private, self.strict)
        return raw, model


def refused_ahead(
    base: str | Path | Checkpoint, paths: Mapping[str, str | Path | Checkpoint], rules: Rules
) -> dict[str, FamilyError]:
    """Models that are none of the base by headers alone, before gigabytes are fetched for it.

    What cannot be read so is not judged here: opening it says what is wrong.
    """
    refused: dict[str, FamilyError] = {}
    try:
        given = [one for one in (base, *paths.values()) if not isinstance(one, Checkpoint)]
        if not any(is_unfetched(one) for one in given):
            return refused
        plain = base if isinstance(base, Checkpoint) else open_headers(base)
    except CheckpointError:
        return refused
    for label, path in paths.items():
        try:
            model = path if isinstance(path, Checkpoint) else open_headers(path, plain)
            rules.model(plain, model)
        except FamilyError as error:
            refused[label] = error
        except CheckpointError:
            continue
    return refused


def _refuse(base: Checkpoint, model: Checkpoint, private: Sequence[str], strict: bool) -> None:
    """Raise FamilyError for what is no fine-tune of the base."""
    problem = mismatch(base, model, private) if strict else None
    if problem:
        raise problem
    if not any(
        name in model.infos and info.is_floating and model.infos[name].shape == info.shape
        for name, info in base.infos.items()
    ):
        raise FamilyError(
            model.path,
            f"shares no floating-point parameter with the base {base.path}",
            "use the base model this checkpoint was fine-tuned from",
        )
