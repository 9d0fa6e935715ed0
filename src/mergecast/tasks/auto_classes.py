"""Which Auto class builds a folder's model: transformers' own tables, and PEFT's types of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mergecast.checkpoints.side_files import read_json
from mergecast.errors import UsageError

#: PEFT's types of tasks to the Auto class that such an adapter was trained on.
_BY_TASK_TYPE = {
    "CAUSAL_LM": "AutoModelForCausalLM",
    "FEATURE_EXTRACTION": "AutoModel",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
}
#: Auto classes whose outputs a task file can score, the likeliest meant first: an architecture
#: may be in the tables of several.
SCORED = (
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoModelForMultipleChoice",
    "AutoModelForSeq2SeqLM",
    "AutoModelForCausalLM",
    "AutoModelForImageClassification",
    "AutoModelForAudioClassification",
    "AutoModelForVideoClassification",
    "AutoModelForNextSentencePrediction",
    "AutoModelForImageTextToText",
    "AutoModelForMaskedLM",
    "AutoModel",
    "AutoModelForTextEncoding",
)


def auto_class(folder: Path, architecture: str | None = None) -> str | None:
    """The Auto class of the architecture that a folder's config names.

    Parameters
    ----------
    folder : Path
        Holds ``config.json``.
    architecture : str, optional
        The class, where something else than the config says it.

    Returns
    -------
    str or None
        None where the config names none, or one that is in no table of transformers.

    Raises
    ------
    UsageError
        transformers is not installed.
    """
    config = read_json(folder / "config.json")
    named = architecture or next(iter(config.get("architectures") or ()), None)
    found = _listing(str(config.get("model_type")), str(named))
    ordered = [name for name in SCORED if name in found]
    return next(iter([*ordered, *found]), None)


def adapter_class(config: dict[str, Any], base: Path) -> str | None:
    """The Auto class that a PEFT adapter was trained on: by its type of task, or its base's class.

    Parameters
    ----------
    config : dict
        The adapter's ``adapter_config.json``.
    base : Path
        Folder of its base model.
    """
    named = _BY_TASK_TYPE.get(str(config.get("task_type")))
    if named is not None:
        return named
    mapping = config.get("auto_mapping")
    return auto_class(base, mapping.get("base_model_class") if isinstance(mapping, dict) else None)


def main_input(folder: Path, auto: str) -> str:
    """What a model's forward takes first: ``input_ids``, ``pixel_values``, …"""
    transformers = _transformers()
    model_type = str(read_json(folder / "config.json").get("model_type"))
    for name in _classes(getattr(transformers, auto), model_type):
        return str(getattr(getattr(transformers, name, None), "main_input_name", "input_ids"))
    return "input_ids"


def _listing(model_type: str, architecture: str) -> list[str]:
    """Auto classes whose table has the architecture, in order of their names."""
    transformers = _transformers()
    return [
        name
        for name in sorted(dir(transformers))
        if name.startswith("AutoModel")
        and architecture in _classes(getattr(transformers, name), model_type)
    ]


def _classes(auto: Any, model_type: str) -> tuple[str, ...]:
    """The classes that an Auto class makes of a type of model."""
    table = getattr(getattr(auto, "_model_mapping", None), "_model_mapping", {})
    classes = table.get(model_type, ())
    return (classes,) if isinstance(classes, str) else tuple(classes)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UsageError("transformers", "is not installed", "pip install mergecast[hf]") from error
    return transformers
