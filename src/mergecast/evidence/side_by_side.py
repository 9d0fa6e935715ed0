"""Units of evidence made by several processes, where models are small and processors are few.

A unit is a function of a session that leaves what it computes in the session's store, where whoever
needs it reads it. Small models on few processors gain from running side by side what one process
would run with several threads; large ones do not, and take the memory of one each. What a unit
computes does not depend on where it runs: all of them take one thread.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from multiprocessing import parent_process
from typing import Any

from mergecast.evidence.finished import NotFinished
from mergecast.evidence.session import Session
from mergecast.runtime.workers import Workers
from mergecast.typing import Advance

#: Numbers in a model up to which several of them fit beside each other, and one keeps few threads
#: busy.
SMALL = 300_000_000
#: Seconds of work from which on processes are worth starting.
_WORTH = 15.0


@dataclass(frozen=True)
class Unit:
    """A part of the evidence that any process can make.

    Attributes
    ----------
    run : callable
        Called with a session and the words; of a module, since workers import it.
    words : tuple
        Plain values.
    steps : int
        What it counts in progress.
    """

    run: Callable[..., object]
    words: tuple[Any, ...]
    steps: int = 1

    def make(self, session: Session) -> None:
        """Have it in a session's store; raises what it raises."""
        self.run(session, *self.words)


def make(session: Session, units: Sequence[Unit], advance: Advance) -> None:
    """Have all units in the session's store: those that are not there are made, here or beside.

    Raises
    ------
    MergecastError
        What a unit raises.
    """
    left = _unfinished(session, units)
    advance(sum(unit.steps for unit in units) - sum(unit.steps for unit in left))
    packed = pack(session) if len(left) > 1 and _gains(session) else None
    if packed is None or needs_program(session, packed):
        for unit in left:
            unit.make(session)
            advance(unit.steps)
        return
    words, steps = [(packed, unit) for unit in left], [unit.steps for unit in left]
    with Workers(session.workers, worth=_WORTH, imports_main=False) as pool:
        pool.map(_make, words, advance, steps, lambda both: both[1].make(session))


def pack(session: Session) -> bytes | None:
    """All that another process needs of a session, whose store is this one's; None where its tasks
    cannot be sent.
    """
    settings = replace(session.settings, cache=session.store.folder)
    try:
        return pickle.dumps((session.family, session.tasks, settings, session.merges))
    except (pickle.PicklingError, AttributeError, TypeError):
        return None


def unpack(packed: bytes) -> Session:
    """The session in another process."""
    return Session(*pickle.loads(packed))


def needs_program(session: Session, packed: bytes) -> bool:
    """Whether another process has to import the program: it defines tasks or merging methods."""
    from mergecast.merging.method import METHODS

    kernels = {session.recipe(method).method for method in session.methods}
    return b"__main__" in packed or not all(map(METHODS.known_elsewhere, kernels))


def _unfinished(session: Session, units: Sequence[Unit]) -> list[Unit]:
    """The units of which something is not in the store."""
    _ = session.store  # one for both
    reading, left = copy(session), []
    reading.reads_only = True
    for unit in units:
        try:
            unit.make(reading)
        except NotFinished:
            left.append(unit)
    return left


def _gains(session: Session) -> bool:
    """Whether several processes of one thread each may be faster than this one.

    Not with one worker, a device of its own, a model that is not small or more than two threads for
    every worker. A worker has none of its own.
    """
    import torch

    infos = session.family.base.infos.values()
    small = sum(info.size for info in infos) <= SMALL and session.settings.device == "cpu"
    few = session.workers > 1 and torch.get_num_threads() <= 2 * session.workers
    return small and few and parent_process() is None


_SESSIONS: dict[bytes, Session] = {}


def _make(words: tuple[bytes, Unit]) -> None:
    """One unit in a worker, which keeps its session for the next one."""
    packed, unit = words
    if packed not in _SESSIONS:
        _SESSIONS.clear()
        _SESSIONS[packed] = unpack(packed)
    unit.make(_SESSIONS[packed])
