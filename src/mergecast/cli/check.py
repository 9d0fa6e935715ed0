"""``mergecast check``: preflight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mergecast.cli.console import print_json
from mergecast.cli.options import (
    BaseArgument,
    JsonOption,
    ModelsArgument,
    PrivateOption,
    StrictOption,
    VerboseOption,
    VocabularyOption,
)

if TYPE_CHECKING:
    from mergecast.family.preflight import Preflight


def command(
    base: BaseArgument,
    models: ModelsArgument,
    private: PrivateOption = None,
    strict: StrictOption = True,
    verbose: VerboseOption = False,
    vocabulary: VocabularyOption = None,
    headers: Annotated[
        bool | None,
        typer.Option(
            "--headers/--no-headers",
            help="Compare headers, and no weights, or fetch what is not here and compare all; by "
            "default headers alone where a model of the hub is not here.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say what would spoil a merge of these models; nothing is merged.

    Of models of the hub that are not here yet, configs, tokenizers and the headers of the weights
    are fetched, some megabytes; what they cannot say, --no-headers fetches the weights for.

    Exit code 0: all usable; 3: some are not; 4: none is, or the base is wrong.

    Examples:

      mergecast check base.safetensors a.safetensors b.safetensors

      mergecast check org/base org/a org/b@v1.0

      mergecast check bert-base/ finetuned-*/ --private 'classifier.*' --json
    """
    import mergecast as mc
    from mergecast.runtime.progress import progress_bars

    with progress_bars() as bars:
        preflight = mc.check(
            base,
            models,
            private=private or (),
            strict=strict,
            vocabulary=vocabulary,
            headers=headers,
            progress=bars,
        )
    if json:
        print_json(preflight.to_dict())
    else:
        _print(preflight, verbose)
    if not preflight.usable:
        raise typer.Exit(4)
    if preflight.refused:
        raise typer.Exit(3)


def _print(preflight: Preflight, verbose: bool) -> None:
    family = preflight.family
    infos = family.base.infos
    elements = sum(infos[name].size for name in family.shared)
    print(f"base    {family.base.path}")
    print(f"shared  {len(family.shared)} parameters, {elements:,} elements")
    for exclusion in family.alignment.excluded:
        print(f"{exclusion.kind:7} {exclusion.name}: {exclusion.reason}")
    width = max(len(label) for label in (*family.names, *preflight.refused))
    for label in sorted({*family.names, *preflight.refused}):
        verdict = "usable " if label in preflight.usable else "REFUSED"
        norm = preflight.relative_norms.get(label)
        size = "" if norm is None else f"  ‖τ‖/‖θ₀‖ = {norm:.4f}"
        print(f"{verdict} {label:{width}}{size}".rstrip())
    for reading in preflight.readings if verbose else ():
        label = "" if reading.subject == "base" else f" {reading.label}"
        print(f"{reading.subject}{label}: {reading.path}")
        for line in reading.lines:
            print(f"  {line}")
    for finding in preflight.findings:
        remedy = f"; {finding.remedy}" if finding.remedy else ""
        print(f"{finding.severity}: {finding.about}: {finding.rule}: {finding.message}{remedy}")
