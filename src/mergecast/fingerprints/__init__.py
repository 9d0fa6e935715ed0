"""Fingerprints: per-model evidence, computed once, from which pairs are cheap."""

from mergecast.fingerprints.weights import MatrixOverlaps, WeightFingerprints, collect

__all__ = ["MatrixOverlaps", "WeightFingerprints", "collect"]
