"""Weights alone: Gram matrices and spectra of task matrices, and the metrics of pairs on them."""
