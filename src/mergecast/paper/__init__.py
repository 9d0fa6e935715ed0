"""The released results of arXiv 2601.22285: read, replayed, refitted, audited."""
