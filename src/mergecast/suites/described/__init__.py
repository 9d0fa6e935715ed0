"""Suites that a file describes: people's own tasks, models that exist or are tuned here."""
