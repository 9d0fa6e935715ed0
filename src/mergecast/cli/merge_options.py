"""Options about the merges that metrics speak of: which methods, how, on how many samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mergecast.cli.console import parse_parameters
from mergecast.errors import UsageError

if TYPE_CHECKING:
    from mergecast.evidence.settings import MergeSettings

MethodsOption = Annotated[
    list[str] | None,
    typer.Option("--method", help="Only metrics about this merging method; repeat. All."),
]
MergeParamOption = Annotated[
    list[str] | None,
    typer.Option("--merge-param", metavar="METHOD.K=V", help="A method's parameter; repeat."),
]
MergeSamplesOption = Annotated[
    int | None,
    typer.Option(
        "--merge-samples",
        min=1,
        help="Samples of every task on which merges are measured; as --calibration. "
        "Retention was validated with 40.",
    ),
]
MergeSeedOption = Annotated[
    int, typer.Option("--merge-seed", min=0, help="Seed that the merges' random masks will have.")
]
BatchNormOption = Annotated[
    bool,
    typer.Option(
        "--reestimate-batchnorm",
        help="Measure BatchNorm's running statistics anew after each merge.",
    ),
]


def merge_settings(
    methods: Sequence[str] | None,
    parameters: Sequence[str] | None,
    samples: int | None,
    seed: int,
    reestimate_batchnorm: bool,
) -> MergeSettings:
    """The settings that the options give; raises UsageError for what no method knows."""
    from mergecast.evidence.settings import MergeSettings

    chosen = tuple(dict.fromkeys(methods or ()))
    params: dict[str, dict[str, object]] = {}
    for name, value in parse_parameters(parameters, "--merge-param").items():
        method, dot, parameter = name.partition(".")
        if not dot:
            raise UsageError(
                f"--merge-param {name}", "names no method", "write --merge-param ties.density=0.3"
            )
        params.setdefault(method, {})[parameter] = value
    if chosen or params:
        from mergecast.merging.method import METHODS

        for method in (*chosen, *params):
            METHODS.get(method)
        for method, given in params.items():
            if chosen and method not in chosen:
                raise UsageError(
                    f"--merge-param {method}.{next(iter(given))}",
                    f"is of a method that --method leaves out ({', '.join(chosen)})",
                    f"add --method {method}",
                )
            METHODS.get(method).validate(given)
    return MergeSettings(
        samples=samples,
        methods=chosen or None,
        merge_seed=seed,
        params=params,
        reestimate_batchnorm=reestimate_batchnorm,
    )
