"""Suites: fine-tune, merge, evaluate; what a merge really did, as tables."""
