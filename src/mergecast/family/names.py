"""Under which name a model has a parameter of its base, where known rules make names differ.

The same tensor is called differently when a wrapper saved it (``module.``, ``_orig_mod.``,
``model.``), when the base was saved as a bare encoder and the model with a head around it, and in
checkpoints older than a renaming (``LayerNorm.gamma``). A rule is taken only where it is exact: it
must lead more of the base's parameters to tensors of the same shape than their own names do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mergecast.checkpoints.checkpoint import Checkpoint, TensorInfo
from mergecast.checkpoints.renamed import RenamedCheckpoint

#: Last parts of names that older checkpoints have, to today's.
_LEGACY = {"gamma": "weight", "beta": "bias"}
#: Leading parts of a name that may be a wrapper or an encoder's place in a larger model.
_DEEPEST = 3

Infos = Mapping[str, TensorInfo]


def named_as(base: Checkpoint, model: Checkpoint) -> Checkpoint:
    """The model under the base's names, where a rule says what they are; itself otherwise.

    What was done is in the `notes` of the checkpoint returned.
    """
    match = match_names(base.infos, model.infos)
    taken = {name for name in match.names if name in model.infos}
    if match.is_identity or taken - set(match.names.values()):
        return model
    renamed = RenamedCheckpoint(model, match.names)
    renamed.notes = (*model.notes, f"aligned by name: {'; '.join(match.rules)}")
    return renamed


@dataclass(frozen=True)
class NameMap:
    """How a model's names follow from its base's.

    Attributes
    ----------
    removed, added : str
        A prefix that base names lose, and the one that they get in its place.
    names : mapping of str to str
        Name in the base to name in the model, where they differ.
    rules : tuple of str
        What was done, in words; empty where nothing was.
    """

    removed: str = ""
    added: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[str, ...] = ()

    @property
    def is_identity(self) -> bool:
        """Whether every name is the same in both."""
        return not self.names


def match_names(base: Infos, model: Infos) -> NameMap:
    """The rule that leads the most parameters of `base` to tensors of `model`.

    Parameters
    ----------
    base, model : mapping of str to TensorInfo
        Headers of the two checkpoints.

    Returns
    -------
    NameMap
        The identity where no rule leads to more parameters than the names themselves.
    """
    today = {_today(name): name for name in model}
    floats = [name for name, info in base.items() if info.is_floating]
    best = ("", "")
    most = _matches(base, model, today, floats, best)
    if most < len(floats):
        for change in _candidates(floats, today):
            count = _matches(base, model, today, floats, change)
            if count > most:
                best, most = change, count
    return _name_map(base, today, best)


def _name_map(base: Infos, today: Mapping[str, str], change: tuple[str, str]) -> NameMap:
    removed, added = change
    names: dict[str, str] = {}
    legacy = ""
    for name in base:
        target = _target(name, today, change)
        if target is None or target == name:
            continue
        names[name] = target
        if _today(name) == name and _today(target) != target:
            legacy = legacy or target
        if _today(name) != name and _today(target) == target:
            legacy = legacy or name
    rules = []
    if removed and added:
        rules.append(f"the base's {removed!r} is {added!r} here")
    elif added:
        rules.append(f"{added!r} stands before the base's names")
    elif removed:
        rules.append(f"the base's names without {removed!r}")
    if legacy:
        rules.append(f"older names of layer norms, such as {legacy!r}")
    return NameMap(removed, added, names, tuple(rules))


def _matches(
    base: Infos,
    model: Infos,
    today: Mapping[str, str],
    floats: list[str],
    change: tuple[str, str],
) -> int:
    """Parameters of the base that the change leads to a tensor of their shape."""
    count = 0
    for name in floats:
        target = _target(name, today, change)
        count += target is not None and model[target].shape == base[name].shape
    return count


def _target(name: str, today: Mapping[str, str], change: tuple[str, str]) -> str | None:
    removed, added = change
    if not name.startswith(removed):
        return None
    return today.get(_today(added + name[len(removed) :]))


def _candidates(floats: list[str], today: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Changes of prefix that some parameter suggests, the most suggested first."""
    by_tail: dict[str, list[str]] = {}
    for name in today:
        for start in _starts(name):
            by_tail.setdefault(name[start:], []).append(name[:start])
    votes: Counter[tuple[str, str]] = Counter()
    for name in floats:
        for start in _starts(_today(name)):
            for added in by_tail.get(_today(name)[start:], ()):
                votes[name[:start], added] += 1
    # Among equals the one that changes least: what both sides share is no part of the change.
    order = sorted(votes, key=lambda change: (-votes[change], sum(map(len, change)), change))
    yield from order[:_TRIED]


#: Changes of prefix that are tried; the right one is suggested by every parameter.
_TRIED = 8


def _starts(name: str) -> list[int]:
    """Where the name begins without its first 0, 1, … parts."""
    starts = [0]
    for _ in range(_DEEPEST):
        dot = name.find(".", starts[-1])
        if dot < 0:
            break
        starts.append(dot + 1)
    return starts


def _today(name: str) -> str:
    """The name by today's rules: a layer norm's scale and shift are ``weight`` and ``bias``."""
    head, _, last = name.rpartition(".")
    if last in _LEGACY and "norm" in head.rpartition(".")[2].lower():
        return f"{head}.{_LEGACY[last]}"
    return name
