"""``digits-14``, the suite that comes with mergecast."""
