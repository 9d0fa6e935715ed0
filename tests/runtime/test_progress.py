from mergecast.runtime import progress as module
from mergecast.runtime.progress import progress_bars


def test_short_work_says_nothing_in_a_log(capfd):
    with progress_bars() as progress:
        progress.stage("fine-tune", 3)(1)
    assert capfd.readouterr() == ("", "")


def test_long_work_says_at_times_how_far_it_is(capfd, monkeypatch):
    monkeypatch.setattr(module, "_EVERY", 10.0)
    clock = iter([0.0, 1.0, 5.0, 11.0, 12.0, 21.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with progress_bars() as progress:
        advance = progress.stage("superposition", 10, done=2)
        for _ in range(4):
            advance(1)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "mergecast: superposition: 4 of 10 in 10 s, about 30 s left",
        "mergecast: superposition: 6 of 10 in 20 s, about 20 s left",
    ]


def test_forced_bars_count_on_stderr_only(capfd):
    with progress_bars(force=True) as progress:
        advance = progress.stage("fine-tune", 3, done=1)
        advance(2)
    out, err = capfd.readouterr()
    assert out == ""
    assert "fine-tune" in err
    assert "3/3" in err
