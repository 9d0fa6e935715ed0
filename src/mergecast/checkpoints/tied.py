"""Input and output embeddings that a config makes one tensor, though files hold both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.side_files import read_json

#: Ends of the names of input embeddings, and of the output layers that are tied to them.
INPUT_EMBEDDINGS = (
    "embed_tokens.weight",
    "shared.weight",
    "word_embeddings.weight",
    "wte.weight",
    "tok_embeddings.weight",
    "embed_in.weight",
    "embeddings.word_embeddings.weight",
)
OUTPUT_EMBEDDINGS = (
    "decoder.weight",
    "embed_out.weight",
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
    "generator_lm_head.weight",
    "lm_head.weight",
    "predictions.decoder.weight",
    "proj_out.weight",
    "vocab_projector.weight",
)


def tied_embeddings(checkpoint: Checkpoint, config: Mapping[str, Any]) -> dict[str, str]:
    """Embeddings stored twice and equal: the name that is dropped, to the one that is kept.

    Only names of embeddings are looked at, and only equal tensors are one: a config that spells
    its ties out is not needed for that, and one that says that nothing is tied ends it.
    """
    if config.get("tie_word_embeddings", True) is False:
        return {}
    inputs = [name for name in checkpoint.names if name.endswith(INPUT_EMBEDDINGS)]
    outputs = [name for name in checkpoint.names if name.endswith(OUTPUT_EMBEDDINGS)]
    ties: dict[str, str] = {}
    for one in inputs:
        for other in outputs:
            kept, dropped = sorted((one, other))
            if kept != dropped and not {kept, dropped} & ties.keys():
                same = checkpoint.infos[kept].shape == checkpoint.infos[dropped].shape
                if same and checkpoint.equal(kept, dropped):
                    ties[dropped] = kept
    return ties


#: Ends of names of output layers of language models, and of classes that have one.
_OUTPUT_LAYERS = (
    "head.weight",
    "head.decoder.weight",
    "embed_out.weight",
    "proj_out.weight",
    "predictions.decoder.weight",
    "vocab_projector.weight",
    "output.weight",
    "output_layer.weight",
)
_LANGUAGE_MODELS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForMaskedLM")


def is_output_layer(name: str) -> bool:
    """Whether a parameter is called as a language model's output layer is."""
    return name.endswith(_OUTPUT_LAYERS)


def is_language_model(kind: str) -> bool:
    """Whether a class of transformers answers with tokens."""
    return kind.endswith(_LANGUAGE_MODELS)


def answers_by_embeddings(checkpoint: Checkpoint, *, as_language: bool | None = None) -> bool:
    """Whether a language model's output layer is its input embeddings.

    Files hold no output layer then, or the same tensor twice.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    as_language : bool, optional
        Whether it is run as a language model; by default as its config says.
    """
    path = checkpoint.path / "config.json"
    config = read_json(path) if path.is_file() else {}
    if config.get("tie_word_embeddings") is False:
        return False
    if as_language is None:
        classes = config.get("architectures")
        told = config.get("tie_word_embeddings") is True
        as_language = any(is_language_model(str(one)) for one in classes) if classes else told
    if not as_language:
        return False
    tied = any(map(is_output_layer, checkpoint.tied))
    return tied or not any(map(is_output_layer, checkpoint.names))
