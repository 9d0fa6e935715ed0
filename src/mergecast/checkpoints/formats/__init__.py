"""Checkpoint formats, each in a file of its own that registers it."""
