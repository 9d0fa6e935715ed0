"""Labelled samples of a task as a suite of encoders keeps them: in its cache, before any model."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mergecast.errors import UsageError
from mergecast.runtime.seeds import derived_seed
from mergecast.typing import Array

#: The share of samples that a class has at least.
RARE = 0.01


@dataclass(frozen=True)
class Labelled:
    """Samples and classes.

    Attributes
    ----------
    samples : array
        Texts, (n,) object, or images, (n, height, width, 3) uint8.
    labels : array
        (n,) int64, places in `classes`.
    groups : array
        (n,) object: samples of one group are never split up; see `splits`.
    classes : tuple of str
        Their names.
    """

    samples: Array
    labels: Array
    groups: Array
    classes: tuple[str, ...]

    @classmethod
    def of(
        cls, samples: Sequence[Any], classes: Sequence[str], groups: Sequence[str] | None = None
    ) -> Labelled:
        """From the name of each sample's class; groups are the samples themselves by default.

        Classes are sorted by name; those of fewer than `RARE` of all samples are left out. A
        sample that is there twice is taken once, and not at all where its labels differ.

        Parameters
        ----------
        samples : sequence
            Texts or images.
        classes : sequence of str
            One a sample.
        groups : sequence of str, optional
            One a sample.
        """
        counts = Counter(classes)
        names = tuple(sorted(k for k, count in counts.items() if count >= RARE * len(samples)))
        values = np.empty(len(samples), dtype=object)
        values[:] = list(samples)
        keys = [_key(value) for value in values]
        said: dict[str, set[str]] = {}
        for key, name in zip(keys, classes, strict=True):
            said.setdefault(key, set()).add(name)
        first = dict(reversed([(key, row) for row, key in enumerate(keys)]))
        one = {key: row for key, row in first.items() if len(said[key]) == 1}
        rows = sorted(row for row in one.values() if classes[row] in names)
        kept = values[rows]
        if len(kept) and isinstance(kept[0], np.ndarray):
            kept = np.stack(list(kept))
        found = np.array(keys if groups is None else groups, dtype=object)[rows]
        labels = np.array([names.index(classes[row]) for row in rows], dtype=np.int64)
        return cls(kept, labels, found, names)

    def at_most(self, count: int) -> Labelled:
        """No more than `count` samples, drawn by the hash of their groups: whole groups first."""
        order = sorted(
            range(len(self.labels)),
            key=lambda row: (derived_seed(0, "kept", self.groups[row]), row),
        )
        return self.rows(np.array(sorted(order[:count]), dtype=np.int64))

    def rows(self, rows: Array) -> Labelled:
        """Some of the samples."""
        return replace(
            self, samples=self.samples[rows], labels=self.labels[rows], groups=self.groups[rows]
        )

    def save(self, path: Path) -> None:
        """Write one ``.npz``; texts and names as UTF-8 bytes with their ends."""
        arrays = {"labels": self.labels, **_texts("groups", self.groups)}
        arrays |= _texts("classes", self.classes)
        if self.samples.dtype == object:
            arrays |= _texts("samples", self.samples)
        else:
            arrays["samples"] = self.samples
        np.savez_compressed(path, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Labelled:
        """Read what `save` wrote.

        Raises
        ------
        UsageError
            There is no such file, or it is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
            samples = found["samples"] if "samples" in found else _strings("samples", found)
            groups, classes = _strings("groups", found), _strings("classes", found)
        except (OSError, KeyError, ValueError) as error:
            raise UsageError(path, f"cannot be read: {error}", "run `bench fetch` again") from error
        return cls(samples, found["labels"], groups, tuple(classes))


def _key(value: Any) -> str:
    """What a sample is, as text: of images a digest."""
    if isinstance(value, np.ndarray):
        return hashlib.sha256(value.tobytes()).hexdigest()
    return str(value)


def _texts(name: str, values: Sequence[str] | Array) -> dict[str, Array]:
    parts = [str(value).encode() for value in values]
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    return {
        f"{name}_bytes": np.frombuffer(b"".join(parts), dtype=np.uint8),
        f"{name}_ends": ends,
    }


def _strings(name: str, found: dict[str, Array]) -> Array:
    whole = found[f"{name}_bytes"].tobytes()
    ends = found[f"{name}_ends"].tolist()
    values = np.empty(len(ends), dtype=object)
    values[:] = [whole[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]
    return values
