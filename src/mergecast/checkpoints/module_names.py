"""Under which name a module has a tensor of a checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergecast.checkpoints.side_files import read_json

if TYPE_CHECKING:
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


def module_names(folder: Path, classes: Iterable[str], stored: Iterable[str]) -> dict[str, str]:
    """What a transformers model calls the tensors of its checkpoint.

    Adapters carry the names of the modules that they were trained on, which newer versions of
    transformers have renamed; checkpoints keep the older ones.

    Parameters
    ----------
    folder : Path
        The model's folder; only its config is read, and no code of it is run.
    classes : iterable of str
        Names of transformers classes, the likeliest first.
    stored : iterable of str
        Names in the checkpoint.

    Returns
    -------
    dict of str to str
        The module's name to the stored one; empty where transformers is not installed, or cannot
        build any of the classes.
    """
    try:
        import transformers
    except ImportError:
        return {}
    names = list(stored)
    architectures = read_json(folder / "config.json").get("architectures") or ()
    for name in (*classes, *architectures):
        module = build_class(getattr(transformers, str(name), None), folder)
        if module is not None:
            current = ModuleNames(module)
            renamed = {new: old for old in names if (new := current.get(old)) is not None}
            if renamed:
                return renamed
    return {}


def build_class(model_class: Any, folder: Path, **settings: Any) -> nn.Module | None:
    """A model of a class without values; None where the folder's config is of another one.

    `settings` take the place of what the config says.
    """
    import torch

    config_class = getattr(model_class, "config_class", None)
    if config_class is None:
        return None
    try:
        config = config_class.from_pretrained(str(folder), local_files_only=True, **settings)
        with torch.device("meta"):
            module: nn.Module = model_class(config)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RuntimeError):
        return None
    return module
