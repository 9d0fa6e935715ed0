"""placeholder while the demo is written"""


def command() -> None:
    """Placeholder."""
