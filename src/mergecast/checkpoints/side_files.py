"""What stands beside a model's weights: JSON of configs, and the tokenizer's vocabulary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mergecast.errors import CheckpointError


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file; an empty one where there is no such file.

    Raises
    ------
    CheckpointError
        The file cannot be read, or is no JSON.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(path, f"is not readable JSON ({error})", "fix or fetch it") from error
    return content if isinstance(content, dict) else {}


def vocabulary(folder: Path) -> dict[str, int]:
    """Token to number, of a tokenizer's folder; empty where no known file says it.

    ``tokenizer.json`` (word-level, WordPiece, BPE and Unigram models, and added tokens), or
    ``vocab.txt``, or ``vocab.json``.
    """
    content = read_json(folder / "tokenizer.json")
    model = content.get("model")
    if isinstance(model, dict):
        tokens = _tokens(model.get("vocab"))
        for added in content.get("added_tokens") or ():
            if isinstance(added, dict) and isinstance(added.get("id"), int):
                tokens[str(added.get("content"))] = added["id"]
        return tokens
    if (folder / "vocab.txt").is_file():
        lines = (folder / "vocab.txt").read_text(encoding="utf-8", errors="replace").splitlines()
        return {token: number for number, token in enumerate(lines)}
    return _tokens(read_json(folder / "vocab.json"))


def _tokens(vocabulary: Any) -> dict[str, int]:
    if isinstance(vocabulary, dict):
        return {str(token): int(number) for token, number in vocabulary.items()}
    if isinstance(vocabulary, list):  # Unigram: (token, score), by number
        return {str(entry[0]): number for number, entry in enumerate(vocabulary) if entry}
    return {}
