"""A merge as a checkpoint on disk, with what stands beside the base's weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from mergecast.checkpoints import dtypes
from mergecast.checkpoints.checkpoint import Checkpoint, TensorInfo
from mergecast.checkpoints.folder_writer import FolderWriter, refuse_folder, write_json
from mergecast.checkpoints.layouts import weights_name
from mergecast.checkpoints.safetensors_file import SafetensorsCheckpoint
from mergecast.checkpoints.side_files import library_folder, read_json, side_files, vocabulary
from mergecast.checkpoints.tokenizer_files import AddedTokens
from mergecast.errors import UsageError
from mergecast.family.family import Family
from mergecast.family.findings import Finding
from mergecast.family.light import refuse_unusable
from mergecast.family.meaning import label_names
from mergecast.family.task_heads import head_line, shared_heads
from mergecast.merging.adapter import check_adapter, write_adapter
from mergecast.merging.adapter_heads import adapters_apart
from mergecast.merging.heads import LEFT_OUT, Heads, apart
from mergecast.merging.recipe import Given, Recipe
from mergecast.merging.run import chosen_members, merged_blocks
from mergecast.runtime.least import at_least
from mergecast.runtime.progress import Progress, Silent
from mergecast.typing import Names
from mergecast.version import __version__

log = logging.getLogger(__name__)


def write_merge(
    family: Family,
    method: Given,
    out: str | Path,
    *,
    members: Names | None = None,
    params: Mapping[str, object] | None = None,
    scaling: float | None = None,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
    device: str = "cpu",
    workers: int = 2,
    overwrite: bool = False,
    unchecked: bool = False,
    heads: bool = False,
    adapter: bool = False,
    rank: int | None = None,
    dtype: str | None = None,
    evidence: Mapping[str, str | Path] | None = None,
    notes: Mapping[str, object] | None = None,
    extra: Callable[[Path], None] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Merge to disk, one parameter at a time.

    The folder gets ``model.safetensors`` (what the base's library calls it, or the base's shards
    and index), the base's config and tokenizer files, and ``mergecast.json``, the record of the
    merge. It appears when complete. What `mergecast.check` warns of is logged, and kept in the
    record.

    Parameters
    ----------
    family, method, members, params, scaling, weights, seed, device, evidence
        As `merge` takes them.
    out : str or Path
        The folder to write.
    workers : int
        Blocks merged side by side; the result does not depend on it.
    overwrite : bool
        Replace a folder that mergecast did not write, or that holds other files too.
    unchecked : bool
        Merge what `mergecast.check` refuses: a wrong base, configs of another network.
    heads : bool
        Keep task heads with their models: the folder is the encoder alone, and ``heads/LABEL`` is
        it with a model's own head, config and tokenizer, as a folder that loads. The encoder's
        weights are there once on disk.
    adapter : bool
        Write a LoRA adapter as PEFT's folder, ``adapter_config.json`` and
        ``adapter_model.safetensors``, instead of whole weights; every model must be one. It holds
        each matrix's merged delta as factors of its numerical rank, which is exact where the
        method is linear; the record says which share of the delta's energy is kept. With `heads`,
        ``heads/LABEL`` is it with a model's own head, for every model that has one.
    rank : int, optional
        With `adapter`, the highest rank of a merged matrix; the members' ranks added up by default.
    dtype : {"float32", "float16", "bfloat16"}, optional
        What the merged folder's floating-point weights are stored in; as in the base by default,
        and float32 for an adapter's factors.
    notes : mapping of str to object, optional
        Kept in the record beside the rest, plain data.
    extra : callable, optional
        Called with the folder before it is put in place, to add files to it.
    progress : Progress, optional
        Told of every parameter.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FamilyError
        `mergecast.check` would refuse one of the models, or a value overflows; with `adapter`, a
        model that is none, or a merge that changes what no adapter does.
    UsageError
        An unknown method, parameter, member or dtype; a folder that may not be written; `heads`
        where no model has one of its own; `rank` without `adapter`, or a vocabulary with it.
    ResourceError
        The disk is full, or the folder cannot be written.
    """
    at_least(1, workers=workers)
    out = Path(out)
    chosen = chosen_members(family, members)
    family = family.for_merge(chosen)
    inputs = [family.base.path, *(family.models[name].path for name in chosen)]
    refuse_folder(out, inputs, overwrite=overwrite)  # before the models are compared
    recipe = Recipe.of(method, params, scaling=scaling, weights=weights, seed=seed)
    recipe.check(chosen)
    stored = None if dtype is None else dtypes.to_store(dtype)
    if adapter:
        check_adapter(family, rank)
    elif rank is not None:
        raise UsageError("rank", f"is {rank} without adapter", "ask for an adapter, or leave it")
    own = apart(family) if heads and not adapter else None
    beside = adapters_apart(family) if heads and adapter else None
    kept = own or beside
    family = kept.family if kept else family
    findings = [] if unchecked else refuse_unusable(family)
    findings = [
        one
        for one in findings
        if not (
            (heads and one.rule in LEFT_OUT)
            or (adapter and one.rule == "base head")
            or _names_the_base(one, family)
        )
    ]
    for finding in findings:
        log.warning("%s: %s; %s", finding.about, finding.message, finding.remedy)
    record = {
        "mergecast": __version__,
        **recipe.as_mapping(),
        "base": str(family.base.path),
        "members": {name: str(family.models[name].path) for name in chosen},
        "excluded": [vars(exclusion) for exclusion in family.alignment.excluded],
        "head": head_line(family, apart=heads),
        "heads": kept.folders if kept else {},
        "vocabulary": family.vocabulary and family.vocabulary.said(),
        "adapter": None,
        "warnings": [f"{one.about}: {one.message}" for one in findings],
        **(notes or {}),
    }
    if adapter:
        return write_adapter(
            family,
            recipe,
            out,
            heads=beside,
            rank=rank,
            device=device,
            workers=workers,
            overwrite=overwrite,
            dtype=stored,
            evidence=evidence,
            record=record,
            extra=extra,
            progress=progress,
        )
    dropped, owned = (own.dropped, own.owned) if own else ((), set())
    tokens = family.vocabulary
    infos = [
        _as_stored(tokens.widened(info) if tokens else info, stored)
        for name, info in family.base.infos.items()
        if name not in dropped
    ]
    shards = _shards(family.base)
    writer = FolderWriter(
        out,
        infos,
        shards=own.shards(shards) if own else shards,
        single=weights_name(family.base.path),
        side_files=side_files(family.base.path),
        record=record,
        overwrite=overwrite,
        inputs=[library_folder(family.base.path), *inputs],
        tied={
            other: name
            for other, name in family.base.tied.items()
            if name not in dropped and other not in owned
        },
        beside=partial(_beside, family, own, _tokenizer(family), dtype, extra),
    )
    blocks = merged_blocks(family, recipe, chosen, device, workers, stored, evidence)
    advance = (progress or Silent()).stage(f"merging by {recipe.method}", len(infos))
    with writer.open():
        for name, array in blocks:
            writer.write(name, tokens.widen(name, array) if tokens else array)
            advance(1)
        for exclusion in family.alignment.excluded:
            if exclusion.name in family.base.infos and exclusion.name not in dropped:
                array = family.base.array(exclusion.name)
                if stored is not None and dtypes.is_floating(array.dtype):
                    array = array.astype(stored)
                writer.write(
                    exclusion.name, tokens.widen(exclusion.name, array) if tokens else array
                )
                advance(1)
    return out


