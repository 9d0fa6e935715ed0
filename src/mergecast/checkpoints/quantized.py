"""Quantised and scaled weights: widened where the numbers are all there, refused by name otherwise.

8-bit floats with scales beside them, and MXFP4 blocks, are exact descriptions of ordinary
matrices; a model so stored is read as these matrices. Integer codes of GPTQ, AWQ and bitsandbytes
are not: what their scales alone hold is no weight, so such a checkpoint is refused.

References: DeepSeek-V3 (arXiv 2412.19437) for blocks of 128 × 128; OCP Microscaling Formats v1.0
for MXFP4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from mergecast.checkpoints.checkpoint import Checkpoint, TensorInfo
from mergecast.errors import CheckpointError
from mergecast.typing import Array

_FLOAT32: np.dtype[np.generic] = np.dtype(np.float32)
_FP8 = ("float8_e4m3fn", "float8_e5m2")
#: Names of the scales of 8-bit floats, and whether the weight is divided by them.
_SCALES = ("weight_scale_inv", "weight_scale")
#: The sixteen values of a 4-bit float with two exponent bits and one of mantissa.
_FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], dtype="f4")
_BIAS = 127
#: Rows and columns of one scale where a config does not say.
_DEFAULT_BLOCK = (128, 128)
#: Last parts of names that integer codes have beside them, to the format that writes them.
_CODES = {
    "qweight": "GPTQ or AWQ",
    "qzeros": "GPTQ or AWQ",
    "absmax": "bitsandbytes 4 bit",
    "SCB": "bitsandbytes 8 bit",
    "weight_packed": "compressed-tensors, packed integers",
}
_WIDENED = frozenset({"fp8", "fbgemm_fp8", "mxfp4", "compressed-tensors"})
_REMEDY = (
    "bring the checkpoint before quantisation, or a dequantised one (transformers: load it, "
    "model.dequantize(), save_pretrained)"
)


def widened(checkpoint: Checkpoint, config: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint itself, or its scaled tensors as the matrices that they stand for.

    Parameters
    ----------
    checkpoint : Checkpoint
        As the file holds it.
    config : mapping
        Its ``config.json``; ``quantization_config`` is read where there is one.

    Raises
    ------
    CheckpointError
        The weights are integer codes, or a scale does not fit its weight.
    """
    _refuse_codes(checkpoint, config)
    scaled: dict[str, _Scaled | _Microscaled] = {
        **_scaled_floats(checkpoint, config),
        **_microscaled(checkpoint),
    }
    return WidenedCheckpoint(checkpoint, scaled) if scaled else checkpoint


def _refuse_codes(checkpoint: Checkpoint, config: Mapping[str, Any]) -> None:
    quantization = config.get("quantization_config") or config.get("compression_config")
    if isinstance(quantization, Mapping):
        method = str(quantization.get("quant_method", "")).lower()
        bits = quantization.get("bits") or (4 if quantization.get("load_in_4bit") else None)
        if method not in _WIDENED and _holds_codes(checkpoint):
            named = f"{method or 'an unnamed method'}{f', {bits} bit' if bits else ''}"
            raise _refusal(checkpoint.path, f"quantised ({named})")
    for name in checkpoint.names:
        parts = name.split(".")
        how = _CODES.get(parts[-1])
        if how is None and "quant_state" in parts:
            how = _CODES["absmax"]
        if how is not None:
            raise _refusal(checkpoint.path, f"quantised ({how}: it holds {name!r})")


def _holds_codes(checkpoint: Checkpoint) -> bool:
    """Whether matrices are stored as integers: a config may outlive its quantisation."""
    return any(len(i.shape) >= 2 and not i.is_floating for i in checkpoint.infos.values())


def _refusal(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        path, f"is {what}: integer codes are no weights that can be merged", _REMEDY
    )


