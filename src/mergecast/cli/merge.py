"""``mergecast merge``: a merged checkpoint on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mergecast.cli.console import print_json
from mergecast.cli.options import (
    BaseArgument,
    DeviceOption,
    JsonOption,
    MethodOption,
    ModelsArgument,
    PrivateOption,
    SeedOption,
    StrictOption,
    WorkersOption,
    only_one,
    parse_parameters,
)


def command(
    base: BaseArgument,
    models: ModelsArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write.")],
    method: MethodOption = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="K=V", help="A parameter of the method; repeatable."),
    ] = None,
    private: PrivateOption = None,
    strict: StrictOption = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a folder mergecast did not write.")
    ] = False,
    seed: SeedOption = 0,
    device: DeviceOption = "cpu",
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Merge models into one checkpoint, one parameter at a time.

    The folder gets the weights as safetensors (sharded as the base is), the base's config and
    tokenizer files, and mergecast.json, which says how it was made. Task heads stay with their
    models. One unusable model stops the merge: a merge of fewer models is another merge.

    Methods and what --param sets, with defaults:

    \b
      weight_avg       the mean
      task_arithmetic  scaling=0.3
      ties             density=0.2 scaling=0.3 sign=mass (or count)
      dare             drop_rate=0.9 mask=random (or magnitude) rescale=true
                       scaling=1.0
      dare_ties        as dare, and sign=mass (or count)
      tsv              scaling=1.0
      isotropic        scaling=1.0
      iso_cts          common_fraction=0.8 scaling=1.0
      slerp            t=0.5

    Examples:

      mergecast merge --method ties base/ a/ b/ -o merged/

      mergecast merge --method dare --param drop_rate=0.8 base/ a/ b/ -o out/
    """
    import mergecast as mc
    from mergecast.runtime.progress import progress_bars

    name = only_one("--method", method)
    parameters = mc.METHODS.get(name).validate(parse_parameters(param))
    family = mc.Family.open(base, models, private=private or (), strict=strict)
    with progress_bars() as bars:
        folder = mc.write_merge(
            family,
            name,
            out,
            params=parameters,
            seed=seed,
            device=device,
            workers=workers,
            overwrite=overwrite,
            progress=bars,
        )
    excluded = family.alignment.excluded
    if json:
        print_json(
            {
                "out": folder,
                "method": name,
                "params": parameters,
                "members": list(family.names),
                "merged": len(family.shared),
                "excluded": [vars(exclusion) for exclusion in excluded],
            }
        )
        return
    given = ", ".join(f"{k}={v}" for k, v in parameters.items())
    print(f"{'+'.join(family.names)} by {name}({given}) → {folder}")
    print(f"{len(family.shared)} parameters merged, {len(excluded)} left out")
    for exclusion in excluded:
        print(f"{exclusion.kind:7} {exclusion.name}: {exclusion.reason}")
