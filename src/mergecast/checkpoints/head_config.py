"""Configs of an encoder without its head, and of a base under an adapter with a head of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mergecast.checkpoints.checkpoint import TensorInfo
from mergecast.checkpoints.module_names import ModuleNames, build_class
from mergecast.checkpoints.side_files import read_json

#: What a config says of a head.
_HEAD_KEYS = ("architectures", "finetuning_task", "id2label", "label2id", "num_labels",
              "problem_type")  # fmt: skip
#: Kinds of tasks that PEFT records, by the endings of transformers' classes.
_TASK_TYPES = {
    "CAUSAL_LM": "CausalLM",
    "QUESTION_ANS": "QuestionAnswering",
    "SEQ_2_SEQ_LM": "Seq2SeqLM",
    "SEQ_CLS": "SequenceClassification",
    "TOKEN_CLS": "TokenClassification",
}


def bare_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A model's config without its head; the class is the bare one where transformers knows it."""
    bare = {key: value for key, value in config.items() if key not in _HEAD_KEYS}
    name = _auto_class("", str(config.get("model_type")))
    return {"architectures": [name], **bare} if name else bare


def adapter_config(
    folder: Path, base: Path, infos: Mapping[str, TensorInfo]
) -> tuple[dict[str, Any], ModuleNames | None]:
    """The config of a base with an adapter's own head on it, and the names of that module.

    An adapter's folder names the class or the kind of task, and its tensors the number of classes.

    Parameters
    ----------
    folder, base : Path
        Folders of the adapter and of its base.
    infos : mapping of str to TensorInfo
        The adapter's own tensors.

    Returns
    -------
    tuple
        The config, and the names of the class's module; the bare config and None where the class
        is not known, or no number of classes gives the shapes of its tensors.
    """
    config, adapter = read_json(base / "config.json"), read_json(folder / "adapter_config.json")
    mapping = adapter.get("auto_mapping")
    name = mapping.get("base_model_class") if isinstance(mapping, dict) else None
    kind = _TASK_TYPES.get(str(adapter.get("task_type")))
    name = name or (_auto_class(kind, str(config.get("model_type"))) if kind else None)
    for settings in ({}, *({"num_labels": count} for count in _leading(infos))):
        module = build_class(_class(name), base, **settings)
        if module is None:
            break
        names = ModuleNames(module)
        shapes = {place: tuple(value.shape) for place, value in module.state_dict().items()}
        if all(
            shapes.get(names.get(one) or "", info.shape) == info.shape
            for one, info in infos.items()
        ):
            labels: Any = module.config
            return {
                **bare_config(config),
                "architectures": [name],
                "id2label": {str(number): label for number, label in labels.id2label.items()},
                "label2id": dict(labels.label2id),
            }, names
    return bare_config(config), None


def _leading(infos: Mapping[str, TensorInfo]) -> list[int]:
    """Numbers of classes that the tensors may be of: their first dimensions, each once."""
    return list(dict.fromkeys(info.shape[0] for info in infos.values() if info.shape))


def _class(name: str | None) -> Any:
    try:
        import transformers
    except ImportError:
        return None
    return getattr(transformers, str(name), None)


def _auto_class(kind: str, model_type: str) -> str | None:
    """The class of an architecture for a kind of task, or without a head for ""."""
    try:
        from transformers.models.auto import modeling_auto
    except ImportError:
        return None
    table = {
        "": "MODEL_MAPPING_NAMES",
        "CausalLM": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
        "QuestionAnswering": "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
        "Seq2SeqLM": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
        "SequenceClassification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
        "TokenClassification": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    }[kind]
    name = getattr(modeling_auto, table).get(model_type)
    name = name[0] if isinstance(name, tuple | list) else name
    return None if name is None else str(name)
