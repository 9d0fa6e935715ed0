"""``mergecast explain``: what a metric or a merging method is."""

from __future__ import annotations

from typing import Annotated

import typer

from mergecast.cli.completion import explained
from mergecast.cli.console import print_json
from mergecast.cli.options import JsonOption


def command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A metric, a kind of evidence, a method or a recipe.",
            autocompletion=explained,
        ),
    ],
    json: JsonOption = False,
) -> None:
    """Say what a metric or a merging method is, and what the measured suites say of it.

    Of a kind of evidence: what it is, and how its metrics go with what models keep. Of a metric:
    its definition, range and source as well. Of a method: what it does and takes, and what models
    kept by it.

    Examples:

      mergecast explain superposition

      mergecast explain superposed_expected_labelled

      mergecast explain ties

      mergecast explain "ties(density=0.5, scaling=1)"
    """
    import mergecast as mc
    from mergecast.report.table import open_console, show

    found = mc.explain(name)
    if json:
        print_json(found.to_dict())
    else:
        show(open_console(), found.parts)
