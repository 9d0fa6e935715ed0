"""What two ``config.json`` say of one set of tensors: the same network, or another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mergecast.checkpoints.side_files import read_json
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
        "_attn_implementation",
        "_attn_implementation_autoset",
        "_attn_implementation_internal",
        "_commit_hash",
        "_name_or_path",
        "architectures",
        "attn_implementation",
        "auto_map",
        "bad_words_ids",
        "begin_suppress_tokens",
        "bos_token_id",
        "cache_implementation",
        "chunk_size_feed_forward",
        "classifier_dropout",
        "ctc_loss_reduction",
        "ctc_zero_infinity",
        "decoder_start_token_id",
        "diversity_penalty",
        "do_sample",
        "dtype",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "eos_token_id",
        "exponential_decay_length_penalty",
        "finetuning_task",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "gradient_checkpointing",
        "id2label",
        "initializer_factor",
        "initializer_range",
        "keys_to_ignore_at_inference",
        "label2id",
        "length_penalty",
        "max_length",
        "max_position_embeddings",
        "min_length",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "num_labels",
        "num_return_sequences",
        "pad_token_id",
        "prefix",
        "pretraining_tp",
        "problem_type",
        "quantization_config",
        "reference_compile",
        "remove_invalid_values",
        "repetition_penalty",
        "return_dict",
        "return_dict_in_generate",
        "router_aux_loss_coef",
        "sep_token_id",
        "suppress_tokens",
        "task_specific_params",
        "temperature",
        "tf_legacy_loss",
        "tie_word_embeddings",
        "tokenizer_class",
        "top_k",
        "top_p",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "typical_p",
        "use_bfloat16",
        "use_cache",
        "use_flash_attn",
        "use_return_dict",
        "vocab_size",
    }
)
_IGNORED_PARTS = (
    "dropout",
    "drop_",
    "_drop",
    "pdrop",
    "output_",
    "layerdrop",
    "apply_spec",
    "mask_time",
    "mask_feature",
    "unsloth",
)
#: What configs that do not say how positions are rotated mean by it.
_UNSAID: dict[str, Any] = {"rope_theta": 10000.0, "rope_scaling.rope_type": "default"}
#: Token ids that generation and pooling read.
_TOKEN_IDS = ("pad_token_id", "eos_token_id", "bos_token_id", "decoder_start_token_id")
TAKES_BASE = "the merged model takes the base's; use fine-tunes that agree with it, or set it back"


def config_findings(label: str, base: Path, folder: Path) -> Iterator[Finding]:
    """What a model's config says otherwise than its base's, key by key.

    Parameters
    ----------
    label : str
        Of the model.
    base, folder : Path
        Where the two configs lie; one that is absent says nothing.

    Yields
    ------
    Finding
        An error where equal tensors are another network, otherwise a warning.
    """
    theirs, ours = (_flat(read_json(place / "config.json")) for place in (base, folder))
    for key in _UNSAID.keys() & (theirs.keys() ^ ours.keys()) if theirs and ours else ():
        theirs, ours = ({key: _UNSAID[key], **config} for config in (theirs, ours))
    for key in sorted(theirs.keys() & ours.keys()):
        last = key.rpartition(".")[2]
        ignored = last in _IGNORED or any(part in last for part in _IGNORED_PARTS)
        if ignored or theirs[key] == ours[key]:
            continue
        severity: Severity = "error" if last in _ERRORS else "warning"
        if last == "model_type" and _part_of_one(str(theirs[key]), str(ours[key])):
            severity = "warning"
        yield Finding(
            severity,
            "config",
            label,
            f"config.json says {key} = {ours[key]!r}, the base's {theirs[key]!r}: equal tensors "
            "are not the same network",
            "give the base that it was fine-tuned from" if severity == "error" else TAKES_BASE,
        )
    one, other = theirs.get("tie_word_embeddings"), ours.get("tie_word_embeddings")
    if isinstance(one, bool) and isinstance(other, bool) and one != other:
        yield Finding(
            "warning",
            "config",
            label,
            f"config.json says tie_word_embeddings = {other}, the base's {one}: only one of the "
            "two has an output layer of its own",
            TAKES_BASE,
        )
    for key in _TOKEN_IDS:
        one, other = theirs.get(key), ours.get(key)
        if one is not None and other is not None and one != other:
            yield Finding(
                "warning",
                "config",
                label,
                f"config.json says {key} = {other}, the base's {one}",
                TAKES_BASE,
            )


def _part_of_one(one: str, other: str) -> bool:
    """Whether two types of models are one network in two roles, as ``vit_mae`` and ``vit``."""
    return one.startswith(f"{other}_") or other.startswith(f"{one}_")


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots; what is rotary under one name, wherever a version put it."""
    flat: dict[str, Any] = {}
    for key, value in _rotary(config).items():
        if isinstance(value, dict) and key not in _IGNORED:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _rotary(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config with `rope_theta`, and `rope_scaling` where positions are scaled at all.

    Version 5 of transformers writes both as `rope_parameters`, and older ones leave out what
    they do not scale.
    """
    found = dict(config)
    if not found.keys() & {"rope_theta", "rope_parameters", "rope_scaling", "rotary_emb_base"}:
        return found
    if "rotary_emb_base" in found:
        found["rope_theta"] = found.pop("rotary_emb_base")
    scaling = found.pop("rope_parameters", None) or found.pop("rope_scaling", None) or {}
    if not isinstance(scaling, dict) or any(isinstance(value, dict) for value in scaling.values()):
        return {**found, "rope_scaling": scaling}  # one entry a kind of layer
    scaling = {"rope_type" if key == "type" else key: value for key, value in scaling.items()}
    if "rope_theta" in scaling:
        found["rope_theta"] = scaling.pop("rope_theta")
    found.pop("rope_scaling", None)
    if "partial_rotary_factor" in scaling:
        found["partial_rotary_factor"] = scaling.pop("partial_rotary_factor")
    if scaling.get("rope_type", "default") == "default":
        scaling = {"rope_type": "default"}
    return {**found, "rope_scaling": scaling}
