"""Pair and outcome tables: the frozen boundary between torch and the forecast."""
