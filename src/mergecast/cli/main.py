"""``mergecast``: mounts the commands and turns every failure into one line and an exit code."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import traceback
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from mergecast.cli import (
    bench,
    check,
    demo,
    evaluate,
    explain,
    fit,
    forecast,
    measure,
    merge,
    metrics,
    outcomes,
    report,
    reproduce,
    search,
    tasks,
)
from mergecast.errors import MergecastError
from mergecast.version import __version__

app = typer.Typer(
    name="mergecast",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("check", short_help="Say what would spoil a merge; nothing is merged.")(check.command)
app.command("metrics", short_help="Compute the metrics of every pair of models.")(metrics.command)
app.command("merge", cls=merge.MergeCommand, short_help="Merge models into one checkpoint.")(
    merge.command
)
app.command("measure", short_help="Merge, and score every member on its test samples.")(
    measure.command
)
app.command("outcomes", short_help="Make an outcome table of lm-evaluation-harness results.")(
    outcomes.command
)
app.add_typer(bench.app, name="bench", short_help="Run a suite: fine-tune, merge, evaluate.")
app.add_typer(tasks.app, name="tasks", short_help="Draft a file of tasks, and try it.")
app.command("fit", short_help="Learn a forecaster from merges that were measured.")(fit.command)
app.command("evaluate", short_help="Validate predictors on models they never saw.")(
    evaluate.command
)
app.command("forecast", short_help="Forecast what each model keeps, and which method to use.")(
    forecast.command
)
app.command("search", short_help="Find the merge worth making, make it and verify it.")(
    search.command
)
app.command("explain", short_help="Say what a metric or a merging method is.")(explain.command)
app.command("report", short_help="Set a run's forecasts beside its outcomes, on one page.")(
    report.command
)
app.command("reproduce", short_help="Recompute the paper's published tables, and correct them.")(
    reproduce.command
)
app.command("demo", short_help="All of it on eight small models, in a minute or two.")(demo.command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Forecast what merging fine-tuned neural networks will do, before you merge them.

    Examples:

      mergecast demo

      mergecast check base/ a/ b/ c/

      mergecast forecast base/ a/ b/ c/
    """
    del version


class _Terminated(BaseException):
    """SIGTERM, as an exception, so that half-written output is cleaned up."""


def main() -> NoReturn:
    """Run the command line and exit."""
    signal.signal(signal.SIGTERM, lambda *_: _terminate())
    for stream in (sys.stdout, sys.stderr):
        # File names need not be text, nor terminals know Greek: escape, never fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run with `arguments`; returns the exit code and prints at most one line of error."""
    logging.basicConfig(level=logging.WARNING, format="warning: %(message)s", force=True)
    try:
        code = app(arguments or ["--help"], standalone_mode=False, prog_name="mergecast")
        if sys.stdout is not None:
            sys.stdout.flush()
    except MergecastError as error:
        return _fail(str(error), error.exit_code)
    except TyperException as error:
        problem = f"{error.format_message().rstrip('.')}; see mergecast --help"
        return _fail(_renamed(error) or problem, 2)
    except (typer.Abort, KeyboardInterrupt):
        return _fail(f"interrupted{_resumes(arguments)}", 130)
    except _Terminated:
        return _fail(f"terminated{_resumes(arguments)}", 143)
    except BrokenPipeError:
        # The reader went away (`| head`); what is left must not be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except MemoryError:
        return _fail("out of memory; use fewer models at a time or fewer workers", 5)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}; check path, space and permissions", 5)
    except Exception as error:
        traceback.print_exc()
        return _fail(f"internal error ({type(error).__name__}); please report the lines above", 1)
    if code == 130:  # typer has caught the interrupt and says nothing
        return _fail(f"interrupted{_resumes(arguments)}", 130)
    return code if isinstance(code, int) else 0


#: What options were called before to what they are called now, by command.
_RENAMED = {
    "--sets": ("--n-sets",),
    "--set-size": ("--sets",),
    "--methods": ("--method",),
    "--output": ("--out",),
    "--tasks": ("--only",),
}


def _renamed(error: TyperException) -> str:
    """What an option that is no more is called now, where this command has it; or nothing."""
    context, old = getattr(error, "ctx", None), getattr(error, "option_name", "")
    known = {name for option in context.command.params for name in option.opts} if context else ()
    names = [name for name in _RENAMED.get(old, ()) if name in known]
    return f"option {old}: no longer known; it is {names[0]} now" if names else ""


#: Options that say where finished work is kept.
_KEEPS = {"bench": {"-o", "--out"}, "search": {"-o", "--out", "--cache"}}


def _resumes(arguments: list[str]) -> str:
    """What is to be done after an interrupt, where finished work was kept."""
    keeps = _KEEPS.get(arguments[0] if arguments else "", {"--cache"})
    if any(one.partition("=")[0] in keeps for one in arguments):
        return "; what is finished is kept: the same command goes on from there"
    return ""


def _fail(message: str, code: int) -> int:
    print(f"mergecast: error: {message}", file=sys.stderr)
    return code


def _terminate() -> NoReturn:
    raise _Terminated
