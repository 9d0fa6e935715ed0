"""mergecast: forecast what merging fine-tuned neural networks will do, before it is done."""

__version__ = "0.1.0"
