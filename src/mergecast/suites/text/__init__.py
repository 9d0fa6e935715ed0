"""``text-15``, short texts on a small sentence encoder."""
