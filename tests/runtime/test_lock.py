import os
import subprocess
import sys

import pytest

from mergecast.errors import ResourceError
from mergecast.runtime.lock import folder_lock

HOLDER = """
import pathlib, sys, time
from mergecast.runtime.lock import folder_lock

with folder_lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path):
    with folder_lock(tmp_path):
        with (
            pytest.raises(ResourceError, match=rf"pid {os.getpid()}\) is working in this folder"),
            folder_lock(tmp_path),
        ):
            pytest.fail("two holders")
        with pytest.raises(ResourceError, match=rf"pid {os.getpid()}\)"), folder_lock(tmp_path):
            pytest.fail("asking once did not free it")
    with folder_lock(tmp_path):
        pass


def test_another_process_is_named_and_its_lock_is_free_once_it_was_killed(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ResourceError, match=rf"pid {holder.pid}\)"), folder_lock(tmp_path):
            pytest.fail("two holders")
    finally:
        holder.kill()
        holder.communicate()
    with folder_lock(tmp_path):
        pass


def test_an_error_inside_frees_it(tmp_path):
    with pytest.raises(ZeroDivisionError), folder_lock(tmp_path):
        raise ZeroDivisionError
    with folder_lock(tmp_path):
        pass


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ResourceError, match="cannot be used as a run folder"),
        folder_lock(tmp_path / "file"),
    ):
        pytest.fail("locked a file")
