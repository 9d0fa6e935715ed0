"""Where the program starts: so little that an interrupt finds nothing to trace back through."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Import the command line and run it; an interrupt before it runs ends as one during it."""
    try:
        from mergecast.cli.main import main as run
    except KeyboardInterrupt:
        print("mergecast: error: interrupted", file=sys.stderr)
        sys.exit(130)
    run()