@dataclass(frozen=True)
class _Scaled:
    """A matrix of 8-bit floats times scales, one for each block of rows and columns."""

    weight: TensorInfo
    scale: TensorInfo
    block: tuple[int, int]

    @property
    def info(self) -> TensorInfo:
        return TensorInfo(self.weight.name, self.weight.shape, _FLOAT32)

    @property
    def parts(self) -> tuple[str, ...]:
        return self.weight.name, self.scale.name

    def read(self, stored: Checkpoint, start: int, stop: int) -> Array:
        codes = stored._read(self.weight, start, stop).astype(np.float32)
        scales: Array = stored.array(self.scale.name).astype(np.float32)
        if scales.size == 1:
            whole: Array = codes * scales.reshape(-1)[0]
            return whole
        columns = self.weight.shape[1]
        height, width = self.block
        flat = np.arange(start, stop)
        product: Array = (
            codes
            * scales.reshape(len(scales), -1)[flat // columns // height, flat % columns // width]
        )
        return product


@dataclass(frozen=True)
class _Microscaled:
    """MXFP4: (…, groups, 16) bytes of two 4-bit floats, and (…, groups) exponents."""

    name: str
    blocks: TensorInfo
    scales: TensorInfo

    @property
    def info(self) -> TensorInfo:
        *outer, rows, groups, size = self.blocks.shape
        # Experts are multiplied from the left by their inputs: (…, in, out), as dequantised ones.
        return TensorInfo(self.name, (*outer, groups * size * 2, rows), _FLOAT32)

    @property
    def parts(self) -> tuple[str, ...]:
        return self.blocks.name, self.scales.name

    def read(self, stored: Checkpoint, start: int, stop: int) -> Array:
        each = prod(self.info.shape[-2:])
        first, last = start // each, -(-stop // each)
        experts = [self._expert(stored, number).reshape(-1) for number in range(first, last)]
        return np.concatenate(experts)[start - first * each : stop - first * each]

    def _expert(self, stored: Checkpoint, number: int) -> Array:
        """One expert's matrix, (in, out)."""
        *_, rows, groups, size = self.blocks.shape
        step = rows * groups
        codes = stored._read(self.blocks, number * step * size, (number + 1) * step * size)
        exponents = stored._read(self.scales, number * step, (number + 1) * step)
        pairs = np.stack([_FP4[codes & 0x0F], _FP4[codes >> 4]], axis=-1).reshape(step, 2 * size)
        values: Array = np.ldexp(pairs, exponents.astype(np.int32)[:, None] - _BIAS)
        matrix: Array = np.ascontiguousarray(values.reshape(rows, -1).T)
        return matrix


class WidenedCheckpoint(Checkpoint):
    """A checkpoint whose scaled tensors are read as float32 matrices; the others as they are.

    Parameters
    ----------
    stored : Checkpoint
        As the file holds it.
    scaled : mapping
        Name to the description of each matrix that is widened.
    """

    def __init__(self, stored: Checkpoint, scaled: Mapping[str, _Scaled | _Microscaled]) -> None:
        parts = {part for one in scaled.values() for part in one.parts}
        infos = {name: info for name, info in stored.infos.items() if name not in parts}
        infos |= {name: one.info for name, one in scaled.items()}
        super().__init__(stored.path, infos, stored.tied)
        self.stored = stored
        self.has_values = stored.has_values
        self._scaled = dict(scaled)

    def _read(self, info: TensorInfo, start: int, stop: int) -> Array:
        scaled = self._scaled.get(info.name)
        if scaled is None:
            return self.stored._read(info, start, stop)
        return scaled.read(self.stored, start, stop)


def _scaled_floats(checkpoint: Checkpoint, config: Mapping[str, Any]) -> dict[str, _Scaled]:
    quantization = config.get("quantization_config")
    declared = quantization.get("weight_block_size") if isinstance(quantization, Mapping) else None
    weights: dict[str, _Scaled] = {}
    for name, info in checkpoint.infos.items():
        if info.dtype.name not in _FP8 or not name.endswith("weight"):
            continue
        stem = name.removesuffix("weight")
        scale = next((s for kind in _SCALES if (s := stem + kind) in checkpoint.infos), None)
        if scale is not None:
            other = checkpoint.infos[scale]
            block = _block(info.shape, other.shape, declared or _DEFAULT_BLOCK)
            if block is None:
                raise CheckpointError(
                    checkpoint.path,
                    f"holds scales {list(other.shape)} for {name!r} of {list(info.shape)}",
                    _REMEDY,
                )
            weights[name] = _Scaled(info, other, block)
    return weights


def _block(
    shape: tuple[int, ...], scales: tuple[int, ...], declared: Sequence[int]
) -> tuple[int, int] | None:
    """Rows and columns that one scale stands for; None where the scales do not fit the weight."""
    if prod(scales) == 1:
        return 1, 1
    if len(shape) != 2 or len(scales) not in (1, 2):
        return None
    grid = (scales[0], scales[1] if len(scales) == 2 else 1)
    block = []
    for count, size, given in zip(grid, shape, declared, strict=False):
        fits = {1: size, size: 1, -(-size // given): given}
        if count not in fits:
            return None
        block.append(fits[count])
    return block[0], block[1]


def _microscaled(checkpoint: Checkpoint) -> dict[str, _Microscaled]:
    weights: dict[str, _Microscaled] = {}
    for name, info in checkpoint.infos.items():
        scales = checkpoint.infos.get(f"{name.removesuffix('_blocks')}_scales")
        if not name.endswith("_blocks") or scales is None or info.dtype != np.uint8:
            continue
        if len(info.shape) < 3 or info.shape[:-1] != scales.shape or scales.dtype != np.uint8:
            raise CheckpointError(
                checkpoint.path,
                f"holds scales {list(scales.shape)} for {name!r} of {list(info.shape)}",
                _REMEDY,
            )
        plain = name.removesuffix("_blocks")
        weights[plain] = _Microscaled(plain, info, scales)
    return weights
