"""What each kind of evidence costs for ViT-B/16 models (86 M parameters), against its plan.

    python benchmarks/tier_cost.py [--models 1 2] [--kinds gradients …] [--dir DIR] [--json FILE]

Every kind is collected in a process of its own, with each number of models: seconds by the clock
and of the processors (where others share the machine, the second with OMP_NUM_THREADS=1 is what
it would take alone), peak memory of the process, and what ``mergecast metrics --plan`` says
beforehand. From two numbers of models the cost of 20 is extrapolated as a·N + b·N²; from one as
a·N, which is said. The floor is the forward and backward passes alone, at this machine's speed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

KINDS = ("weights", "activations", "inputs", "retention", "gradients", "interference")
SAMPLES, TARGET = 10, 20

_CHILD = """
import json, resource, sys, time
from pathlib import Path
from mergecast.family import Family
from mergecast.evidence import EVIDENCE, ProbeSettings, Session
from mergecast.evidence.plan import cost
from mergecast.tasks.load import load_tasks

folder, kind, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
labels = [f"m{i:02}" for i in range(count)]
family = Family.open(folder / "base", [folder / n for n in labels], private=["classifier.*"])
tasks = load_tasks(folder / "tasks.yaml")
found = EVIDENCE.get(kind)
settings = ProbeSettings(int(sys.argv[5]))
if sys.argv[4] == "plan":
    import torch
    from mergecast.evidence.gradients.backward import backward

    def timed(run):
        start = time.perf_counter()
        run()
        return (time.perf_counter() - start) / len(few)

    with Session(family, tasks, settings) as session:
        row = cost(found, session)
        probe, few = session.load("m00"), next(session.samples("m00").batches(4))
        with torch.no_grad():
            forward = min(timed(lambda: probe.forward(few)) for _ in range(2))
        both = min(timed(lambda: backward(probe, few, family.shared, 4)) for _ in range(2))
    print(json.dumps({"plan": vars(row), "forward": forward, "backward": both}))
else:
    start, used = time.perf_counter(), time.process_time()
    with Session(family, tasks, settings) as session:
        found.collector.collect(session)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        seconds, cpu = time.perf_counter() - start, time.process_time() - used
        kept = sum(f.stat().st_size for f in session.store.folder.rglob("*") if f.is_file())
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak, "kept": kept}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--dir", type=Path, help="keep the synthetic models here")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    folder = arguments.dir or Path(tempfile.mkdtemp(prefix="mergecast-bench-"))
    figures: dict[str, object] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
    }
    print(f"machine {figures['machine']}, {figures['threads']} threads, {figures['date']}")
    print("                         seconds             peak GB         kept  CPU by")
    print("kind            N   wall     CPU    plan    taken    plan      GB   floor    N = 20")
    try:
        write_family(folder, max(arguments.models))
        for kind in arguments.kinds:
            figures[kind] = measure(folder, kind, sorted(arguments.models))
    finally:
        if arguments.dir is None:
            shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def measure(folder: Path, kind: str, counts: list[int]) -> list[dict[str, object]]:
    """Collect one kind with every number of models and print a line for each."""
    rows: list[dict[str, object]] = []
    for count in counts:
        planned = child(folder, kind, count, "plan")
        taken = child(folder, kind, count, "collect")
        floor = passes_seconds(kind, count, planned["forward"], planned["backward"])
        row = {"models": count, "floor": floor, **taken, **planned}
        rows.append(row)
        plan = planned["plan"]
        times = f"{taken['cpu'] / floor:6.1f}" if floor else "     –"
        print(
            f"{kind:14} {count:2} {taken['seconds']:6.0f} {taken['cpu']:7.0f} "
            f"{60 * plan['minutes']:7.0f} {taken['peak'] / 1e9:8.2f} {plan['memory'] / 1e9:7.2f} "
            f"{taken['kept'] / 1e9:7.2f}  {times} {extrapolated(rows)}",
            flush=True,
        )
    return rows


def child(folder: Path, kind: str, count: int, what: str) -> dict[str, object]:
    """Run one collection or plan in a process of its own."""
    command = [sys.executable, "-c", _CHILD, str(folder), kind, str(count), what, str(SAMPLES)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def passes_seconds(kind: str, count: int, forward: float, backward: float) -> float:
    """Seconds of the passes alone; `backward` is a sample's forward and backward pass."""
    own = count * SAMPLES
    return {
        "weights": 0.0,
        "activations": own * count * forward,
        "inputs": own * forward,
        "retention": own * (1 + 9 * 4) * forward,
        "gradients": own * backward,
        # Eight draws of the curvature go back to the layers, which costs a forward pass or so.
        "interference": own * (9 * forward + backward),
    }[kind]


def extrapolated(rows: list[dict[str, object]]) -> str:
    """Hours of CPU for the target number of models, from the first and last measurement."""
    first, last = rows[0], rows[-1]
    n, m = float(first["models"]), float(last["models"])  # type: ignore[arg-type]
    a, b = float(first["cpu"]) / n, float(last["cpu"]) / m  # type: ignore[arg-type]
    if n == m:
        return f"{a * TARGET / 3600:6.2f} h if linear"
    slope = max(0.0, (b - a) / (m - n))
    return f"{(a + slope * (TARGET - n)) * TARGET / 3600:6.2f} h"


def write_family(folder: Path, count: int) -> None:
    """A transformers ViT-B/16, fine-tuned models of it and random images; existing files stay."""
    import torch
    import transformers
    import yaml
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    names = [f"m{i:02}" for i in range(count)]
    if all((folder / name / "model.safetensors").exists() for name in names):
        return
    torch.manual_seed(0)
    config = transformers.ViTConfig()
    state = transformers.AutoModelForImageClassification.from_config(config).state_dict()
    state = {n: v for n, v in state.items() if not n.startswith("classifier")}
    config.save_pretrained(folder / "base")
    save_file(state, folder / "base/model.safetensors")
    for number, name in enumerate(names, 1):
        draw = torch.Generator().manual_seed(number)
        tuned = {}
        for key, value in state.items():
            tuned[key] = value + 5e-4 * torch.randn(value.shape, generator=draw)
            if value.dim() == 2:
                left = torch.randn(value.shape[0], 16, generator=draw)
                tuned[key] += 2e-4 * left @ torch.randn(16, value.shape[1], generator=draw)
        tuned["classifier.weight"] = 0.05 * torch.randn(5, config.hidden_size, generator=draw)
        tuned["classifier.bias"] = torch.zeros(5)
        (folder / name).mkdir(exist_ok=True)
        save_file(tuned, folder / name / "model.safetensors")
        shutil.copy(folder / "base/config.json", folder / name)
        rng = np.random.default_rng(number)
        images = rng.standard_normal((SAMPLES, 3, 224, 224)).astype(np.float32)
        np.savez(folder / f"{name}.npz", pixel_values=images, label=rng.integers(0, 5, SAMPLES))
    defaults = {
        "model": {"folder": "base", "auto": "AutoModelForImageClassification"},
        "private": ["classifier.*"],
    }
    data = {"inputs": ["pixel_values"], "labels": "label"}
    tasks = {name: {"data": {"file": f"{name}.npz", **data}} for name in names}
    (folder / "tasks.yaml").write_text(yaml.safe_dump({"defaults": defaults, "tasks": tasks}))


if __name__ == "__main__":
    main()
