"""What a shell completes names with; nothing is imported before it asks."""

from __future__ import annotations


def methods(incomplete: str) -> list[str]:
    """Merging methods."""
    import mergecast as mc

    return _beginning(mc.METHODS.names(), incomplete)


def suites(incomplete: str) -> list[str]:
    """Suites."""
    import mergecast as mc

    return _beginning(mc.SUITES.names(), incomplete)


def explained(incomplete: str) -> list[str]:
    """Metrics and merging methods."""
    import mergecast as mc
    from mergecast.evidence import EVIDENCE

    return _beginning([*mc.METHODS.names(), *EVIDENCE.names(), *mc.METRICS.names()], incomplete)


def _beginning(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
