"""``lm-6``, adapters of a small language model: texts answered in words, definitions written."""
