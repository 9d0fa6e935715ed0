"""Checkpoints: files and folders to tensors, read lazily, and the writer of merged ones."""

from mergecast.checkpoints.checkpoint import Checkpoint, TensorInfo

__all__ = ["Checkpoint", "TensorInfo"]
