"""Stream → method → tensors or a written checkpoint."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.folder_writer import MARKER, FolderWriter
from mergecast.checkpoints.safetensors_file import SafetensorsCheckpoint
from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.errors import FamilyError, MergecastError, UsageError
from mergecast.family.blocks import BLOCKS, ParamBlock
from mergecast.family.family import Family
from mergecast.merging.method import METHODS, MergingMethod, TensorBlock
from mergecast.runtime.devices import check_device
from mergecast.runtime.progress import Progress, Silent
from mergecast.runtime.stage import Stage
from mergecast.typing import Array
from mergecast.version import __version__

if TYPE_CHECKING:
    import torch

#: A block merged, by whatever method.
MERGE = Stage(
    "merge",
    1,
    uses=(BLOCKS,),
    modules=("mergecast.merging.run", "mergecast.merging.decompositions"),
)
#: Suffixes of weights and training state, which a merge replaces or makes meaningless.
_WEIGHTS = frozenset(
    {".bin", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".pt", ".pth", ".safetensors"}
)


def merge(
    family: Family,
    method: str,
    *,
    members: Sequence[str] | None = None,
    params: Mapping[str, object] | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, torch.Tensor]:
    """Merge in memory.

    Parameters
    ----------
    family : base and models.
    method : a name in `METHODS`.
    members : labels of the models to merge; all by default. Their order does not matter.
    params : the method's parameters; defaults for the rest.
    seed : seed of random masks.
    device : where the method runs.

    Returns
    -------
    Every parameter of the base: shared ones merged, others as they are in the base, each in the
    base's dtype.
    """
    _, blocks = _merged_blocks(family, method, members, params, seed, device)
    merged = {name: to_tensor(array) for name, array in blocks}
    for exclusion in family.alignment.excluded:
        if exclusion.name in family.base.infos:
            merged[exclusion.name] = to_tensor(family.base.array(exclusion.name))
    return {name: merged[name] for name in family.base.names}


def write_merge(
    family: Family,
    method: str,
    out: str | Path,
    *,
    members: Sequence[str] | None = None,
    params: Mapping[str, object] | None = None,
    seed: int = 0,
    device: str = "cpu",
    workers: int = 2,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Merge to disk, one parameter at a time; see `merge` for the parameters.

    The folder gets ``model.safetensors`` (or the base's shards and index), the base's config and
    tokenizer files, and ``mergecast.json``, the record of the merge. It appears when complete.
    """
    out = Path(out)
    infos = list(family.base.infos.values())
    chosen = _members(family, members)
    record = {
        "mergecast": __version__,
        "method": method,
        "params": METHODS.get(method).validate(params),
        "seed": seed,
        "base": str(family.base.path),
        "members": {name: str(family.models[name].path) for name in chosen},
        "excluded": [vars(exclusion) for exclusion in family.alignment.excluded],
    }
    writer = FolderWriter(
        out,
        infos,
        shards=_shards(family.base),
        side_files=_side_files(family.base.path),
        record=record,
        overwrite=overwrite,
        inputs=[family.base.path, *(family.models[name].path for name in chosen)],
        tied=family.base.tied,
    )
    _, blocks = _merged_blocks(family, method, members, params, seed, device, workers)
    advance = (progress or Silent()).stage(f"merging by {method}", len(infos))
    with writer.open():
        for name, array in blocks:
            writer.write(name, array)
            advance(1)
        for exclusion in family.alignment.excluded:
            if exclusion.name in family.base.infos:
                writer.write(exclusion.name, family.base.array(exclusion.name))
                advance(1)
    return out


