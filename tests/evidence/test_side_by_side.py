"""Evidence that several processes make is what one makes."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from mergecast.errors import UsageError
from mergecast.evidence import MergeSettings, side_by_side
from mergecast.evidence.finished import NotFinished
from mergecast.evidence.retention.collect import collect as alone
from mergecast.evidence.side_by_side import Unit, all_of, workers_for
from mergecast.evidence.superposition.collect import collect as superposed
from tiny_models import tiny_session

MERGES = MergeSettings(samples=12, draws=2, methods=("ties", "weight_avg"))


@pytest.mark.parametrize("collect", [alone, superposed])
def test_processes_make_what_one_makes_and_it_is_then_there(tmp_path, monkeypatch, collect):
    by_one = tiny_session(tmp_path, merges=MERGES)
    by_one.workers = 1
    expected = collect(by_one).values
    monkeypatch.setattr(side_by_side, "_WORTH", 0.0)
    by_two = tiny_session(tmp_path, merges=MERGES)
    found = collect(by_two).values
    assert found == expected
    assert np.isfinite(list(found.values())).all()


def test_what_is_finished_is_not_made_again(tmp_path, monkeypatch):
    session = tiny_session(tmp_path, merges=MERGES)
    seen = []
    units = [Unit(_kept, ("a", 1), 2), Unit(_kept, ("b", 2))]
    assert all_of(session, units, seen.append) == [{"value": 1}, {"value": 2}]
    assert sum(seen) == 3
    # Some are there, others are made: all come in their order.
    more = [Unit(_kept, ("c", 3)), *units, Unit(_kept, ("d", 4))]
    found = all_of(session, more, seen.append)
    assert [one["value"] for one in found] == [3, 1, 2, 4]
    monkeypatch.setattr(side_by_side, "Workers", None)
    session.reads_only = True
    assert _kept(session, "a", 1) == {"value": 1}
    with pytest.raises(NotFinished):
        _kept(session, "e", 3)


def test_an_error_in_another_process_is_raised_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(side_by_side, "_WORTH", 0.0)
    session = tiny_session(tmp_path, merges=MERGES)
    with pytest.raises(UsageError, match="unit c: refused"):
        all_of(session, [Unit(_kept, ("a", 1)), Unit(_kept, ("b", 1)), Unit(_refused, ("c",))], abs)


@pytest.mark.parametrize("settings", [{"workers": 1}, {"device": "cuda"}, {"large": True}])
def test_one_process_serves_where_several_would_not_gain(tmp_path, monkeypatch, settings):
    monkeypatch.setattr(side_by_side, "_WORTH", 0.0)
    monkeypatch.setattr(side_by_side, "Workers", None)  # nobody starts any
    session = tiny_session(tmp_path, merges=MERGES)
    session.workers = settings.get("workers", 2)
    session.settings = side_by_side.replace(session.settings, device=settings.get("device", "cpu"))
    if settings.get("large"):
        monkeypatch.setattr(side_by_side, "SMALL", 10)
    all_of(session, [Unit(_kept, (name, 1)) for name in "abc"], abs)
    session.reads_only = True
    assert all(_kept(session, name, 1) for name in "abc")


def test_a_script_needs_no_guard_and_its_own_tasks_stay_with_it(tmp_path):
    """A worker that imported the script would run it once more."""
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, pathlib, sys
            import mergecast
            import torch
            from mergecast.merging import TensorBlock
            from mergecast.evidence import side_by_side
            from mergecast.evidence.retention.collect import collect
            from mergecast.evidence import MergeSettings, ProbeSettings, Session
            from mergecast.testing.tiny import TinyTask, tiny_family, tiny_tasks

            folder = pathlib.Path(sys.argv[1])
            (folder / f"{os.getpid()}.pid").touch()
            side_by_side._WORTH = 0.0
            before = dict(vars(sys.modules["__main__"]))
            settings, merges = ProbeSettings(cache=folder), MergeSettings(methods=("ties",))
            session = Session(tiny_family(folder), tiny_tasks("abc"), settings, merges)

            class Own(TinyTask):
                pass

            assert collect(session).values
            packed = side_by_side.pack(session)
            assert not side_by_side.needs_program(session, packed)
            session.tasks["a"].__class__ = Own
            assert side_by_side.needs_program(session, side_by_side.pack(session))

            @mergecast.merging_method("own", reference="here")
            def own(block: TensorBlock) -> torch.Tensor:
                return block.deltas.mean(dim=0)

            session.merges = MergeSettings(methods=("own",))
            assert side_by_side.needs_program(session, packed)
            session.tasks["a"].sent = lambda: None
            assert side_by_side.pack(session) is None
            assert __file__ == before["__file__"] and __spec__ is before["__spec__"]
            """
        )
    )
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=300)
    assert len(list(tmp_path.glob("*.pid"))) == 1


def _kept(session, name, value):
    return session.unit({"stage": "test", "name": name}, lambda: {"value": value})


def _refused(session, name):
    def refuse():
        raise UsageError(f"unit {name}", "refused")

    return session.unit({"stage": "test", "name": name}, refuse)


def test_what_only_this_process_can_run_it_runs_alone(tmp_path, monkeypatch):
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__file__", "script.py", raising=False)
    assert workers_for(tiny_session(tmp_path), 2).count == 2
    # Tasks of a script are imported by others, those of a notebook cannot be.
    monkeypatch.setattr(side_by_side, "needs_program", lambda *_: True)
    assert workers_for(tiny_session(tmp_path), 2).count == 2
    monkeypatch.delattr(main, "__file__")
    assert workers_for(tiny_session(tmp_path), 2).count == 1
    # And what holds a function cannot be sent at all.
    monkeypatch.setattr(side_by_side, "pack", lambda _: None)
    assert workers_for(tiny_session(tmp_path), 2).count == 1
