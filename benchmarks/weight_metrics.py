"""Weight metrics of all pairs of 20 ViT-B/16-size models, against an SVD per pair.

The baseline is what the published scripts do: for every pair, one ``torch.linalg.svd`` per
matrix and model, in float32 on all cores. It is timed on a few matrices of each shape and
extrapolated; both the thin SVD (kind to the baseline) and torch's default full one are printed.

    python benchmarks/weight_metrics.py [--models 20] [--dir DIR] [--json FILE]
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
from collections import Counter
from datetime import UTC, datetime
from math import comb
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from synthetic import vit_b16_shapes, write_family

_CHILD = """
import resource, sys, time
start = time.perf_counter()
from mergecast.family.family import Family
from mergecast.evidence import Session, collect_evidence
family = Family.open(sys.argv[1], sys.argv[2:])
opened = time.perf_counter()
evidence = collect_evidence(Session(family), "weights", "paper")
collected = time.perf_counter()
table = evidence.table(family.names)
done = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
assert not table.missing, table.missing
print(len(table), opened - start, collected - opened, done - collected, peak)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--dir", type=Path, help="keep the synthetic models here")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    folder = arguments.dir or Path(tempfile.mkdtemp(prefix="mergecast-bench-"))
    try:
        print(f"writing {arguments.models} models of 86 M parameters to {folder} …", flush=True)
        base, models = write_family(folder, arguments.models)
        figures = measure(base, models)
    finally:
        if arguments.dir is None:
            shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def measure(base: Path, models: list[Path]) -> dict[str, object]:
    counts = [n for n in (5, 10, 20) if n <= len(models)]
    runs = {n: run_child(base, models[:n]) for n in counts}
    n = counts[-1]
    pairs, _, collected, paired, peak = runs[n]
    total = collected + paired
    thin, full = baseline_seconds(full=False), baseline_seconds(full=True)
    naive_thin, naive_full = 2 * thin * comb(n, 2), 2 * full * comb(n, 2)
    slope, intercept = line(counts, [runs[c][2] for c in counts])
    read_bytes = (n + 1) * base.stat().st_size
    floor = floor_seconds(n, read_bytes)
    figures: dict[str, object] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "models": n,
        "pairs": pairs,
        "seconds": total,
        "pair_seconds": paired,
        "peak_bytes": peak,
        "ratio_thin": naive_thin / total,
        "ratio_full": naive_full / total,
        "seconds_by_models": {c: runs[c][2] for c in counts},
        "floor_seconds": floor,
    }
    print(f"machine              {figures['machine']}, {figures['date']}")
    print(f"mergecast            {total:8.1f} s for {pairs:.0f} pairs of {n} models")
    print(f"  model-level part   {collected:8.1f} s: {slope:.2f} s a model + {intercept:.1f} s")
    for c in counts:
        fit = slope * c + intercept
        print(f"    N = {c:<3}            {runs[c][2]:8.1f} s (line {fit:.1f} s)")
    print(f"  pair-level part    {paired:8.2f} s")
    print(f"  peak memory        {peak / 1e9:8.2f} GB")
    print(f"SVD per pair, thin   {naive_thin:8.0f} s extrapolated: {naive_thin / total:.0f} x")
    print(f"SVD per pair, full   {naive_full:8.0f} s extrapolated: {naive_full / total:.0f} x")
    print("distance from the floor (one pass over the files; flops of the decompositions)")
    print(f"  bytes read         {read_bytes / 1e9:8.2f} GB, {floor['read']:.1f} s at copy speed")
    print(f"  Gram matrices      {floor['gram_gflop']:8.0f} GFLOP, {floor['gram']:.1f} s at dgemm")
    print(
        f"  tridiagonal form   {floor['sytrd_gflop']:8.0f} GFLOP, {floor['sytrd']:.1f} s at dgemm"
    )
    print(f"  this run           {total / sum(floor[k] for k in ('read', 'gram', 'sytrd')):8.1f} x")
    return figures


def run_child(base: Path, models: list[Path]) -> list[float]:
    """Pairs, seconds to open, collect and pair, and peak bytes, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(base), *map(str, models)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return [float(part) for part in done.stdout.split()]


def baseline_seconds(*, full: bool, repeats: int = 3) -> float:
    """Median seconds of one model's SVDs, from a few matrices of each shape."""
    import torch

    shapes = Counter(shape for shape in vit_b16_shapes().values() if len(shape) == 2)
    total = 0.0
    for shape, count in shapes.items():
        times = []
        for seed in range(repeats):
            matrix = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
            start = time.perf_counter()
            torch.linalg.svd(matrix, full_matrices=full)
            times.append(time.perf_counter() - start)
        total += count * statistics.median(times)
    return total


def floor_seconds(models: int, read_bytes: int) -> dict[str, float]:
    """Seconds that the unavoidable work would take at this machine's best rates."""
    import numpy as np

    a = np.random.default_rng(0).standard_normal((2048, 2048))
    start = time.perf_counter()
    for _ in range(3):
        a @ a
    rate = 3 * 2 * 2048**3 / (time.perf_counter() - start)
    source = np.ones(2**26, dtype=np.uint8)
    start = time.perf_counter()
    for _ in range(8):
        source.copy()
    copy_rate = 8 * source.nbytes / (time.perf_counter() - start)
    gram = sytrd = 0.0
    for shape in vit_b16_shapes().values():
        if len(shape) == 2:
            small, large = sorted(shape)
            gram += models * small * small * large
            sytrd += models * 4 / 3 * small**3
    return {
        "read": read_bytes / copy_rate,
        "gram_gflop": gram / 1e9,
        "gram": gram / rate,
        "sytrd_gflop": sytrd / 1e9,
        "sytrd": sytrd / rate,
    }


def line(xs: list[int], ys: list[float]) -> tuple[float, float]:
    """Least-squares slope and intercept."""
    if len(xs) < 2:
        return ys[0] / xs[0], 0.0
    slope, intercept = statistics.linear_regression(xs, ys)
    return slope, intercept


if __name__ == "__main__":
    main()
