"""What headers, configs and tokenizers say of a family before a weight is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.side_files import module_folders
from mergecast.family.adapters import adapter_findings
from mergecast.family.family import Family
from mergecast.family.findings import Finding
from mergecast.family.heads import is_statistic
from mergecast.family.meaning import meaning_findings
from mergecast.family.task_heads import OUTPUT_LAYERS, head_findings, shared_heads


def header_findings(family: Family) -> list[Finding]:
    """Findings that cost no read of the weights: `check`, `merge` and forecasts share them.

    Parameters
    ----------
    family : Family
        Base and models, opened and aligned.
    """
    folders = {label: model.path for label, model in family.models.items()}
    return [
        *_opened(family),
        *_dtypes(family),
        *_integers(family),
        *head_findings(family),
        *_lost_heads(family),
        *adapter_findings(family),
        *_statistics(family),
        *_modules(family),
        *_vocabulary(family),
        *meaning_findings(
            family.base.path,
            folders,
            shared_head=bool(shared_heads(family)),
            by_token=family.vocabulary is not None,
        ),
    ]


def dtype_names(checkpoint: Checkpoint, names: Sequence[str]) -> list[str]:
    """Names of the dtypes that a checkpoint stores some of its tensors in, sorted."""
    infos = checkpoint.infos
    return sorted({infos[name].dtype.name for name in names if name in infos})


def _opened(family: Family) -> Iterator[Finding]:
    """What was decided while files were opened: which of several, which names, what is tied."""
    for label, checkpoint in (("base", family.base), *family.models.items()):
        subject = "base" if checkpoint is family.base else "model"
        for note in checkpoint.notes:
            yield Finding("note", "opened", label, note, "", subject)  # type: ignore[arg-type]
        if checkpoint.tied:
            pairs = ", ".join(f"{a} = {b}" for a, b in checkpoint.tied.items())
            text = f"tied, counted once: {pairs}"
            yield Finding("note", "tied", label, text, "", subject)  # type: ignore[arg-type]


def _vocabulary(family: Family) -> Iterator[Finding]:
    if family.vocabulary is not None:
        yield Finding("note", "vocabulary", "family", family.vocabulary.said(), "", "family")


def _dtypes(family: Family) -> Iterator[Finding]:
    stored = dtype_names(family.base, family.shared)
    for label, model in family.models.items():
        names = dtype_names(model, family.shared)
        if names != stored:
            yield Finding(
                "warning",
                "dtype",
                label,
                f"is stored as {', '.join(names)}, the base as {', '.join(stored)}",
                "the difference holds the rounding of both",
            )


def _integers(family: Family) -> Iterator[Finding]:
    for label, model in family.models.items():
        integers = [
            name
            for name, info in family.base.infos.items()
            if info.is_floating and name in model.infos and not model.infos[name].is_floating
        ]
        if integers:
            yield Finding(
                "warning",
                "integers",
                label,
                f"stores {len(integers)} parameter(s) as integers where the base has floats, "
                f"first {integers[0]!r}: they are left out",
                "dequantize it, or give the checkpoint before quantization",
            )


def _lost_heads(family: Family) -> Iterator[Finding]:
    """Output layers that a model trained and the base ties: a merge would answer without them."""
    shared = set(family.shared)
    for label, model in family.models.items():
        lost = [
            name
            for name, info in model.infos.items()
            if name not in shared
            and name not in family.base.infos
            and info.is_floating
            and name.rpartition(".")[0].rpartition(".")[2] in OUTPUT_LAYERS
        ]
        if lost:
            yield Finding(
                "warning",
                "trained head",
                label,
                f"holds {lost[0]!r}, which the base does not: a merged model answers with the "
                "base's instead of what was trained",
                "keep it with the model that owns it, or store the untied head in the base, too",
            )


def _modules(family: Family) -> Iterator[Finding]:
    """Trained layers after the network, in folders of their own, which no merge reads."""
    trained = [
        f"{folder.name}/"
        for folder in module_folders(family.base.path)
        if any(file.suffix in (".safetensors", ".bin") for file in folder.iterdir())
    ]
    if trained:
        yield Finding(
            "warning",
            "modules",
            "family",
            f"{', '.join(trained)} holds trained layers that are not merged: the base's are taken",
            "merge them by themselves, as files, where the models' differ",
            "family",
        )


def _statistics(family: Family) -> Iterator[Finding]:
    """Running statistics of BatchNorm, which describe no merged network."""
    statistics = [name for name in family.shared if is_statistic(name)]
    if statistics:
        yield Finding(
            "warning",
            "batchnorm",
            "family",
            f"{len(statistics)} running statistic(s) of BatchNorm layers, first {statistics[0]!r}: "
            "they are averaged whatever the method, and describe no merged network",
            "re-estimate them on some samples of the tasks after the merge",
            "family",
        )
