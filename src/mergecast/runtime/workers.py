"""Running independent units in this process or in a few others, with one thread each.

The pool is the standard library's: joblib's leaves a worker at its unit when the program is
killed, and ends all workers where one unit raises an error.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, nullcontext
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for
from time import perf_counter
from types import FrameType
from typing import Any, Self, TypeVar

from mergecast.errors import ResourceError
from mergecast.runtime.least import at_least
from mergecast.typing import Advance

S = TypeVar("S")
R = TypeVar("R")

#: Seconds of work of tables from which on processes are worth what it takes to start them.
WORTH = 10.0
# torch takes its number of threads from OMP_NUM_THREADS, or MKL's where it was built with it.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Workers:
    """At most `count` processes with one thread each; with 1, this process does the work.

    A context manager: processes start at the first `map` that needs them, stay for the next one
    (starting one costs seconds of imports), and are stopped at the end. Until then, and where the
    work is not worth them, this process does it, with one thread too.

    SIGINT raises KeyboardInterrupt and SIGTERM SystemExit(143), or what the program's own handler
    raises, after the workers have been stopped. Workers end by themselves when this process is
    killed.

    Parameters
    ----------
    count : int
        Processes; the results are the same for any number of them.
    worth : float
        Seconds of work from which on processes are started, judged by the units that this process
        has done; 0 starts them at once.
    imports_main : bool
        Whether they import the program that starts them, which a script has to be written for;
        they must where units or their words are of classes that it defines.

    Raises
    ------
    UsageError
        The number is below 1.
    """

    def __init__(self, count: int, *, worth: float = 0.0, imports_main: bool = True) -> None:
        at_least(1, workers=count)
        self.count, self._worth, self._imports_main = count, worth, imports_main
        self._executor: ProcessPoolExecutor | None = None
        self._failed = False
        self._scope = ExitStack()

    def __enter__(self) -> Self:
        self._scope.enter_context(_sigterm_exits())
        self._scope.enter_context(one_thread())
        self._scope.callback(self._stop)
        return self

    def __exit__(self, *error: object) -> None:
        self._failed = error[0] is not None
        self._scope.close()

    def map(
        self,
        function: Callable[[S], R],
        specs: Sequence[S],
        progress: Advance | None = None,
        sizes: Sequence[int] | None = None,
        here: Callable[[S], R] | None = None,
    ) -> list[R]:
        """The function of every spec, in the order of the specs.

        Parameters
        ----------
        function : callable
            Defined at module level, since workers import it; it stores what must outlive a kill
            by itself.
        specs : sequence
            What it is called with, one at a time.
        progress : Advance, optional
            Called in this process with the number of units that just finished.
        sizes : sequence of int, optional
            What each spec counts as, in progress; 1 by default.
        here : callable, optional
            What this process calls in the function's place.

        Raises
        ------
        MergecastError
            Or whatever a unit raised, as it was raised there; units not yet started are dropped.
        ResourceError
            A worker was killed, or ran out of memory.
        """
        sizes = sizes or [1] * len(specs)
        done = [
            _advance((here or function)(spec), progress, size)
            for spec, size in zip(self._mine(specs), sizes, strict=False)
        ]
        rest = specs[len(done) :]
        return done + self._others(function, rest, progress, sizes[len(done) :]) if rest else done

    def _mine(self, specs: Sequence[S]) -> Iterator[S]:
        """The specs that this process works on: all, or until the rest is worth processes."""
        if self.count > 1 and (self._executor is not None or not self._worth):
            return
        began = perf_counter()
        for done, spec in enumerate(specs):
            ahead = (perf_counter() - began) / max(done, 1) * (len(specs) - done)
            if self.count > 1 and ahead > self._worth:
                return
            yield spec

    def _others(
        self,
        function: Callable[[S], R],
        specs: Sequence[S],
        progress: Advance | None,
        sizes: Sequence[int],
    ) -> list[R]:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self.count, get_context("spawn"), initializer=_start_worker
            )
        try:
            with nullcontext() if self._imports_main else _main_hidden():
                futures = [self._executor.submit(function, spec) for spec in specs]
            counts = dict(zip(futures, sizes, strict=True))
            for future in as_completed(futures):
                _advance(future.result(), progress, counts[future])
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            raise ResourceError(
                "a worker process",
                "ended without a result (killed, or out of memory)",
                "run again to continue; use fewer workers if memory is short, and in a script call "
                "mergecast under `if __name__ == '__main__':`, since workers import the script",
            ) from error

    def _stop(self) -> None:
        """Let idle workers go; after an error end busy ones at once.

        What they finished is in the store, what they began is not. They are killed, not asked: a
        signal's handler may wait for a lock that another ended worker held. One that dies while
        it sends a result must not leave this process waiting for the rest of it, so this
        process's own copy of the pipe's end is closed first.
        """
        if self._executor is None:
            return
        if self._failed:
            self._executor._result_queue._writer.close()  # type: ignore[attr-defined]
            for process in list((self._executor._processes or {}).values()):
                process.kill()
        self._executor.shutdown(wait=True, cancel_futures=True)


def _advance(result: R, progress: Advance | None, size: int) -> R:
    if progress is not None:
        progress(size)
    return result


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Processes that are started meanwhile do not import the program that starts them."""
    program: dict[str, Any] = vars(sys.modules["__main__"])
    hidden: dict[str, Any] = {
        name: program.pop(name) for name in ("__spec__", "__file__") if name in program
    }
    program["__spec__"] = None
    try:
        yield
    finally:
        program.update({"__spec__": None, **hidden})


def _start_worker() -> None:
    """Worker side: leave Ctrl-C to the parent, and end when the parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Numbers must not depend on where a unit runs, so this process computes as a worker does.

    torch is not imported for it: what is fitted on tables does without.
    """
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch is not None else os.cpu_count() or 1
    if torch is not None:
        torch.set_num_threads(1)
    try:
        with _one_thread_for_children(), threadpool_limits(limits=1):
            yield
    finally:
        # It may have been imported meanwhile, and has then read that it has one thread.
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)


@contextmanager
def _one_thread_for_children() -> Iterator[None]:
    """Libraries read these variables once, at import: they must be set before a worker starts."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _sigterm_exits() -> Iterator[None]:
    """SIGTERM as an exception, so that clean-up runs, unless the program handles it by itself.

    Only the main thread may set handlers.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(signum: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
