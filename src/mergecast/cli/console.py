"""What every command shares: consoles, progress on stderr, option types, JSON on stdout."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mergecast.errors import UsageError

if TYPE_CHECKING:
    from mergecast.evidence.weights.fingerprints import WeightFingerprints
    from mergecast.family.family import Family
    from mergecast.family.findings import Finding

Progress = Callable[[int, int], None]

BaseArgument = Annotated[
    Path, typer.Argument(metavar="BASE", help="The base model: a file or a folder.")
]
ModelsArgument = Annotated[
    list[Path],
    typer.Argument(metavar="MODEL...", help="Fine-tuned models, or LoRA adapters of the base."),
]
PrivateOption = Annotated[
    list[str] | None,
    typer.Option("--private", metavar="PATTERN", help="Parameters that belong to tasks (glob)."),
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict/--no-strict",
        help="Refuse models that differ from the base outside task heads.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
WorkersOption = Annotated[
    int,
    typer.Option("--workers", min=1, help="Work done side by side; it does not change results."),
]
DeviceOption = Annotated[str, typer.Option("--device", help="Where tensors are computed on.")]


def note(message: str) -> None:
    """One line to stderr."""
    print(f"mergecast: {message}", file=sys.stderr)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object to stdout; a missing number is ``null``."""
    # A stream's own escapes are JSON's only where nothing but lone surrogates needs them.
    readable = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(_plain(value), indent=2, ensure_ascii=not readable, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


@contextmanager
def progress(description: str) -> Iterator[Progress]:
    """A progress bar on stderr, as a function of (done, total); silent without a terminal."""
    from mergecast.runtime.progress import progress_bars

    with progress_bars() as bars:
        advance: Callable[[int], None] | None = None
        before = 0

        def report(done: int, total: int) -> None:
            nonlocal advance, before
            advance = advance or bars.stage(description, total)
            advance(done - before)
            before = done

        yield report


def check_device(device: str) -> None:
    """Raise UsageError for a device that is not there."""
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise UsageError(f"device {device!r}", "unknown", "use cpu, cuda or cuda:N") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {device!r}", "no CUDA device is available", "use --device cpu")
    if kind not in {"cpu", "cuda"}:
        raise UsageError(f"device {device!r}", "not supported", "use cpu, cuda or cuda:N")


def open_family(
    base: Path, models: Sequence[Path], private: Sequence[str] | None, strict: bool
) -> Family:
    """Open what can be opened; each refused model gets its line on stderr."""
    from mergecast.family.family import Family

    family = Family.open(base, models, private=private or (), strict=strict, on_error="refuse")
    for label, error in family.refused.items():
        note(f"refused {label}: {error}")
    return family


def weight_findings(fingerprints: WeightFingerprints) -> list[Finding]:
    """What preflight finds in the task vectors of the models that were not refused."""
    from mergecast.family.findings import delta_findings

    usable = [i for i, m in enumerate(fingerprints.members) if m not in fingerprints.refused]
    gram = fingerprints.gram[usable][:, usable]
    names = [fingerprints.members[i] for i in usable]
    return delta_findings(names, gram, fingerprints.base_norm)


def refuse_table(path: Path) -> None:
    """Raise UsageError for output that would replace a table, most likely one that is read."""
    if path.suffix in {".parquet", ".csv"}:
        raise UsageError(path, f"ends in {path.suffix}, as tables do", "give another file name")


def finish(refused: bool) -> None:
    """Exit code 3 where some inputs were refused and the rest was done."""
    if refused:
        raise typer.Exit(3)


def parse_parameters(pairs: Sequence[str] | None, option: str = "--param") -> dict[str, object]:
    """``k=v`` values of an option, with YAML scalars as values."""
    import yaml

    parameters: dict[str, object] = {}
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"{option} {pair!r}", "is not k=v", f"write {option} scaling=0.3")
        if name in parameters:
            raise UsageError(f"{option} {name}", "given twice", "give each parameter once")
        try:
            parameters[name] = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError) as error:
            raise UsageError(f"{option} {pair!r}", "has no readable value", "quote it") from error
    return parameters
