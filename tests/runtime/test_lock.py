import os

import pytest

from mergecast.errors import ResourceError
from mergecast.runtime.lock import folder_lock


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path):
    with folder_lock(tmp_path):
        with (
            pytest.raises(ResourceError, match=rf"pid {os.getpid()}\) is working in this folder"),
            folder_lock(tmp_path),
        ):
            pytest.fail("two holders")
        assert (tmp_path / "run.lock").read_text() == str(os.getpid())
    with folder_lock(tmp_path):
        pass


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    (tmp_path / "run.lock").write_text("4194305")
    with folder_lock(tmp_path):
        assert (tmp_path / "run.lock").read_text() == str(os.getpid())


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ResourceError, match="cannot be used as a run folder"),
        folder_lock(tmp_path / "file"),
    ):
        pytest.fail("locked a file")
