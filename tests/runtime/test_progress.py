from mergecast.runtime.progress import Silent, progress_bars


def test_nothing_is_shown_when_nobody_watches(capfd):
    with progress_bars() as progress:
        progress.stage("fine-tune", 3)(1)
    assert isinstance(progress, Silent)
    assert capfd.readouterr() == ("", "")


def test_forced_bars_count_on_stderr_only(capfd):
    with progress_bars(force=True) as progress:
        advance = progress.stage("fine-tune", 3, done=1)
        advance(2)
    out, err = capfd.readouterr()
    assert out == ""
    assert "fine-tune" in err
    assert "3/3" in err
