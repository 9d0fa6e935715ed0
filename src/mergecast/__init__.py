"""mergecast: forecast what merging fine-tuned neural networks will do, before anyone merges them."""

__version__ = "0.1.0"
