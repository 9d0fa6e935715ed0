"""Libraries that only suites of encoders need, and that are asked for when something is done."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mergecast.errors import UsageError

#: What pip calls a library, where its module has another name.
_CALLED = {"PIL.Image": "pillow"}


def library(module: str) -> Any:
    """A module of the extra ``bench``, imported.

    Parameters
    ----------
    module : str
        Its dotted name.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = _CALLED.get(module, module.partition(".")[0])
        raise UsageError(name, "is not installed", "pip install mergecast[bench]") from error
