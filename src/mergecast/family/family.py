"""`Family`: a base model and its fine-tuned models, aligned, as a stream of parameter blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.hub_headers import open_headers
from mergecast.errors import CheckpointError, FamilyError, MergecastError, UsageError
from mergecast.family.alignment import Alignment, Exclusion, align, set_aside
from mergecast.family.blocks import ParamBlock
from mergecast.family.models import Models, Rules, paths_of, refused_ahead
from mergecast.family.overview import Part, as_html, as_text, overview
from mergecast.family.token_rows import whole
from mergecast.family.vocabulary import Vocabulary, check_mode, new_tokens
from mergecast.typing import Array, Names, listed

if TYPE_CHECKING:
    import torch

T = TypeVar("T", "Array", "torch.Tensor")


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
    vocabulary : Vocabulary or None
        What is done about tokens that only some models have; None where models were opened as
        they are.
    """

    def __init__(
        self,
        base: Checkpoint,
        models: Mapping[str, Checkpoint],
        alignment: Alignment,
        refused: Mapping[str, MergecastError] | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.base = base
        self.models = dict(models)
        self.alignment = alignment
        self.refused = dict(refused or {})
        self.vocabulary = vocabulary

    @classmethod
    def open(
        cls,
        base: str | Path | Checkpoint,
        models: Models,
        *,
        private: Names = (),
        strict: bool = True,
        vocabulary: str | None = None,
        headers: bool = False,
        on_error: Literal["raise", "refuse"] = "raise",
    ) -> Family:
        """Open checkpoints and align them by parameter name.

        Parameters
        ----------
        base : str, Path or Checkpoint
            The base model.
        models : str, Path, sequence of them or mapping
            Paths, labelled by file or folder name; or label to path, or to an open `Checkpoint`.
        private : str or sequence of str
            Glob patterns of parameters that belong to tasks (heads); a string is one pattern.
        strict : bool
            Refuse models whose parameters differ from the base's outside task heads.
        vocabulary : {"base", "union"}, optional
            Match rows of embeddings by token, as the tokenizers beside the weights say, where
            models have other tokens than the base: those of the base are merged, new ones left
            out (``base``) or kept from their owners (``union``). By default such models are
            refused.
        headers : bool
            Of models of the hub that are not here, read headers alone: their values cannot be read.
            Otherwise they are fetched, once their headers fit.
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
        check_mode(vocabulary)
        private = listed(private)
        paths = paths_of(models)
        rules = Rules(private, strict, vocabulary is not None)
        ahead = {} if headers else refused_ahead(base, paths, rules)
        if ahead and on_error == "raise":
            raise next(iter(ahead.values()))
        read = open_headers if headers else Checkpoint.open
        if not isinstance(base, Checkpoint):
            base = read(base)
        raw: dict[str, Checkpoint] = {}
        opened: dict[str, Checkpoint] = {}
        refused: dict[str, MergecastError] = dict(ahead)
        for label, path in paths.items():
            if label in ahead:
                continue
            try:
                model = path if isinstance(path, Checkpoint) else read(path, base)
                raw[label], opened[label] = rules.model(base, model)
            except (CheckpointError, FamilyError) as error:
                if on_error == "raise":
                    raise
                refused[label] = error
        if not opened:
            reasons = "; ".join(str(error) for error in refused.values())
            raise FamilyError("models", f"none usable: {reasons}", "fix or leave out these files")
        tokens = None
        if vocabulary:
            kept = {label: raw[label] for label in opened}
            tokens = Vocabulary(vocabulary, base, kept, new_tokens(base, kept))
        return cls(base, opened, align(base, opened, private), refused, tokens)

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
        models = {name: self.models[name] for name in names}
        return Family(self.base, models, self.alignment, vocabulary=self.vocabulary)

    def without(self, private: Names) -> Family:
        """The same models, with the shared parameters of these glob patterns private.

        Raises
        ------
        FamilyError
            No shared parameter is left.
        """
        alignment = set_aside(self.alignment, listed(private))
        return Family(self.base, self.models, alignment, self.refused, self.vocabulary)

    def for_merge(self, names: Sequence[str]) -> Family:
        """The models of one merge: new tokens are those that one of them has."""
        subset = self.subset(names)
        tokens = self.vocabulary and self.vocabulary.only(names)
        return Family(self.base, subset.models, self.alignment, vocabulary=tokens)

    def whole(self, label: str) -> Checkpoint:
        """A model as it is run; where rows are matched by token, with one for every token."""
        return whole(self.vocabulary, label) if self.vocabulary else self.models[label]

    def base_rows(self, name: str, values: T) -> T:
        """The part of a tensor, of what is run, that is merged: the base's rows."""
        shape = self.base.info(name).shape
        return values[: shape[0]] if self.vocabulary and shape else values

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
        return as_text(self._title, self._overview())

    def _repr_html_(self) -> str:
        return as_html(self._title, self._overview())

    @property
    def _title(self) -> str:
        return f"Family of {self.size} models"

    def _overview(self) -> list[Part]:
        return overview(self.base, self.names, self.alignment, self.refused)