def apply(
    block: ParamBlock,
    method: MergingMethod,
    params: Mapping[str, Any],
    *,
    seed: int = 0,
    device: str = "cpu",
) -> Array:
    """One block merged: base + merged delta, in the base's shape and stored dtype.

    Raises
    ------
    FamilyError
        A model's values are not finite, or the merged ones leave the stored dtype's range.
    UsageError
        The method returned something else than a delta of the block's shape.
    """
    import torch

    tensors = TensorBlock(
        block.name,
        torch.from_numpy(block.base).to(device),
        torch.from_numpy(block.deltas).to(device),
        block.members,
        seed,
    )
    for label, delta in zip(block.members, tensors.deltas, strict=True):
        if not _is_finite(delta):
            raise FamilyError(
                f"model {label!r}",
                f"parameter {block.name!r} or the base's holds NaN or infinity",
                "leave this model out, or fetch it again",
            )
    delta = method.kernel(tensors, **params)
    _check_shape(delta, tensors, method)
    merged = tensors.base + delta
    array: Array = merged.cpu().numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        stored = array.astype(block.dtype, copy=False)
    rounded = stored.dtype != array.dtype and not bool(np.isfinite(stored).all())
    if rounded or not _is_finite(merged):
        if bool(delta.isnan().any()):
            raise _wrong_result(method, f"NaN for {block.name!r}", "finite values")
        raise FamilyError(
            f"parameter {block.name!r}",
            f"merged by {method.name!r} it overflows {block.dtype.name}",
            "lower the method's scaling, or use a base of wider dtype",
        )
    return stored


def _check_shape(delta: object, block: TensorBlock, method: MergingMethod) -> None:
    import torch

    if not isinstance(delta, torch.Tensor):
        raise _wrong_result(method, f"{type(delta).__name__} for {block.name!r}", "a torch tensor")
    if delta.shape != block.base.shape:
        given, wanted = list(delta.shape), list(block.base.shape)
        raise _wrong_result(
            method, f"shape {given} for {block.name!r} of {wanted}", "a delta of the block's shape"
        )


def _wrong_result(method: MergingMethod, result: str, wanted: str) -> UsageError:
    return UsageError(
        f"merging method {method.name!r} of package {method.package!r}",
        f"returned {result}",
        f"its kernel must return {wanted}",
    )


def _is_finite(tensor: torch.Tensor) -> bool:
    """Whether all elements are finite; one pass without a temporary of the tensor's size."""
    if tensor.numel() == 0:
        return True
    low, high = tensor.aminmax()
    return bool(low.isfinite() and high.isfinite())


def _merged_blocks(
    family: Family,
    method_name: str,
    members: Sequence[str] | None,
    params: Mapping[str, object] | None,
    seed: int,
    device: str,
    workers: int = 1,
) -> tuple[MergingMethod, Iterator[tuple[str, Array]]]:
    method = METHODS.get(method_name)
    parameters = method.validate(params)
    check_device(device)
    chosen = _members(family, members)
    method.check_members(chosen)
    subset = family.subset(chosen)

    def one(block: ParamBlock) -> tuple[str, Array]:
        try:
            return block.name, apply(block, method, parameters, seed=seed, device=device)
        except MergecastError as error:
            raise error.about(f"merge {method_name}") from error

    def stream() -> Iterator[tuple[str, Array]]:
        # Kernels on a GPU queue up anyway; on the CPU one thread each, so that the result does
        # not depend on the machine's cores.
        side_by_side = workers if device == "cpu" else 1
        with _one_torch_thread(), ThreadPoolExecutor(side_by_side) as pool:
            pending: deque[Future[tuple[str, Array]]] = deque()
            for block in subset.blocks():
                pending.append(pool.submit(one, block))
                if len(pending) > side_by_side:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    return method, stream()


def _members(family: Family, members: Sequence[str] | None) -> tuple[str, ...]:
    """Members in sorted order, so that the order given changes nothing, not even rounding."""
    return tuple(sorted(family.names if members is None else family.subset(members).names))


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """One thread per operation while blocks run side by side; restored whatever happens."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _shards(base: Checkpoint) -> dict[str, str] | None:
    if not isinstance(base, SafetensorsCheckpoint) or not base.path.is_dir():
        return None
    return {name: base.file_of(name) for name in base.names}


def _side_files(folder: Path) -> list[Path]:
    """Every file of a model folder but weights: config, tokenizer, generation, custom code."""
    if not folder.is_dir():
        return []
    return [
        file
        for file in sorted(folder.iterdir())
        if file.is_file()
        and file.suffix not in _WEIGHTS
        and not file.name.endswith(".index.json")
        and file.name not in {MARKER, "adapter_config.json"}
    ]
