"""A merge as a checkpoint on disk, with what stands beside the base's weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.folder_writer import FolderWriter
from mergecast.checkpoints.safetensors_file import SafetensorsCheckpoint
from mergecast.checkpoints.side_files import side_files
from mergecast.family.family import Family
from mergecast.family.light import refuse_unusable
from mergecast.merging.method import METHODS
from mergecast.merging.run import chosen_members, merged_blocks
from mergecast.runtime.progress import Progress, Silent
from mergecast.typing import Names
from mergecast.version import __version__

log = logging.getLogger(__name__)


def write_merge(
    family: Family,
    method: str,
    out: str | Path,
    *,
    members: Names | None = None,
    params: Mapping[str, object] | None = None,
    seed: int = 0,
    device: str = "cpu",
    workers: int = 2,
    overwrite: bool = False,
    unchecked: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Merge to disk, one parameter at a time.

    The folder gets ``model.safetensors`` (or the base's shards and index), the base's config and
    tokenizer files, and ``mergecast.json``, the record of the merge. It appears when complete.
    What `mergecast.check` warns of is logged, and kept in the record.

    Parameters
    ----------
    family, method, members, params, seed, device
        As `merge` takes them.
    out : str or Path
        The folder to write.
    workers : int
        Blocks merged side by side; the result does not depend on it.
    overwrite : bool
        Replace a folder that mergecast did not write, or that holds other files too.
    unchecked : bool
        Merge what `mergecast.check` refuses: a wrong base, configs of another network.
    progress : Progress, optional
        Told of every parameter.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FamilyError
        `mergecast.check` would refuse one of the models, or a value overflows.
    UsageError
        An unknown method, parameter or member; a folder that may not be written.
    ResourceError
        The disk is full, or the folder cannot be written.
    """
    out = Path(out)
    infos = list(family.base.infos.values())
    chosen = chosen_members(family, members)
    parameters = METHODS.get(method).validate(params)
    findings = [] if unchecked else refuse_unusable(family.subset(chosen))
    for finding in findings:
        log.warning("%s: %s; %s", finding.about, finding.message, finding.remedy)
    record = {
        "mergecast": __version__,
        "method": method,
        "params": parameters,
        "seed": seed,
        "base": str(family.base.path),
        "members": {name: str(family.models[name].path) for name in chosen},
        "excluded": [vars(exclusion) for exclusion in family.alignment.excluded],
        "warnings": [f"{one.about}: {one.message}" for one in findings],
    }
    writer = FolderWriter(
        out,
        infos,
        shards=_shards(family.base),
        side_files=side_files(family.base.path),
        record=record,
        overwrite=overwrite,
        inputs=[family.base.path, *(family.models[name].path for name in chosen)],
        tied=family.base.tied,
    )
    _, blocks = merged_blocks(family, method, members, params, seed, device, workers)
    advance = (progress or Silent()).stage(f"merging by {method}", len(infos))
    with writer.open():
        for name, array in blocks:
            writer.write(name, array)
            advance(1)
        for exclusion in family.alignment.excluded:
            if exclusion.name in family.base.infos:
                writer.write(exclusion.name, family.base.array(exclusion.name))
                advance(1)
    return out


def _shards(base: Checkpoint) -> dict[str, str] | None:
    if not isinstance(base, SafetensorsCheckpoint) or not base.path.is_dir():
        return None
    return {name: base.file_of(name) for name in base.names}
