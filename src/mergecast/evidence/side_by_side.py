"""Units of evidence made by several processes, where models are small and processors are few.

A unit is a function of a session that leaves what it computes in the session's store, where whoever
needs it reads it. Small models on few processors gain from running side by side what one process
would run with several threads; large ones do not, and take the memory of one each. What a unit
computes does not depend on where it runs: all of them take one thread.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
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
        Called with a session and the words, returns what is in the store then, never None; of a
        module, since workers import it.
    words : tuple
        Plain values.
    steps : int
        What it counts in progress.
    """

    run: Callable[..., object]
    words: tuple[Any, ...]
    steps: int = 1

    def of(self, session: Session) -> Any:
        """What the unit is in a session, from its store or made for it; raises what it raises."""
        return self.run(session, *self.words)


def all_of(session: Session, units: Sequence[Unit], advance: Advance) -> list[Any]:
    """What all units are, in their order: those that are not in the store are made, here or beside.

    Raises
    ------
    MergecastError
        What a unit raises.
    """
    found = _finished(session, units)
    left = [unit for place, unit in enumerate(units) if place not in found]
    advance(sum(unit.steps for unit in units) - sum(unit.steps for unit in left))
    made = iter(_made(session, left, advance))
    return [found[place] if place in found else next(made) for place in range(len(units))]


def _made(session: Session, units: Sequence[Unit], advance: Advance) -> list[Any]:
    packed = pack(session) if len(units) > 1 and _gains(session) else None
    if packed is None or needs_program(session, packed):
        made = []
        for unit in units:
            made.append(unit.of(session))
            advance(unit.steps)
        return made
    words, steps = [(packed, unit) for unit in units], [unit.steps for unit in units]
    with Workers(session.workers, worth=_WORTH, imports_main=False) as pool:
        here = pool.map(_make, words, advance, steps, lambda both: both[1].of(session))
    # What another process made is read from the store.
    return [unit.of(session) if one is None else one for unit, one in zip(units, here, strict=True)]


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


def workers_for(session: Session, count: int) -> Workers:
    """Workers that can take the session's tasks; this process alone where no other can.

    Others import the program where it defines tasks or methods, for which a script must be written;
    what a notebook defines they cannot have.
    """
    packed = pack(session)
    if packed is None:
        return Workers(1)
    program = needs_program(session, packed)
    if program and not hasattr(sys.modules["__main__"], "__file__"):
        return Workers(1)
    return Workers(count, imports_main=program)


def _finished(session: Session, units: Sequence[Unit]) -> dict[int, Any]:
    """The units of which all is in the store, by their places."""
    _ = session.store  # one for both
    reading, found = copy(session), {}
    reading.reads_only = True
    for place, unit in enumerate(units):
        with suppress(NotFinished):
            found[place] = unit.of(reading)
    return found


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
    """One unit in a worker, which keeps its session for the next one; nothing is sent back."""
    packed, unit = words
    if packed not in _SESSIONS:
        _SESSIONS.clear()
        _SESSIONS[packed] = unpack(packed)
    unit.of(_SESSIONS[packed])
