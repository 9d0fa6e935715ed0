"""Texts as people have them, as a model's inputs: pairs, words, chats, choices, no pad token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mergecast.errors import UsageError
from mergecast.tasks import completions
from mergecast.tasks.scores import IGNORED


class TextEncoder:
    """A tokenizer's folder and the number of tokens kept of a text.

    A tokenizer without a pad token pads with its end token, under the attention mask: padding
    then changes no number.

    Parameters
    ----------
    folder : Path
        Of the tokenizer; no code of it is run.
    max_length : int
        Tokens kept of a text.

    Raises
    ------
    UsageError
        transformers is not installed, or the folder holds no tokenizer.
    """

    def __init__(self, folder: Path, max_length: int) -> None:
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise UsageError(
                "transformers", "is not installed", "pip install mergecast[hf]"
            ) from error
        self._folder, self._max_length = folder, max_length
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(
                str(folder), trust_remote_code=False, local_files_only=True
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._error(error) from error
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = (
                self._tokenizer.eos_token
                or self._tokenizer.unk_token
                or self._tokenizer.convert_ids_to_tokens(0)
            )

    def texts(self, column: str, rows: Sequence[Any], pairs: Sequence[Any] | None = None) -> Any:
        """Encode texts, or pairs of them; lists of words and chats as well.

        Parameters
        ----------
        column : str
            What errors call the rows.
        rows, pairs : sequence
            Texts; lists of words; or chats, lists of messages with ``role`` and ``content``, whose
            template writes the special tokens.

        Returns
        -------
        BatchEncoding
            Tensors by the names of the model's inputs, and the words that tokens come from.
        """
        specials = not any(completions.is_chat(row) for row in rows)
        rows = [self._text(column, row) for row in rows]
        words = any(isinstance(row, list) for row in rows)
        if words and not all(isinstance(row, list) for row in rows):
            raise UsageError(f"column {column!r}", "holds texts and lists of words", "store one")
        if pairs is not None:
            pairs = [self._text(column, row) for row in pairs]
        return self._call(rows, pairs, is_split_into_words=words, add_special_tokens=specials)

    def completions(
        self, text: str, prompts: Sequence[Any], column: str, rows: Sequence[Any]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Encode prompts with their completions; see `mergecast.tasks.completions`."""
        found = completions.rows_of(self._tokenizer, text, prompts, column, rows)
        return completions.encode(self._tokenizer, found, self._max_length)

    def choices(
        self, column: str, rows: Sequence[Any], choices: Sequence[Any]
    ) -> dict[str, Tensor]:
        """Encode every row with each of its choices: (n, choices, L).

        Raises
        ------
        UsageError
            Rows have different numbers of choices.
        """
        counts = {len(row) for row in choices}
        if len(counts) != 1:
            raise UsageError(
                f"column {column!r}", f"has rows of {sorted(counts)} choices", "give as many to all"
            )
        [count] = counts
        prompts = [row for row in rows for _ in range(count)]
        flat = self.texts(column, prompts, [choice for row in choices for choice in row])
        return {name: value.view(len(rows), count, -1) for name, value in dict(flat).items()}

    def completion_lengths(
        self, text: str, prompts: Sequence[Any], column: str, rows: Sequence[Any]
    ) -> list[int]:
        """Tokens of each prompt with its completion, before they are cut."""
        found = completions.rows_of(self._tokenizer, text, prompts, column, rows)
        return completions.lengths(self._tokenizer, found)

    def lengths(
        self, column: str, rows: Sequence[Any], pairs: Sequence[Any] | None = None
    ) -> list[int]:
        """Tokens of each text, or pair, before it is cut; rows as of `texts`."""
        specials = not any(completions.is_chat(row) for row in rows)
        texts = [self._text(column, row) for row in rows]
        others = None if pairs is None else [self._text(column, row) for row in pairs]
        try:
            encoded = self._tokenizer(
                text=texts,
                text_pair=others,
                is_split_into_words=isinstance(texts[0], list),
                add_special_tokens=specials,
                verbose=False,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._error(error) from error
        return [len(ids) for ids in encoded["input_ids"]]

    def targets(self, column: str, rows: Sequence[Any]) -> Tensor:
        """Token numbers of target texts, (n, L), -100 where a row is padded."""
        texts = [self._text(column, row) for row in rows]
        encoded = self._call(texts, None, text_target=True)
        ids: Tensor = encoded["input_ids"]
        return ids.masked_fill(encoded["attention_mask"] == 0, IGNORED)

    def word_labels(self, encoded: Any, labels: Sequence[Sequence[int]]) -> Tensor:
        """Labels of words on their first tokens, (n, L); -100 on all others."""
        out = torch.full(encoded["input_ids"].shape, IGNORED)
        for row, given in enumerate(labels):
            before = None
            for position, word in enumerate(encoded.word_ids(row)):
                if word is not None and word != before and word < len(given):
                    out[row, position] = int(given[word])
                before = word
        return out

    def _text(self, column: str, row: Any) -> Any:
        """A text or a list of words; a chat becomes the text that its template makes."""
        if isinstance(row, str):
            return row
        row = completions.plain(row)
        if completions.is_chat(row):
            try:
                return self._tokenizer.apply_chat_template(row, tokenize=False)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise self._error(error) from error
        if isinstance(row, list) and all(isinstance(part, str) for part in row):
            return row
        raise UsageError(
            f"column {column!r}", f"does not hold text but {row!r:.40}", "name a text column"
        )

    def _call(self, rows: list[Any], pairs: Any, text_target: bool = False, **options: Any) -> Any:
        given = {"text_target": rows} if text_target else {"text": rows, "text_pair": pairs}
        try:
            return self._tokenizer(
                **given,
                truncation=True,
                padding=True,
                max_length=self._max_length,
                return_tensors="pt",
                **options,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> UsageError:
        problem = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return UsageError(f"tokenizer {self._folder}", problem, "give a tokenizer's folder")
