"""Merging two ViT-B/16-size float32 models to disk: whole-process seconds and peak memory.

python benchmarks/merge_speed.py [--method M ...] [--repeats 3] [--dir DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from synthetic import write_family

METHODS = ("task_arithmetic", "ties", "dare", "weight_avg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", action="append", help="a method; four by default")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="keep the synthetic models here")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    folder = arguments.dir or Path(tempfile.mkdtemp(prefix="mergecast-bench-"))
    try:
        base, models = write_family(folder, 2)
        rows = {
            m: measure(m, base, models, folder, arguments.repeats)
            for m in arguments.method or METHODS
        }
    finally:
        if arguments.dir is None:
            shutil.rmtree(folder, ignore_errors=True)
    machine = f"{os.cpu_count()} cores, {platform.machine()}"
    date = datetime.now(UTC).date().isoformat()
    print(f"two models of 86 M float32 parameters, whole process; {machine}, {date}")
    for method, row in rows.items():
        low, middle, high = row["seconds"]
        print(
            f"{method:16} {middle:5.1f} s (min {low:.1f}, max {high:.1f})   "
            f"peak {row['peak_bytes'] / 1e9:.2f} GB"
        )
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"date": date, "machine": machine, "methods": rows}, indent=2) + "\n"
        )


def measure(
    method: str, base: Path, models: list[Path], folder: Path, repeats: int
) -> dict[str, object]:
    """Minimum, median and maximum seconds, and the largest peak, over `repeats` runs."""
    out = folder / f"merged-{method}"
    command = [sys.executable, "-m", "mergecast", "merge", "--method", method]
    command += [str(base), *map(str, models), "-o", str(out)]
    seconds, peaks = [], []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(time.perf_counter() - start)
        peaks.append(usage.ru_maxrss * 1024)
        if status:
            raise SystemExit(f"{' '.join(command)} failed with status {status}")
    shutil.rmtree(out)
    counted = sorted(seconds[1:])  # the first run warms the page cache
    return {
        "seconds": [counted[0], statistics.median(counted), counted[-1]],
        "peak_bytes": max(peaks),
    }


if __name__ == "__main__":
    main()
