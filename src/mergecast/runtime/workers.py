"""Running independent units in this process or in a few others, with one thread each."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for
from types import FrameType
from typing import TypeVar

from mergecast.errors import ResourceError, UsageError

S = TypeVar("S")
R = TypeVar("R")

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def map_units(
    function: Callable[[S], R],
    specs: Sequence[S],
    workers: int = 1,
    progress: Callable[[int], object] | None = None,
) -> list[R]:
    """`function` of every spec, in the order of `specs`, by at most `workers` processes.

    Parameters
    ----------
    function : defined at module level, since workers import it; it stores what must outlive a
        kill by itself.
    workers : 1 runs everything in this process, one thread; the results are the same.
    progress : called in this process with the number of units that just finished.

    An error of a unit is raised here as it was raised there, and units not yet started are
    dropped. SIGINT raises KeyboardInterrupt and SIGTERM SystemExit(143), after the workers have
    been stopped. Workers end by themselves when this process is killed.
    """
    if workers < 1:
        raise UsageError("workers", f"{workers} is not a number of processes", "use 1 or more")
    with _sigterm_exits():
        if workers == 1 or len(specs) <= 1:
            with _one_thread():
                return [_advance(function(spec), progress) for spec in specs]
        return _map_processes(function, specs, min(workers, len(specs)), progress)


def _advance(result: R, progress: Callable[[int], object] | None) -> R:
    if progress is not None:
        progress(1)
    return result


def _map_processes(
    function: Callable[[S], R],
    specs: Sequence[S],
    workers: int,
    progress: Callable[[int], object] | None,
) -> list[R]:
    with _one_thread_for_children():
        executor = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker)
        try:
            futures = [executor.submit(function, spec) for spec in specs]
            pending: set[Future[R]] = set(futures)
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    _advance(future.result(), progress)
            executor.shutdown(wait=True)
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            raise ResourceError(
                "a worker process",
                "ended without a result (killed, or out of memory)",
                "run again to continue; use fewer workers if memory is short",
            ) from error
        finally:
            _stop(executor)


def _stop(executor: ProcessPoolExecutor) -> None:
    """End workers at once: what they finished is in the store, what they have begun is not."""
    for process in list((executor._processes or {}).values()):
        process.terminate()
    executor.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Worker side: leave Ctrl-C to the parent, end with the parent, use one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    import torch

    torch.set_num_threads(1)


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Numbers must not depend on where a unit runs, so this process computes as a worker does."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(threads)


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
    """SIGTERM as an exception, so that clean-up runs; only the main thread may set handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(signum: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
