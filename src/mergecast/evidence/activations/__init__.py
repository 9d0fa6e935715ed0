"""Activations: mean outputs of the last block, and the metrics of pairs on them."""
