import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch

from mergecast.errors import ResourceError, UsageError
from mergecast.runtime.workers import Workers


def test_results_come_in_the_order_of_the_specs_and_progress_counts_them():
    finished = []
    with Workers(1) as pool:
        assert pool.map(abs, [-3, -1, -2], finished.append) == [3, 1, 2]
    assert finished == [1, 1, 1]


def test_this_process_computes_with_one_thread_only_while_it_maps():
    before = torch.get_num_threads()
    with Workers(1) as pool:
        assert pool.map(_threads, [None]) == [1]
    assert torch.get_num_threads() == before


def test_processes_keep_order_use_one_thread_raise_errors_and_stay_for_the_next_map():
    with Workers(2) as pool:
        finished = []
        assert pool.map(_slow_abs, [-3, -1, -2], finished.append) == [3, 1, 2]
        assert sum(finished) == 3
        pids = set(pool.map(_pid, [None] * 4))
        assert os.getpid() not in pids
        assert pool.map(_threads, [None, None]) == [1, 1]
        with pytest.raises(UsageError, match="spec [78]: refused"):  # whichever ends first
            pool.map(_refuse, [7, 8])
        with pytest.raises(ResourceError, match=r"a worker process: ended without a result"):
            pool.map(os._exit, [3])


def test_an_error_ends_at_once_what_others_are_doing():
    began = time.monotonic()
    with pytest.raises(UsageError, match="spec 1: refused"), Workers(2) as pool:
        pool.map(_refuse_or_answer_for_ever, [1, 0])
    assert time.monotonic() - began < 300


def test_no_workers_is_a_usage_error():
    with pytest.raises(UsageError, match="workers: is 0; give 1 or more"):
        Workers(0)


@pytest.mark.parametrize(
    ("sent", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_signal_ends_everything_without_a_traceback(tmp_path, sent, code):
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, pathlib, sys, time
            from mergecast.runtime.workers import Workers

            def work(folder):
                (pathlib.Path(folder) / f"{os.getpid()}.pid").touch()
                time.sleep(60)

            if __name__ == "__main__":
                try:
                    with Workers(2) as pool:
                        pool.map(work, [sys.argv[1]] * 2)
                except KeyboardInterrupt:
                    sys.exit(130)
            """
        )
    )
    program = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)], stderr=subprocess.PIPE, text=True
    )
    _wait(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    program.send_signal(sent)
    _, stderr = program.communicate(timeout=120)
    assert program.returncode == code
    assert "Traceback" not in stderr
    pids = [int(path.stem) for path in tmp_path.glob("*.pid")]
    _wait(lambda: not any(_alive(pid) for pid in pids))


def _wait(condition, seconds=200.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _slow_abs(value):
    time.sleep(0.05 * abs(value))
    return abs(value)


def _threads(_spec):
    return torch.get_num_threads()


def _pid(_spec):
    return os.getpid()


def _after(spec):
    wait, seconds = spec
    wait(seconds)
    return os.getpid()


def _refuse_or_answer_for_ever(spec):
    if spec:
        time.sleep(1)
        _refuse(spec)
    return _NeverPickled()


class _NeverPickled:
    """Its pickling, and so the worker's sending, does not end."""

    def __reduce__(self):
        time.sleep(600)
        return (_NeverPickled, ())


def _refuse(spec):
    raise UsageError(f"spec {spec}", "refused")


def test_little_work_starts_no_processes_and_much_does_not_wait_for_one():
    with Workers(2, worth=60.0) as pool:
        assert set(pool.map(_pid, [None] * 3)) == {os.getpid()}
        assert pool.map(_threads, [None]) == [1]
    counted = []
    with Workers(2, worth=0.2) as pool:
        specs = [(time.sleep, 0.15)] * 4
        pids = pool.map(_after, specs, counted.append, [1, 2, 3, 4], here=_after)
        assert pids[0] == os.getpid()
        assert os.getpid() not in pids[1:]
        assert sum(counted) == 10
        # Once there are processes they do all of it.
        assert os.getpid() not in pool.map(_pid, [None])


def test_this_process_may_do_it_another_way():
    with Workers(2, worth=60.0) as pool:
        assert pool.map(abs, [-1, -2], here=float) == [-1.0, -2.0]