def _as_stored(info: TensorInfo, dtype: np.dtype[np.generic] | None) -> TensorInfo:
    return info if dtype is None or not info.is_floating else replace(info, dtype=dtype)


def _names_the_base(finding: Finding, family: Family) -> bool:
    """Whether a model is warned of as equal to the base, and is the base, given as a model."""
    model = family.models.get(finding.about)
    return (
        finding.rule == "zero task vector" and model is not None and model.path == family.base.path
    )


def _tokenizer(family: Family) -> AddedTokens | None:
    """The tokenizer of a merge whose rows were matched by token."""
    tokens = family.vocabulary
    if tokens is None or not vocabulary(family.base.path):
        return None
    owners = {token: family.models[tokens.owners[token][0]].path for token in tokens.kept}
    return AddedTokens(family.base.path, tokens.kept, owners)


def _beside(
    family: Family,
    own: Heads | None,
    tokenizer: AddedTokens | None,
    dtype: str | None,
    extra: Callable[[Path], None] | None,
    folder: Path,
    files: Mapping[str, str],
) -> None:
    """What follows from the weights: labels or models' folders, tokenizer, dtype in configs."""
    places = [folder]
    if own is None:
        _put_labels(family, folder)
    else:
        own.write(folder, files)
        places += [folder / place for place in own.folders.values()]
    if tokenizer is not None and family.vocabulary is not None:
        for place in places:
            tokenizer.write(place, family.vocabulary.rows)
    for place in places if dtype else ():
        config = read_json(place / "config.json")
        if config and "_class_name" not in config:  # diffusers' configs name no dtype
            key = "torch_dtype" if "torch_dtype" in config else "dtype"
            write_json(place / "config.json", config | {key: dtype})
    if extra is not None:
        extra(folder)


def _put_labels(family: Family, folder: Path) -> None:
    """A head that all models share answers with their labels, where they agree on them."""
    named = {label_names(model.path) for model in family.models.values()}
    config = read_json(folder / "config.json")
    if not (config and shared_heads(family) and len(named) == 1):
        return
    [names] = named
    if names is not None and names != label_names(folder):
        labels = {
            "id2label": {str(number): name for number, name in enumerate(names)},
            "label2id": {name: number for number, name in enumerate(names)},
        }
        write_json(folder / "config.json", config | labels)


def _shards(base: Checkpoint) -> dict[str, str] | None:
    if not isinstance(base, SafetensorsCheckpoint) or not base.path.is_dir():
        return None
    return {name: base.file_of(name) for name in base.names}
