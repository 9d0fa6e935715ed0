"""``clip-n20``, the suite of the paper: CLIP's image encoder on twenty data sets of the hub."""
