"""``mergecast merge``: a merged checkpoint on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from mergecast.cli.console import print_json
from mergecast.cli.options import (
    CalibrationOption,
    DeviceOption,
    JsonOption,
    MaybeBaseArgument,
    MaybeModelsArgument,
    MergekitOption,
    MethodOption,
    ObjectiveOption,
    OverwriteOption,
    PrivateOption,
    SeedOption,
    StrictOption,
    TasksOption,
    UncheckedOption,
    VocabularyOption,
    WorkersOption,
    number,
    only_one,
    parse_parameters,
    parse_weights,
    tuned_by,
)
from mergecast.cli.outputs import a_folder
from mergecast.errors import UsageError

#: What an option says where its value is to be chosen.
AUTO = "auto"


class MergeCommand(TyperCommand):
    """The command, whose help lists the methods that there are, other packages' as well."""

    def get_help(self, ctx: Any) -> str:
        """Help as text; the methods are looked up when it is asked for."""
        self.help = (self.help or "").replace("<methods>", _methods())
        return super().get_help(ctx)


def _methods() -> str:
    """One method a line, with its parameters' defaults and other choices."""
    from textwrap import wrap

    from mergecast.merging import METHODS

    lines: list[str] = []
    for method in METHODS:
        words = " ".join(method.options) or "no parameters"
        first, *rest = wrap(words, width=58)
        lines += [f"  {method.name:16} {first}", *(f"{'':19}{line}" for line in rest)]
    return "\n".join(lines)


