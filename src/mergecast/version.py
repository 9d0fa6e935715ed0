"""The version, in a room of its own so that every room may write it into its records."""

__version__ = "0.1.0"
