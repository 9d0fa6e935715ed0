"""Prompts with what is to follow them: token ids, and which of them a model is asked to predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mergecast.errors import UsageError
from mergecast.tasks.scores import IGNORED


@dataclass(frozen=True)
class Row:
    """One prompt and completion as text.

    Attributes
    ----------
    prompt : str
        What is given.
    whole : str
        The prompt and what follows it.
    chat : bool
        Whether a chat's template made them, which writes the special tokens itself.
    """

    prompt: str
    whole: str
    chat: bool = False


def rows_of(
    tokenizer: Any, text: str, prompts: Sequence[Any], column: str, completions: Sequence[Any]
) -> list[Row]:
    """Texts as they are, joined without a space; chats as the tokenizer's template writes them.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizer
        Its template is used for chats alone.
    text, column : str
        Names of the columns of prompts and completions. Where they are the same, every row is a
        chat, of which the last message is the completion.
    prompts, completions : sequence
        Texts, or chats: lists of messages with ``role`` and ``content``.

    Raises
    ------
    UsageError
        A row is neither text nor chat, a chat does not end with an answer, a prompt is not how
        its whole begins, or a completion is empty.
    """
    given = [(plain(one), plain(two)) for one, two in zip(prompts, completions, strict=True)]
    empty = sum(answer is None or answer == "" for _, answer in given)
    if empty:
        raise UsageError(
            f"column {column!r}",
            f"is empty in {empty} of the {len(given)} rows taken",
            "leave these rows out of the file",
        )
    if text == column:
        wrong = [number for number, (chat, _) in enumerate(given) if not _is_answered(chat)]
        if wrong:
            raise UsageError(
                f"column {text!r}",
                f"{len(wrong)} of the {len(given)} rows taken are no chats with an answer of the "
                f"assistant at their end, row {wrong[0]} of them first",
                "leave these rows out, or name the column of the answers as completion",
            )
    rows = []
    for number, (prompt, completion) in enumerate(given):
        row = _row(tokenizer, text, prompt, column, completion)
        if not row.whole.startswith(row.prompt) or len(row.whole) == len(row.prompt):
            raise UsageError(
                f"column {column!r}",
                f"row {number} of those taken does not follow from its prompt",
                "leave the row out",
            )
        rows.append(row)
    return rows


def encode(tokenizer: Any, rows: Sequence[Row], most: int) -> tuple[dict[str, Tensor], Tensor]:
    """Ids and mask (n, L), padded at the end, and the tokens to predict, (n, L).

    A completion begins with the first token that differs from those of the prompt alone. Where
    the two are longer than `most` tokens, the prompt loses its beginning; a completion that is
    too long by itself, its end.

    Returns
    -------
    dict of str to Tensor, Tensor
        ``input_ids`` and ``attention_mask``; labels: position t holds token t + 1 where that
        belongs to the completion, else -100.

    Raises
    ------
    UsageError
        A prompt and its completion are one token.
    """
    found = [_cut(*_ids(tokenizer, row), most) for row in rows]
    longest = max(len(ids) for ids, _ in found)
    ids = torch.full((len(rows), longest), int(tokenizer.pad_token_id))
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
    for place, (row, start) in enumerate(found):
        ids[place, : len(row)] = torch.tensor(row)
        mask[place, : len(row)] = 1
        labels[place, start - 1 : len(row) - 1] = ids[place, start : len(row)]
    return {"input_ids": ids, "attention_mask": mask}, labels


def lengths(tokenizer: Any, rows: Sequence[Row]) -> list[int]:
    """Tokens of every prompt with its completion, before they are cut."""
    return [len(_ids(tokenizer, row)[0]) for row in rows]


def _ids(tokenizer: Any, row: Row) -> tuple[list[int], int]:
    """Tokens of a row, and where its completion begins, after one token at least."""
    options = {"add_special_tokens": not row.chat, "verbose": False}
    whole: list[int] = tokenizer(row.whole, **options)["input_ids"]
    prompt: list[int] = tokenizer(row.prompt, **options)["input_ids"]
    if len(whole) < 2:
        raise UsageError(
            f"text {row.whole!r:.40}", "is one token, which follows from nothing", "give a prompt"
        )
    alike = (a == b for a, b in zip(whole, prompt, strict=False))
    start = next((place for place, same in enumerate(alike) if not same), len(prompt))
    return whole, min(max(start, 1), len(whole) - 1)


def _cut(ids: list[int], start: int, most: int) -> tuple[list[int], int]:
    """The last `most` tokens; of a longer completion the first ones, after one of the prompt."""
    over = max(len(ids) - most, 0)
    dropped = min(over, start - 1)
    return ids[dropped : dropped + most], start - dropped


def _row(tokenizer: Any, text: str, prompt: Any, column: str, completion: Any) -> Row:
    if text == column:
        prompt, completion = prompt[:-1], prompt[-1:]
    if isinstance(prompt, str) and isinstance(completion, str):
        return Row(prompt, prompt + completion)
    if is_chat(prompt):
        if isinstance(completion, str):
            completion = [{"role": "assistant", "content": completion}]
        if is_chat(completion):
            return _of_chats(tokenizer, column, prompt, completion)
    wrong, value = (text, prompt) if not isinstance(prompt, str) else (column, completion)
    raise UsageError(
        f"column {wrong!r}", f"does not hold text but {value!r:.40}", "name a text column"
    )


def _of_chats(tokenizer: Any, column: str, prompt: list[Any], completion: list[Any]) -> Row:
    try:
        asked = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(prompt + completion, tokenize=False)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"column {column!r}", f"no template makes text of its chats: {problem}", "give texts"
        ) from error
    return Row(asked, whole, chat=True)


def plain(row: Any) -> Any:
    """A row's arrays as lists."""
    return row.tolist() if hasattr(row, "tolist") else row


def _is_answered(chat: Any) -> bool:
    """Whether a row is a chat that ends with an answer to something."""
    return is_chat(chat) and len(chat) > 1 and chat[-1].get("role") == "assistant"


def is_chat(row: Any) -> bool:
    """Whether a row is a list of messages."""
    row = plain(row)
    return isinstance(row, list) and bool(row) and all(isinstance(one, Mapping) for one in row)
