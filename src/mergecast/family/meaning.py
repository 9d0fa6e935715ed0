"""Differences that make equal tensors different functions, as the files beside the weights say.

Two checkpoints can agree in every name and shape and still be other models: another rotary base,
another number of heads on matrices of one size, another order of the vocabulary, of the labels,
other pixels' means. A merge takes one config for all. What the files beside the weights say is
compared here; what they do not say is not guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mergecast.checkpoints.side_files import library_folder, read_json, vocabulary
from mergecast.family.configs import TAKES_BASE, config_findings
from mergecast.family.findings import Finding

#: What an image becomes before the network sees it.
_PIXELS = ("image_mean", "image_std", "size", "crop_size", "rescale_factor", "do_normalize",
           "do_rescale", "do_resize", "do_center_crop", "resample")  # fmt: skip
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token",
            "mask_token")  # fmt: skip


def meaning_findings(
    base: Path,
    models: Mapping[str, Path],
    *,
    shared_head: bool = False,
    by_token: bool = False,
) -> list[Finding]:
    """What the files beside the weights of each model say otherwise than those of the base.

    Parameters
    ----------
    base : Path
        The base's folder; a single file has nothing beside it and gives no finding.
    models : mapping of str to Path
        Label to the folder of each model.
    shared_head : bool
        Whether a classification head is among the merged parameters, so that the order of labels
        matters.
    by_token : bool
        Whether rows of embeddings are matched by token, so that their numbers do not matter.

    Returns
    -------
    list of Finding
        By model, in the order given.
    """
    findings: list[Finding] = []
    for label, folder in models.items():
        if base.is_dir() and folder.is_dir():
            findings += [
                *config_findings(label, base, folder),
                *(() if by_token else _token_findings(label, base, folder)),
                *_tokenizer_findings(label, base, folder),
                *_processor_findings(label, base, folder),
                *_pooling_findings(label, base, folder),
            ]
    if shared_head:
        findings += _label_findings(models)
    return findings


def _token_findings(label: str, base: Path, folder: Path) -> Iterator[Finding]:
    theirs, ours = vocabulary(base), vocabulary(folder)
    if theirs and ours and theirs != ours:
        moved = [token for token, number in ours.items() if theirs.get(token, number) != number]
        new = sorted(set(ours) - set(theirs), key=ours.__getitem__)
        gone = sorted(set(theirs) - set(ours), key=theirs.__getitem__)
        if moved:
            first = moved[0]
            yield Finding(
                "error",
                "tokenizer",
                label,
                f"{len(moved)} token(s) have another number than in the base, first {first!r}: "
                f"{ours[first]}, the base has {theirs[first]}",
                "match rows by token: --vocabulary union or base",
            )
        for tokens, what in ((new, "that the base lacks"), (gone, "of the base missing")):
            if tokens:
                yield Finding(
                    "warning",
                    "tokenizer",
                    label,
                    f"{len(tokens)} token(s) {what}, first {tokens[0]!r}",
                    "the merged model takes the base's; --vocabulary union keeps new ones",
                )


def _tokenizer_findings(label: str, base: Path, folder: Path) -> Iterator[Finding]:
    one, other = (read_json(place / "tokenizer_config.json") for place in (base, folder))
    for key in (*_SPECIAL, "chat_template"):
        if key in one and key in other and _text(one[key]) != _text(other[key]):
            values = (
                "differs from the base's"
                if key == "chat_template"
                else f"is {_text(other[key])!r}, the base's {_text(one[key])!r}"
            )
            yield Finding(
                "warning",
                "tokenizer",
                label,
                f"{key} {values}",
                "the merged model takes the base's tokenizer",
            )


def _text(token: Any) -> Any:
    """A special token's text, which some versions wrap in an object."""
    return token.get("content") if isinstance(token, dict) else token


def _processor_findings(label: str, base: Path, folder: Path) -> Iterator[Finding]:
    one, other = (read_json(place / "preprocessor_config.json") for place in (base, folder))
    for key in _PIXELS:
        if key in one and key in other and one[key] != other[key]:
            yield Finding(
                "warning",
                "preprocessor",
                label,
                f"preprocessor_config.json says {key} = {other[key]}, the base's {one[key]}",
                "the merged model takes the base's: it sees other pixels than this one did",
            )


def _pooling_findings(label: str, base: Path, folder: Path) -> Iterator[Finding]:
    roots = library_folder(base), library_folder(folder)
    one, other = (read_json(root / "1_Pooling" / "config.json") for root in roots)
    differing = [key for key in sorted(one.keys() & other.keys()) if one[key] != other[key]]
    if differing:
        yield Finding(
            "warning",
            "pooling",
            label,
            f"1_Pooling says {differing[0]} = {other[differing[0]]}, the base's "
            f"{one[differing[0]]}",
            TAKES_BASE,
        )


def label_names(folder: Path) -> tuple[str, ...] | None:
    """Names of a classifier's classes in their order; None where none were given."""
    names = read_json(folder / "config.json").get("id2label") if folder.is_dir() else None
    if not isinstance(names, dict) or all(str(v).startswith("LABEL_") for v in names.values()):
        return None
    return tuple(str(names[key]) for key in sorted(names, key=_number))


def _number(key: Any) -> tuple[int, str]:
    text = str(key)
    return (int(text) if text.isdigit() else 0), text


def _label_findings(models: Mapping[str, Path]) -> Iterator[Finding]:
    """Models whose shared head means other classes in another order."""
    read = {label: label_names(folder) for label, folder in models.items()}
    named = {label: names for label, names in read.items() if names is not None}
    if len(set(named.values())) < 2:
        return
    first, *others = named
    for label in others:
        if named[label] != named[first]:
            yield Finding(
                "warning",
                "labels",
                label,
                f"its labels are {', '.join(named[label])}, those of {first!r} "
                f"{', '.join(named[first])}: their heads are merged class by class",
                "put one order into all, or keep the heads apart: --private, merge --heads",
            )
