"""Honest validation: splitters, protocols, scores, uncertainty, decisions."""
