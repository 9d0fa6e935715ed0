"""`Family`: a base model and its fine-tuned models, aligned, as a stream of parameter blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeAlias

from mergecast.checkpoints.checkpoint import Checkpoint, weight_suffixes
from mergecast.errors import CheckpointError, FamilyError, MergecastError, UsageError
from mergecast.family.alignment import Alignment, Exclusion, align, set_aside
from mergecast.family.blocks import ParamBlock
from mergecast.family.mismatch import mismatch
from mergecast.family.names import named_as
from mergecast.family.overview import Part, as_html, as_text, overview
from mergecast.family.ties import tied_as
from mergecast.typing import Array, Names, listed

#: Fine-tuned models as people have them: one path, several, or label to path.
Models: TypeAlias = str | Path | Sequence[str | Path] | Mapping[str, str | Path]


class Family:
    """A base model and N models fine-tuned from it.

    Attributes
    ----------
    base : Checkpoint
        The base checkpoint.
    models : mapping of str to Checkpoint
        Label to checkpoint, in the order given.
    alignment : Alignment
        Shared and excluded parameters, with reasons.
    refused : mapping of str to MergecastError
        Label to error of the models left out (``on_error="refuse"``).
    """

    def __init__(
        self,
        base: Checkpoint,
        models: Mapping[str, Checkpoint],
        alignment: Alignment,
        refused: Mapping[str, MergecastError] | None = None,
    ) -> None:
        self.base = base
        self.models = dict(models)
        self.alignment = alignment
        self.refused = dict(refused or {})

    @classmethod
    def open(
        cls,
        base: str | Path | Checkpoint,
        models: Models,
        *,
        private: Names = (),
        strict: bool = True,
        on_error: Literal["raise", "refuse"] = "raise",
    ) -> Family:
        """Open checkpoints and align them by parameter name.

        Parameters
        ----------
        base : str, Path or Checkpoint
            The base model.
        models : str, Path, sequence of them or mapping
            Paths, labelled by file or folder name; or label to path.
        private : str or sequence of str
            Glob patterns of parameters that belong to tasks (heads); a string is one pattern.
        strict : bool
            Refuse models whose parameters differ from the base's outside task heads.
        on_error : {"raise", "refuse"}
            ``refuse`` keeps the usable models and lists the others in `refused`.

        Raises
        ------
        CheckpointError, FamilyError
            The base is unusable; a model is (``on_error="raise"``); no model is left.

        Examples
        --------
        >>> Family.open("base.safetensors", ["a.safetensors", "b.safetensors"])
        Family of 2 models
          base     base.safetensors
          models   2
                   a
                   b
          shared   5 parameters, 925 elements
          private  1
                   head.weight: not in the base; in all models
          buffer   1
                   position_ids: int64 values, kept from the base
        """
        if not isinstance(base, Checkpoint):
            base = Checkpoint.open(base)
        private = listed(private)
        models = [models] if isinstance(models, str | Path) else models
        paths = models if isinstance(models, Mapping) else _label(models)
        if not paths:
            raise UsageError("models", "none given", "give at least one fine-tuned checkpoint")
        opened: dict[str, Checkpoint] = {}
        refused: dict[str, MergecastError] = {}
        for label, path in paths.items():
            if "+" in label:
                raise UsageError(f"model label {label!r}", "contains '+'", "rename it")
            try:
                opened[label] = _open_model(base, Path(path), private, strict)
            except (CheckpointError, FamilyError) as error:
                if on_error == "raise":
                    raise
                refused[label] = error
        if not opened:
            reasons = "; ".join(str(error) for error in refused.values())
            raise FamilyError("models", f"none usable: {reasons}", "fix or leave out these files")
        return cls(base, opened, align(base, opened, private), refused)

    @property
    def names(self) -> tuple[str, ...]:
        """Labels of the models, in the order given."""
        return tuple(self.models)

    @property
    def size(self) -> int:
        """Number of models, without the base."""
        return len(self.models)

    @property
    def shared(self) -> tuple[str, ...]:
        """Floating-point parameters of the same shape in base and all models, sorted."""
        return self.alignment.shared

    @property
    def private(self) -> tuple[Exclusion, ...]:
        """Parameters that belong to single models (heads) or were left out, with reasons."""
        return tuple(e for e in self.alignment.excluded if e.kind == "private")

    @property
    def buffers(self) -> tuple[Exclusion, ...]:
        """Integer tensors, set aside and kept from the base."""
        return tuple(e for e in self.alignment.excluded if e.kind == "buffer")

    def subset(self, names: Sequence[str]) -> Family:
        """The family with only the models `names`, in that order, same alignment."""
        for name in names:
            if name not in self.models:
                raise UsageError.unknown("model", name, self.models)
        if len(set(names)) != len(names) or not names:
            raise UsageError("members", f"are {list(names)}", "name each model once, at least one")
        return Family(self.base, {name: self.models[name] for name in names}, self.alignment)

    def without(self, private: Names) -> Family:
        """The same models, with the shared parameters of these glob patterns private.

        Raises
        ------
        FamilyError
            No shared parameter is left.
        """
        alignment = set_aside(self.alignment, listed(private))
        return Family(self.base, self.models, alignment, self.refused)

    def blocks(self, names: Sequence[str] | None = None) -> Iterator[ParamBlock]:
        """Shared parameters (or those in `names`) as blocks, the next one read ahead."""
        wanted = self.shared if names is None else names
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as pool:
            ahead = None
            for name in wanted:
                following = pool.submit(self._loaded_block, name)
                if ahead is not None:
                    yield ahead.result()
                ahead = following
            if ahead is not None:
                yield ahead.result()

    def block(self, name: str) -> ParamBlock:
        """One shared parameter as a block; nothing is read yet."""
        info = self.base.info(name)
        labels = list(self.models)

        def read_delta(i: int, base: Array, start: int) -> Array:
            label = labels[i]
            alias = self.alignment.aliases.get(label, {}).get(name, name)
            try:
                return self.models[label].delta(alias, base, start)
            except MergecastError as error:
                raise error.about(f"model {label!r}") from error

        return ParamBlock(
            name,
            info.shape,
            labels,
            info.dtype,
            lambda start, stop: self.base.floats(name, start, stop),
            read_delta,
        )

    def _loaded_block(self, name: str) -> ParamBlock:
        block = self.block(name)
        if block.fits_in_memory:
            _ = block.deltas
        return block

    def __repr__(self) -> str:
        return as_text(f"Family of {self.size} models", self._overview())

    def _repr_html_(self) -> str:
        return as_html(self._overview())

    def _overview(self) -> list[Part]:
        return overview(self.base, self.names, self.alignment, self.refused)


def _open_model(base: Checkpoint, path: Path, private: Sequence[str], strict: bool) -> Checkpoint:
    model = tied_as(base, named_as(base, Checkpoint.open(path, base=base)))
    problem = mismatch(base, model, private) if strict else None
    if problem:
        raise problem
    if not any(
        name in model.infos and info.is_floating and model.infos[name].shape == info.shape
        for name, info in base.infos.items()
    ):
        raise FamilyError(
            path,
            f"shares no floating-point parameter with the base {base.path}",
            "use the base model this checkpoint was fine-tuned from",
        )
    return model


def _label(paths: Sequence[str | Path]) -> dict[str, str | Path]:
    """Labels from file stems or folder names; equal ones take as much of their path as it needs."""
    places = [_place(Path(path)) for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise UsageError(f"model {path}", "given twice", "give each model once")
    depth = 0
    labels = [_stem(place, depth) for place in places]
    while len(set(labels)) < len(labels) and depth < max(len(place.parts) for place in places):
        depth += 1
        labels = [
            _stem(place, depth) if labels.count(label) > 1 else label
            for place, label in zip(places, labels, strict=True)
        ]
    if len(set(labels)) < len(labels):  # equal but for suffix or '+'
        plain = [_stem(place, 0) for place in places]
        labels = [f"{label}#{number}" for number, label in enumerate(plain, start=1)]
    return dict(zip(labels, paths, strict=True))


def _place(path: Path) -> Path:
    """The path from the root on; ``.`` and ``..`` are the folders that they stand for."""
    return path.resolve() if path.name in ("", "..") else path.absolute()


def _stem(place: Path, depth: int) -> str:
    """A file's stem or folder's name, with `depth` folders above it; '+' joins members."""
    name = _repository(place) or place.name
    for suffix in weight_suffixes():
        name = name.removesuffix(suffix)
    above = [part for part in place.parent.parts[-depth:] if part != "/"] if depth else []
    return _printable("/".join([*above, name]).replace("+", "_"))


def _repository(place: Path) -> str:
    """Name and revision of a snapshot in a hub's cache, whose folder is called by a hash."""
    for cache in (place, *place.parents[:2]):
        if cache.name.startswith("models--"):
            name = cache.name.rpartition("--")[2]
            revision = place.name[:7] if place.parent.name == "snapshots" else ""
            return f"{name}@{revision}" if revision else name
    return ""


def _printable(name: str) -> str:
    """A label goes into tables and lines of text: bytes that are no text, line ends are escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
