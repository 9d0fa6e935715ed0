"""What a language model is asked and what is to follow, made of labelled texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mergecast.suites.encoders.data import Labelled
    from mergecast.tasks.completions import Row
    from mergecast.tasks.scores import ScoreName


@dataclass(frozen=True)
class Prompt:
    """A task as a text to go on with.

    Attributes
    ----------
    ask : str
        The prompt, with ``{text}`` or ``{label}``.
    reply : str
        What follows it, with the other of the two.
    score : str
        What a model is judged by; see `mergecast.tasks.scores`.
    """

    ask: str
    reply: str = " {label}"
    score: ScoreName = "exact_match"

    def rows(self, data: Labelled, words: int) -> list[Row]:
        """One row a sample, texts cut to `words` words."""
        from mergecast.tasks.completions import Row

        rows = []
        for text, label in zip(data.samples, data.labels.tolist(), strict=True):
            said = {"text": " ".join(str(text).split()[:words]), "label": data.classes[label]}
            ask = self.ask.format(**said)
            rows.append(Row(ask, ask + self.reply.format(**said)))
        return rows


#: Tasks that are answered by the name of a class, and one that writes a text for it: scored by its
#: likelihood, since a definition can be worded in many ways.
PROMPTS: Mapping[str, Prompt] = {
    "bbc": Prompt("Article: {text}\nSection:"),
    "reuters-r8": Prompt("News: {text}\nTopic:"),
    "ng-rec": Prompt("Post: {text}\nGroup:"),
    "spam": Prompt("Mail: {text}\nSpam or ham:"),
    "wn-pos": Prompt("Definition: {text}\nPart of speech:"),
    "tweets": Prompt("A {label} tweet:", " {text}", "likelihood"),
}