def command(
    base: MaybeBaseArgument = None,
    models: MaybeModelsArgument = None,
    *,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write.", callback=a_folder)],
    method: MethodOption = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="K=V", help="A parameter of the method; repeatable."),
    ] = None,
    scaling: Annotated[
        str | None,
        typer.Option(
            "--scaling",
            metavar="NUMBER|auto",
            help="The merge's strength, the parameter of that name; auto: what keeps most.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="A=W,B=W|auto",
            help="A weight for every model, by label; auto: those that keep most.",
        ),
    ] = None,
    objective: ObjectiveOption = None,
    mergekit: MergekitOption = None,
    tasks: TasksOption = None,
    calibration: CalibrationOption = None,
    private: PrivateOption = None,
    strict: StrictOption = True,
    vocabulary: VocabularyOption = None,
    overwrite: OverwriteOption = False,
    unchecked: UncheckedOption = False,
    heads: Annotated[
        bool,
        typer.Option("--heads", help="Write each model's own head beside the merged encoder."),
    ] = False,
    adapter: Annotated[
        bool,
        typer.Option("--adapter", help="Write a LoRA adapter; every model must be one."),
    ] = False,
    rank: Annotated[
        int | None,
        typer.Option(
            "--rank",
            metavar="R",
            help="Highest rank of the adapter's matrices; the models' ranks added up.",
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", help="Store float32, float16 or bfloat16; as the base."),
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "cpu",
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Merge models into one checkpoint, one parameter at a time.

    The folder gets the weights as safetensors (sharded as the base is), the base's config and
    tokenizer files, and mergecast.json, which says how it was made. Heads that differ are left
    out; with --heads the folder is the encoder alone, and heads/MODEL in it a whole model each,
    whose encoder takes no more space on disk. One unusable model stops the merge: a merge of fewer
    models is another merge.

    With --adapter LoRA adapters become one adapter, a folder for PEFT: of a linear method it is
    the merge itself, of others its nearest matrices of --rank; the share that it holds is said.
    With --heads, too, heads/MODEL is it with a model's own head, for PEFT as well.

    With auto the merge is made at several strengths (or weights) in memory, and the one is written
    whose answers to a few samples of every model's task are nearest to the models' own.

    Methods and what --param sets, with defaults:

    \b
    <methods>

    Examples:

      mergecast merge --method ties base/ a/ b/ -o merged/

      mergecast merge --method dare --param drop_rate=0.8 base/ a/ b/ -o out/

      mergecast merge --method ties base/ a/ b/ -o out/ --heads   # out/heads/a

      mergecast merge --method ties --weights a=2,b=1 base/ a/ b/ -o out/

      mergecast merge --method linear --adapter base/ lora-a/ lora-b/ -o lora/

      mergecast merge --method linear --adapter --heads base/ a/ b/ -o lora/

      mergecast merge --mergekit ties.yml -o out/

      mergecast merge --method regmean --tasks t.yaml base/ a/ b/ -o out/

      mergecast merge --method ties --scaling auto --tasks t.yaml b/ x/ y/ -o o/
    """
    import mergecast as mc
    from mergecast.api.inputs import heads_of
    from mergecast.checkpoints.folder_writer import refuse_folder
    from mergecast.checkpoints.side_files import read_json
    from mergecast.family.models import paths_of
    from mergecast.merging.adapter_card import described as adapter_lines
    from mergecast.runtime.progress import progress_bars

    paths: Mapping[str, Path] | Sequence[Path]
    if mergekit is not None:
        told = (base, models, method, param, scaling, weights)
        if any(one is not None and one != [] for one in told):
            raise UsageError(
                "--mergekit",
                "given beside models, a method or its parameters",
                "leave these to the file, or the file out",
            )
        asked = mc.read_mergekit(mergekit, seed=seed)
        base, paths, recipe = asked.base, asked.models, asked.recipe
        dtype = dtype or asked.dtype
    else:
        recipe = mc.Recipe.of(
            only_one("--method", method),
            parse_parameters(param),
            scaling=None if scaling == AUTO else number("--scaling", scaling),
            weights=None if weights == AUTO else parse_weights(weights),
            seed=seed,
        )
        if base is None or not models:
            raise UsageError("models", "not given", "name the base, then the models")
        paths = models
    inputs = [base, *(paths.values() if isinstance(paths, Mapping) else paths)]
    refuse_folder(out, inputs, overwrite=overwrite)
    by_label, tuned = None, None
    tuning = AUTO in (scaling, weights)
    for option, value in (("--calibration", calibration), ("auto", tuning or None)):
        if tasks is None and value is not None:
            raise UsageError(option, "given without --tasks", "give the models' tasks too")
    if objective is not None and not tuning:
        raise UsageError(
            "--objective", "given, but nothing is chosen", "say --scaling auto or --weights auto"
        )
    aim = tuned_by(objective)
    if tasks is not None:
        if not tuning:
            recipe.merging_method.check_evidence(given=True)
        by_label = mc.load_tasks(tasks)
    family = mc.Family.open(
        base,
        paths,
        private=[*(private or ()), *heads_of(by_label, paths_of(paths))],
        strict=strict,
        vocabulary=vocabulary,
    )
    with progress_bars() as bars, TemporaryDirectory(prefix="mergecast-") as scratch:
        known = None
        if by_label is not None and tuning:
            tuned = mc.tune_merge(
                family,
                tasks=by_label,
                method=recipe,
                scaling="auto" if scaling == AUTO else None,
                weights="auto" if weights == AUTO else None,
                objective=aim,
                calibration=calibration,
                seed=seed,
                device=device,
                progress=bars,
            )
            recipe = tuned.recipe
        elif by_label is not None:
            known = mc.merge_evidence(
                family,
                tasks=by_label,
                method=recipe.method,
                out=scratch,
                calibration=calibration,
                seed=seed,
                device=device,
                progress=bars,
            )
        folder = mc.write_merge(
            family,
            recipe,
            out,
            device=device,
            workers=workers,
            overwrite=overwrite,
            unchecked=unchecked,
            heads=heads,
            adapter=adapter,
            rank=rank,
            dtype=dtype,
            evidence=known,
            progress=bars,
        )
    excluded = family.alignment.excluded
    record = read_json(folder / "mergecast.json")
    if tuned is not None and not json:
        from mergecast.report.table import open_console, show

        show(open_console(), tuned.parts)
    if json:
        print_json(
            {
                "out": folder,
                **recipe.as_mapping(),
                "members": list(family.names),
                "merged": len(family.shared),
                "excluded": [vars(exclusion) for exclusion in excluded],
                "vocabulary": record["vocabulary"],
                "head": record["head"],
                "heads": {label: folder / place for label, place in record["heads"].items()},
                "adapter": record["adapter"],
                "tried": None if tuned is None else tuned.tried.to_dict("records"),
            }
        )
        return
    print(f"{'+'.join(family.names)} by {recipe} → {folder}")
    print(f"{len(family.shared)} parameters merged, {len(excluded)} left out")
    for line in adapter_lines(record["adapter"]) if adapter else ():
        print(f"adapter {line}")
    for exclusion in excluded:
        print(f"{exclusion.kind:7} {exclusion.name}: {exclusion.reason}")
    if record["vocabulary"]:
        print(f"tokens  {record['vocabulary']}")
    print(f"head    {record['head']}")
    for label, place in record["heads"].items():
        print(f"model   {label} → {folder / place}")
