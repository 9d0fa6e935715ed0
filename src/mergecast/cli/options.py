"""The options of all commands: one word, one meaning, one type wherever it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mergecast.cli.completion import methods
from mergecast.cli.outputs import a_folder
from mergecast.errors import UsageError

#: Numbers that YAML 1.1 takes for words.
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


class Objective(StrEnum):
    """What a choice makes as large as can be."""

    mean = "mean"
    worst = "worst"
    weighted = "weighted"
    most = "most"


BaseArgument = Annotated[
    Path, typer.Argument(metavar="BASE", help="The base model: a file or a folder.")
]
ModelsArgument = Annotated[
    list[Path],
    typer.Argument(metavar="MODEL...", help="Fine-tuned models, or LoRA adapters of the base."),
]
#: Of commands that take a file of mergekit in their place.
MaybeBaseArgument = Annotated[
    Path | None,
    typer.Argument(metavar="BASE", help="The base model; none beside --mergekit."),
]
MaybeModelsArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="MODEL...", help="Fine-tuned models, or LoRA adapters of the base."),
]
RunsArgument = Annotated[
    list[Path],
    typer.Argument(metavar="DIR...", help="Suite folders with pairs and outcomes tables."),
]
ObjectiveOption = Annotated[
    Objective | None,
    typer.Option("--objective", help="What is made as large as can be; the mean by default."),
]
OptionalRunsArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="DIR...", help="Suite folders with pairs and outcomes tables."),
]
AnalysisOption = Annotated[
    bool,
    typer.Option(
        "--analysis", help="Also analyse what drives outcomes: signatures, groups of metrics."
    ),
]
BatchNormOption = Annotated[
    bool,
    typer.Option(
        "--reestimate-batchnorm",
        help="Measure BatchNorm's running statistics anew after each merge.",
    ),
]
BatchSizeOption = Annotated[int, typer.Option("--batch-size", min=1, help="Samples run at once.")]
CacheOption = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder of finished work, to resume from.", callback=a_folder),
]
CalibrationOption = Annotated[
    int | None,
    typer.Option("--calibration", min=1, help="Samples of every task; by default up to 100."),
]
DeviceOption = Annotated[str, typer.Option("--device", help="Where tensors are computed on.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]
MergeParamOption = Annotated[
    list[str] | None,
    typer.Option("--merge-param", metavar="METHOD.K=V", help="A method's parameter; repeat."),
]
MergeSeedOption = Annotated[
    int, typer.Option("--merge-seed", min=0, help="Seed that the merges' random masks will have.")
]
MergekitOption = Annotated[
    Path | None,
    typer.Option("--mergekit", metavar="FILE", help="The merge that a YAML file of mergekit says."),
]
MethodOption = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="M",
        help="Merging method, or a recipe as 'ties(scaling=1)'; repeat where several are meant.",
        autocompletion=methods,
    ),
]
MetricSetOption = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        "--set",
        metavar="SET",
        help="A set of metrics: paper, retention, interference, …; all takes in gradient "
        "interference, which is left out by default. `metrics` computes only these, `forecast` "
        "takes their evidence beside what its forecaster reads.",
    ),
]
PredictorOption = Annotated[
    list[str] | None,
    typer.Option("--predictor", metavar="P", help="Predictor; repeat where several are meant."),
]
PrivateOption = Annotated[
    list[str] | None,
    typer.Option("--private", metavar="PATTERN", help="Parameters that belong to tasks (glob)."),
]
RecipeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe",
        metavar="R",
        help="A method with what it is told, 'ties(density=0.5, scaling=1)', beside --method; "
        "repeat for others.",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
SeedsOption = Annotated[
    int,
    typer.Option("--seeds", min=1, help="Seeds, for the spread of predictors that draw numbers."),
]
SetsOption = Annotated[
    list[int] | None,
    typer.Option(
        "--sets",
        metavar="K",
        help="All sets of K of the models: measure merges (repeat for others), forecast ranks.",
    ),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace a folder mergecast did not write.")
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict/--no-strict",
        help="Refuse models that differ from the base outside task heads.",
    ),
]
SuiteOption = Annotated[
    str | None,
    typer.Option("--suite", metavar="NAME", help="The suite that the models are of, by label."),
]
TasksOption = Annotated[
    Path | None,
    typer.Option("--tasks", help="YAML file of the models' tasks, or a run's folder."),
]
TierOption = Annotated[
    str | None,
    typer.Option(
        "--tier",
        help="Evidence to gather: weights, activations, labels, gradients or probe; by default "
        "weights, and with tasks gradients, or what a forecast's forecaster reads.",
    ),
]
UncheckedOption = Annotated[
    bool, typer.Option("--unchecked", help="Merge what `mergecast check` refuses.")
]
VerboseOption = Annotated[
    bool,
    typer.Option(
        "--verbose",
        help="Say more: the files that were read, and by which rule; every method of every pair.",
    ),
]
VocabularyOption = Annotated[
    str | None,
    typer.Option(
        "--vocabulary",
        metavar="W",
        help="Match rows by token where models added some: base leaves new ones out, union keeps "
        "them.",
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option("--workers", min=1, help="Work done side by side; it does not change results."),
]


def only_one(option: str, given: Sequence[str] | None, default: str | None = None) -> str:
    """The one value of an option that may be repeated elsewhere; raises UsageError for several."""
    if not given and default is not None:
        return default
    if not given:
        raise UsageError(option, "not given", "name one")
    if len(given) > 1:
        raise UsageError(option, f"given {len(given)} times", f"give one of {', '.join(given)}")
    return given[0]


def names(listing: str) -> list[str] | None:
    """Names with commas between them; None where there are none."""
    return [name.strip() for name in listing.split(",") if name.strip()] or None


def parse_parameters(
    pairs: Sequence[str] | None,
    option: str = "--param",
    example: str = "scaling=0.3",
    *,
    labels: bool = False,
) -> dict[str, object]:
    """``k=v`` values of an option, with YAML scalars as values; labels may hold "=" too."""
    import yaml

    parameters: dict[str, object] = {}
    for pair in pairs or ():
        name, equals, text = pair.rpartition("=") if labels else pair.partition("=")
        if not equals or not name:
            raise UsageError(f"{option} {pair!r}", "is not k=v", f"write {option} {example}")
        if name in parameters:
            raise UsageError(f"{option} {name}", "given twice", "give each parameter once")
        try:
            value = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError) as error:
            raise UsageError(f"{option} {pair!r}", "has no readable value", "quote it") from error
        if value == text.strip() and _EXPONENT.fullmatch(value):
            value = float(value)
        parameters[name] = value
    return parameters


def number(option: str, text: str | None) -> float | None:
    """A number as it was written; raises UsageError."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(option, f"is {text!r}", "give a number, or auto") from None


def parse_weights(text: str | None, option: str = "--weights") -> dict[str, Any] | None:
    """``a=.6,b=.4`` as label to weight; None where nothing is given."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    return parse_parameters(parts, option, "a=.6,b=.4", labels=True)


def parse_merge_parameters(pairs: Sequence[str] | None) -> dict[str, dict[str, object]]:
    """``METHOD.k=v`` values as method to its parameters."""
    by_method: dict[str, dict[str, object]] = {}
    for name, value in parse_parameters(pairs, "--merge-param").items():
        method, dot, parameter = name.partition(".")
        if not dot:
            raise UsageError(
                f"--merge-param {name}", "names no method", "write --merge-param ties.density=0.3"
            )
        by_method.setdefault(method, {})[parameter] = value
    return by_method


def tuned_by(objective: Objective | None) -> Literal["mean", "worst"]:
    """What a merge's strength is chosen by; raises UsageError for what `search` alone can."""
    if objective is None or objective is Objective.mean:
        return "mean"
    if objective is Objective.worst:
        return "worst"
    raise UsageError(
        f"--objective {objective.value}",
        "is for search",
        "say mean or worst, or use mergecast search",
    )
