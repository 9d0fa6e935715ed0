"""Element types of stored tensors, by their NumPy names.

NumPy has no bfloat16 and no 8-bit floats; ``ml_dtypes`` supplies them, so that reading weights
needs no torch.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

from mergecast.errors import CheckpointError, UsageError

#: safetensors' names to NumPy dtypes (safetensors format, version 0.5).
SAFETENSORS: dict[str, np.dtype[np.generic]] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U64": np.dtype(np.uint64),
    "U32": np.dtype(np.uint32),
    "U16": np.dtype(np.uint16),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}

#: What weights may be stored in, by the names that configs have for it.
STORED = {SAFETENSORS[code].name: SAFETENSORS[code] for code in ("F32", "F16", "BF16")}
_NAME_TO_SAFETENSORS = {dtype.name: code for code, dtype in SAFETENSORS.items()}
_LOW_PRECISION = {"float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"}
_FLOATING = {"float64", "float32"} | _LOW_PRECISION


def from_safetensors(code: str, where: str) -> np.dtype[np.generic]:
    """The NumPy dtype of a safetensors dtype code; raises CheckpointError for unknown ones."""
    if code not in SAFETENSORS:
        codes = ", ".join(SAFETENSORS)
        raise CheckpointError(
            where, f"dtype {code} is not supported", f"convert it to one of {codes}"
        )
    return SAFETENSORS[code]


def to_store(name: str) -> np.dtype[np.generic]:
    """The dtype that floating-point weights are asked to be stored in, by its name."""
    if name not in STORED:
        raise UsageError.unknown("dtype", name, STORED)
    return STORED[name]


def to_safetensors(dtype: np.dtype[np.generic]) -> str:
    """The safetensors code of a NumPy dtype."""
    return _NAME_TO_SAFETENSORS[dtype.name]


def is_floating(dtype: np.dtype[np.generic]) -> bool:
    """Whether elements are floating-point numbers (8-bit and bfloat16 included)."""
    return dtype.name in _FLOATING


def is_low_precision(dtype: np.dtype[np.generic]) -> bool:
    """Whether elements are floating-point numbers of 16 bits or fewer."""
    return dtype.name in _LOW_PRECISION


def working(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """The dtype to compute in: float64 stays, every other float becomes float32."""
    return np.dtype(np.float64) if dtype.name == "float64" else np.dtype(np.float32)
