"""``image-11``, small pictures on a convolutional network or a vision transformer."""
