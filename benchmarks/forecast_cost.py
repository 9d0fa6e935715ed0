"""What ``mergecast forecast --tasks`` costs by default: eleven encoders of 5.4 M parameters.

    OMP_NUM_THREADS=1 python benchmarks/forecast_cost.py [--models 11] [--length 64] [--dir DIR]

Models are a BERT of 4 layers of width 256 with 8192 pieces, moved at random, and 100 samples each
of random tokens, from a quarter of the longest on. The forecast from nothing, and the same again
with all of it in the cache, each in a process of its own: seconds by the clock and of the
processors. Where others share the machine, the second is nearer to what it would take alone.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

SAMPLES = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=11)
    parser.add_argument("--length", type=int, default=64, help="tokens of the longest sample")
    parser.add_argument("--dir", type=Path, help="keep the synthetic models here")
    arguments = parser.parse_args()
    folder = arguments.dir or Path(tempfile.mkdtemp(prefix="mergecast-bench-"))
    names = [f"m{i:02}" for i in range(arguments.models)]
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {threads} threads"
    print(f"{len(names)} models, {datetime.now(UTC).date()}, {machine}")
    try:
        write_family(folder, names, arguments.length)
        shutil.rmtree(folder / "cache", ignore_errors=True)
        run("from nothing", folder, names)
        run("complete cache", folder, names)
        models, kept = (bytes_in(folder / part) for part in ("models", "cache"))
        print(f"cache {kept / 1e6:.1f} MB, models {models / 1e6:.0f} MB")
    finally:
        if arguments.dir is None:
            shutil.rmtree(folder, ignore_errors=True)


def run(what: str, folder: Path, names: list[str]) -> None:
    """One forecast in a process of its own."""
    models = [str(folder / "models" / name) for name in names]
    options = ["--tasks", str(folder / "tasks.yaml"), "--cache", str(folder / "cache")]
    command = ["forecast", str(folder / "base"), *models, *options, "--workers", "1"]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "mergecast", *command], check=True, stdout=subprocess.DEVNULL
    )
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{what:14} {seconds:6.1f} s, {used:6.1f} s of the processors", flush=True)


def bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def write_family(folder: Path, names: list[str], longest: int) -> None:
    """The base, models of it and their samples; what is there stays."""
    import torch
    import transformers
    import yaml
    from safetensors.torch import save_file

    if all((folder / f"{name}.parquet").exists() for name in names):
        return
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=8192,
        hidden_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=1024,
        num_labels=4,
    )
    state = transformers.AutoModelForSequenceClassification.from_config(config).state_dict()
    for number, name in enumerate(["base", *names]):
        draw = torch.Generator().manual_seed(number)
        place = folder / "base" if name == "base" else folder / "models" / name
        place.mkdir(parents=True, exist_ok=True)
        config.save_pretrained(place)
        moved = {
            key: value + (name != "base") * 0.02 * torch.randn(value.shape, generator=draw)
            for key, value in state.items()
        }
        save_file(moved, place / "model.safetensors", metadata={"format": "pt"})
        if name == "base":
            continue
        rng = np.random.default_rng(number)
        lengths = rng.integers(longest // 4, longest + 1, SAMPLES)
        rows = [rng.integers(5, 8192, length).tolist() for length in lengths]
        frame = pd.DataFrame({"input_ids": rows, "label": rng.integers(0, 4, SAMPLES)})
        frame.to_parquet(folder / f"{name}.parquet")
    tasks = {
        name: {
            "model": {
                "folder": f"models/{name}",
                "auto": "AutoModelForSequenceClassification",
            },
            "data": {"file": f"{name}.parquet", "inputs": ["input_ids"], "labels": "label"},
        }
        for name in names
    }
    (folder / "tasks.yaml").write_text(yaml.safe_dump({"tasks": tasks}))


if __name__ == "__main__":
    main()
