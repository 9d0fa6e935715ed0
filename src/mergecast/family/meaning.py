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

from mergecast.checkpoints.side_files import read_json, vocabulary
from mergecast.family.findings import Finding, Severity

#: Without these equal, equal tensors are not the same network.
_ERRORS = frozenset(
    {
        "activation_function",
        "head_dim",
        "hidden_act",
        "hidden_activation",
        "model_type",
        "n_head",
        "num_attention_heads",
        "num_heads",
        "num_key_value_heads",
        "num_kv_heads",
        "position_embedding_type",
    }
)
#: Says nothing of what the network computes at inference, or is compared on its own.
_IGNORED = frozenset(
    {
        "_attn_implementation_autoset",
        "_commit_hash",
        "_name_or_path",
        "architectures",
        "auto_map",
        "bos_token_id",
        "classifier_dropout",
        "decoder_start_token_id",
        "dtype",
        "eos_token_id",
        "finetuning_task",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "gradient_checkpointing",
        "id2label",
        "initializer_factor",
        "initializer_range",
        "label2id",
        "max_length",
        "max_position_embeddings",
        "num_labels",
        "pad_token_id",
        "problem_type",
        "quantization_config",
        "return_dict",
        "sep_token_id",
        "task_specific_params",
        "tie_word_embeddings",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "use_cache",
        "vocab_size",
    }
)
_IGNORED_PARTS = ("dropout", "drop_", "_drop", "output_", "layerdrop", "apply_spec", "mask_time")
#: Token ids that generation and pooling read.
_TOKEN_IDS = ("pad_token_id", "eos_token_id", "bos_token_id", "decoder_start_token_id")
#: What an image becomes before the network sees it.
_PIXELS = ("image_mean", "image_std", "size", "crop_size", "rescale_factor", "do_normalize",
           "do_rescale", "do_resize", "do_center_crop", "resample")  # fmt: skip
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token",
            "mask_token")  # fmt: skip
_TAKES_BASE = "the merged model takes the base's; use fine-tunes that agree with it, or set it back"


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
                *_config_findings(label, base, folder),
                *(() if by_token else _token_findings(label, base, folder)),
                *_tokenizer_findings(label, base, folder),
                *_processor_findings(label, base, folder),
                *_pooling_findings(label, base, folder),
            ]
    if shared_head:
        findings += _label_findings(models)
    return findings


def _config_findings(label: str, base: Path, folder: Path) -> Iterator[Finding]:
    theirs, ours = (_flat(read_json(place / "config.json")) for place in (base, folder))
    for key in sorted(theirs.keys() & ours.keys()):
        last = key.rpartition(".")[2]
        ignored = last in _IGNORED or any(part in last for part in _IGNORED_PARTS)
        if ignored or theirs[key] == ours[key]:
            continue
        severity: Severity = "error" if last in _ERRORS else "warning"
        yield Finding(
            severity,
            "config",
            label,
            f"config.json says {key} = {ours[key]!r}, the base's {theirs[key]!r}: equal tensors "
            "are not the same network",
            "give the base that it was fine-tuned from" if severity == "error" else _TAKES_BASE,
        )
    for key in _TOKEN_IDS:
        one, other = theirs.get(key), ours.get(key)
        if one is not None and other is not None and one != other:
            yield Finding(
                "warning",
                "config",
                label,
                f"config.json says {key} = {other}, the base's {one}",
                _TAKES_BASE,
            )


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots; the rotary base under one name, wherever a version put it."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and key not in _IGNORED:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    for key in ("rope_parameters.rope_theta", "rotary_emb_base"):
        if prefix + key in flat:
            flat[f"{prefix}rope_theta"] = flat.pop(prefix + key)
    return flat


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
                "match rows by token with --vocabulary union or base",
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
    one, other = (read_json(place / "1_Pooling" / "config.json") for place in (base, folder))
    differing = [key for key in sorted(one.keys() & other.keys()) if one[key] != other[key]]
    if differing:
        yield Finding(
            "warning",
            "pooling",
            label,
            f"1_Pooling says {differing[0]} = {other[differing[0]]}, the base's "
            f"{one[differing[0]]}",
            _TAKES_BASE,
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
