"""Gradients of the loss, and the metrics of pairs on them."""
