import sys
from pathlib import Path

# Test folders are no packages; the case is shared with tests/cli.
sys.path.insert(0, str(Path(__file__).parent))
