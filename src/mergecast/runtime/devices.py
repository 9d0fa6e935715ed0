"""Devices that tensors are computed on."""

from __future__ import annotations

from mergecast.errors import UsageError


def check_device(device: str) -> None:
    """Raise UsageError for a device that is unknown, not supported or not there."""
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise UsageError(f"device {device!r}", "unknown", "use cpu, cuda or cuda:N") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {device!r}", "no CUDA device is available", "use cpu")
    if kind not in {"cpu", "cuda"}:
        raise UsageError(f"device {device!r}", "not supported", "use cpu, cuda or cuda:N")
