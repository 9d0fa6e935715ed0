"""Under which name a module has a tensor of a checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Callable

from torch import nn


class ModuleNames:
    """The names of a module's parameters and buffers, and of the same in checkpoints.

    A checkpoint may use another name for three reasons: the tensor is tied and kept under its
    other name; only the encoder was saved, without the prefix it has beside a head (or the other
    way round); transformers has renamed parts of an architecture since, and still reads and
    writes its checkpoints by the old names.

    Attributes
    ----------
    canonical : dict of str to str
        Every name of the module to the first name of the same tensor.
    """

    def __init__(self, module: nn.Module) -> None:
        first: dict[int, str] = {}
        self.canonical: dict[str, str] = {}
        for name, value in (
            *module.named_parameters(remove_duplicate=False),
            *module.named_buffers(remove_duplicate=False),
        ):
            self.canonical[name] = first.setdefault(id(value), name)
        self._prefix = str(getattr(module, "base_model_prefix", ""))
        self._renamed = _renaming(module)

    def get(self, name: str) -> str | None:
        """The module's first name of a checkpoint's tensor; None if it has none."""
        for spelled in (name, self._renamed(name)):
            for candidate in (
                spelled,
                f"{self._prefix}.{spelled}",
                spelled.removeprefix(f"{self._prefix}."),
            ):
                if candidate in self.canonical:
                    return self.canonical[candidate]
        return None


def _renaming(module: nn.Module) -> Callable[[str], str]:
    """How transformers renames a checkpoint's parameters when it loads them into `module`."""
    transformers = sys.modules.get("transformers")  # not imported: the module is none of its own
    if transformers is None or not isinstance(module, transformers.PreTrainedModel):
        return lambda name: name
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightRenaming, apply_renamings
    except ImportError:  # versions before 5 keep the names of checkpoints
        return lambda name: name
    steps = [
        step for step in get_model_conversion_mapping(module) if isinstance(step, WeightRenaming)
    ]
    return lambda name: str(apply_renamings(name, steps))
