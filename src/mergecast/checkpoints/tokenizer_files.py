"""A tokenizer with tokens of other models added, written by transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mergecast.checkpoints.folder_writer import write_json
from mergecast.checkpoints.side_files import read_json, vocabulary
from mergecast.errors import CheckpointError, UsageError

#: What a tokenizer of one model or another is kept in.
_FILES = (
    "added_tokens.json", "chat_template.jinja", "merges.txt", "sentencepiece.bpe.model",
    "special_tokens_map.json", "spiece.model", "tokenizer.json", "tokenizer.model",
    "tokenizer_config.json", "vocab.json", "vocab.txt",
)  # fmt: skip


class AddedTokens:
    """A base's tokenizer with added tokens of other models' tokenizers.

    Parameters
    ----------
    base : Path
        Folder of the base.
    numbers : mapping of str to int
        New token to its number, in ascending order.
    owners : mapping of str to Path
        New token to the folder of a model whose tokenizer has it.

    Raises
    ------
    UsageError
        transformers is not installed.
    CheckpointError
        A token is no added one, but of the model of its tokenizer; or the base's tokenizer gives
        it another number.
    """

    def __init__(self, base: Path, numbers: Mapping[str, int], owners: Mapping[str, Path]) -> None:
        read: dict[Path, Any] = {}
        self._tokenizer = _tokenizer(base)
        for token, number in numbers.items():
            folder = owners[token]
            if folder not in read:
                read[folder] = _tokenizer(folder)
            added = read[folder].added_tokens_decoder.get(vocabulary(folder)[token])
            if added is None:
                raise CheckpointError(
                    folder,
                    f"token {token!r} is of the tokenizer's own model, not added to it: text would "
                    "be cut otherwise",
                    "leave new tokens out: --vocabulary base",
                )
            self._tokenizer.add_tokens([added])
            given = self._tokenizer.convert_tokens_to_ids(token)
            if given != number:
                raise CheckpointError(
                    base,
                    f"its tokenizer numbers the new token {token!r} {given}, not {number} as its "
                    "files say",
                    "leave new tokens out: --vocabulary base",
                )

    def write(self, folder: Path, rows: int) -> None:
        """Put the tokenizer, and the number of rows, into a model's folder."""
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
        self._tokenizer.save_pretrained(str(folder))
        config = read_json(folder / "config.json")
        if config:
            write_json(folder / "config.json", _with_rows(config, rows))


def _with_rows(config: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """The config, and those nested in it, with as many tokens as there are rows."""
    return {
        key: rows
        if key == "vocab_size"
        else _with_rows(value, rows)
        if key == "text_config" and isinstance(value, dict)
        else value
        for key, value in config.items()
    }


def _tokenizer(folder: Path) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise UsageError("transformers", "is not installed", "pip install mergecast[hf]") from error
    try:
        return AutoTokenizer.from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            folder,
            f"has no tokenizer that loads: {first}",
            "leave new tokens out: --vocabulary base",
        ) from error
