"""Distributions of plug-ins written to a folder, as pip would install them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def write_distribution(
    folder: Path, name: str, modules: Mapping[str, str], points: Mapping[str, str]
) -> Path:
    """A distribution called `name`: modules by dotted name, entry points ``group:name`` to value.

    Returns the folder, which goes on the path.
    """
    for module, source in modules.items():
        path = folder.joinpath(*module.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    groups: dict[str, list[str]] = {}
    for point, value in points.items():
        group, _, entry = point.partition(":")
        groups.setdefault(group, []).append(f"{entry} = {value}")
    text = "\n".join(f"[{group}]\n" + "\n".join(lines) for group, lines in groups.items())
    (info / "entry_points.txt").write_text(text + "\n")
    return folder


@contextmanager
def imports_forgotten(*folders: Path) -> Iterator[None]:
    """Modules of these folders are forgotten at the end, as if never imported."""
    try:
        yield
    finally:
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None) or ""
            if any(Path(file).is_relative_to(folder) for folder in folders):
                del sys.modules[name]
