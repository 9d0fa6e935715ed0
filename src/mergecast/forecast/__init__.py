"""Forecast retention from metrics, and validate it against tasks never seen."""
