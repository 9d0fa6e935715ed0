"""The merged model that a search found, on disk, with all that was learned about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mergecast.checkpoints.folder_writer import write_json
from mergecast.checkpoints.hub import model_name
from mergecast.errors import UsageError
from mergecast.family.family import Family
from mergecast.family.task_heads import has_heads
from mergecast.merging import write_merge
from mergecast.merging.mergekit_text import mergekit_text
from mergecast.report.model_card import model_card
from mergecast.report.search_page import write_search_page
from mergecast.search.result import SearchResult

#: What stands beside the weights.
CARD, PAGE, RECORD, MERGEKIT = "README.md", "search.html", "search.json", "mergekit.yml"


def write_merged(
    family: Family,
    found: SearchResult,
    out: Path,
    device: str = "cpu",
    workers: int = 2,
    overwrite: bool = False,
) -> SearchResult:
    """Write the merge that a search chose, with a model card, a page and a mergekit file.

    Parameters
    ----------
    family : Family
        The models that it was chosen among.
    found : SearchResult
        What was found.
    out : Path
        The folder.
    device : str
        Where it is merged.
    workers : int
        Blocks merged side by side.
    overwrite : bool
        Replace a folder that mergecast did not write.

    Returns
    -------
    SearchResult
        The same, with `out`.

    Raises
    ------
    FamilyError, UsageError, ResourceError
        As `write_merge`.
    """
    narrow = family.subset(found.members)
    found = replace(found, out=out)
    try:
        if narrow.vocabulary is not None:
            raise UsageError(
                "vocabulary", "is matched by token, as mergekit does not", "merge with mergecast"
            )
        text, why_not = mergekit_text(found.chosen.recipe, found.base, found.members_at), ""
    except UsageError as error:
        text, why_not = "", f"{error.thing} {error.problem}"
    places = [found.base, *(found.members_at[label] for label in found.members)]
    named = [model_name(place) or place for place in places]
    plain = {**found.to_dict(), "mergekit": why_not or MERGEKIT, "base_model": named}

    def beside(folder: Path) -> None:
        (folder / CARD).write_text(model_card(plain), encoding="utf-8")
        write_json(folder / RECORD, plain)
        write_search_page(plain, folder / PAGE)
        if text:
            (folder / MERGEKIT).write_text(text, encoding="utf-8")

    kept = ("objective", "verified", "kept", "believed", "certainty", "ended", "cost")
    write_merge(
        narrow,
        found.chosen.recipe,
        out,
        device=device,
        workers=workers,
        overwrite=overwrite,
        heads=has_heads(narrow),
        notes={"search": {key: plain[key] for key in kept}},
        extra=beside,
    )
    return found
