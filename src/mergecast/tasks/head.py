"""A model's head: what of its checkpoint lies outside the backbone of its architecture."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.module_names import ModuleNames
from mergecast.checkpoints.tables import is_table

if TYPE_CHECKING:
    from torch import nn


class Head:
    """A model's parameters outside the backbone of its architecture, as its module has them.

    Attributes
    ----------
    names : list of str
        Those that have a place in the module, by the checkpoint's names, in the module's order.
    outputs : int or None
        Rows of the last matrix among them.
    missing : list of str
        What the module has and the checkpoint does not, by the module's names.
    """

    def __init__(self, model: Checkpoint, module: nn.Module) -> None:
        self._model = model
        names, shapes = ModuleNames(module), {k: v.shape for k, v in module.state_dict().items()}
        order = list(shapes)
        needed = {
            names.canonical[k] for k, v in module.state_dict().items() if v.is_floating_point()
        }
        backbone = f"{getattr(module, 'base_model_prefix', '')}."
        bare = not any(name.startswith(backbone) for name in shapes)
        places = {
            name: names.get(name)
            for name, one in model.infos.items()
            if not is_table(name, one.shape, is_floating=one.is_floating)
        }
        placed = {name: target for name, target in places.items() if target in shapes}
        outside = [n for n, t in placed.items() if not (bare or t.startswith(backbone))]
        self.names = sorted(outside, key=lambda name: order.index(placed[name]))
        self.missing = sorted(needed - set(placed.values()))
        self._unfit = [
            name
            for name in places
            if name not in placed or tuple(shapes[placed[name]]) != model.infos[name].shape
        ]
        matrices = [one for n in self.names if len((one := model.infos[n]).shape) > 1]
        self.outputs = matrices[-1].shape[0] if matrices else None

    def patterns(self, owned: Sequence[str]) -> list[str]:
        """Patterns of what does not fit the module, and of the parameters `owned`."""
        wanted = dict.fromkeys([*owned, *self._unfit])
        return list(dict.fromkeys(self._pattern(name, wanted) for name in wanted))

    def _pattern(self, name: str, wanted: Collection[str]) -> str:
        part, dot, _ = name.partition(".")
        whole = all(n in wanted for n in self._model.infos if n.startswith(part + "."))
        return f"{part}.*" if dot and whole else name
