"""Hooks of the docs site: pages that live elsewhere in the repository, and the reference."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

import mergecast as mc

_ROOT = Path(__file__).parents[1]
#: Pages of the site that are files of the repository.
_PAGES = {
    "index.md": "README.md",
    "architecture.md": "ARCHITECTURE.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "examples.md": "examples/README.md",
}
_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add them."""
    for page, source in _PAGES.items():
        text = (_ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_relinked(text, Path(source).parent)))
    files.append(File.generated(config, "reference.md", content=_reference()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Files of the repository that are no pages are named, not linked."""
    return re.sub(r"\[([^\]]+)\]\(\.\./[^)]*\)", r"\1", markdown)


def _relinked(text: str, folder: Path) -> str:
    """Links of a page in a folder of the repository, as they are from the site's root."""
    pages = {source: page for page, source in _PAGES.items()}

    def target(found: re.Match[str]) -> str:
        path, anchor = found[1], found[2] or ""
        if folder != Path():  # what lies beside it is no page, and is named
            return f"](../{folder.as_posix()}/{path}{anchor})"
        path = pages.get(path, path.removeprefix("docs/"))
        return f"]({path}{anchor})"

    return _LINK.sub(target, text)


def _reference() -> str:
    """Every public name, functions first."""
    names = [name for name in mc.__all__ if not name.startswith("_")]
    found = {name: getattr(mc, name) for name in names}
    verbs = [name for name, one in found.items() if inspect.isfunction(one)]
    types = [name for name, one in found.items() if inspect.isclass(one)]
    lines = ["# Reference", "", "`import mergecast as mc`; every name below is `mc.NAME`.", ""]
    for name in [*sorted(verbs), *sorted(types)]:
        lines += [f"::: {found[name].__module__}.{name}", ""]
    return "\n".join(lines)
