import shutil

import pytest

from mergecast.errors import UsageError
from mergecast.suites.status import suite_status


@pytest.fixture
def copy(tmp_path, finished):
    return shutil.copytree(finished, tmp_path / "copy")


def test_status_needs_a_run_and_follows_its_progress(tmp_path, copy):
    with pytest.raises(UsageError, match="holds no suite run"):
        suite_status(tmp_path)
    with pytest.raises(UsageError, match="unknown; "):
        suite_status(copy, "text-99")
    (copy / "models" / "parity.safetensors").unlink()
    status = suite_status(copy, "digits-14")
    assert (status["models"], status["outcomes"], status["pairs"]) == ((2, 3), (6, 18), (0, 1))
    (copy / "base.safetensors").unlink()
    assert [done for done, _ in suite_status(copy).values()] == [0, 0, 0, 0, 0]
    (copy / "suite.json").write_text("{}")
    with pytest.raises(UsageError, match="cannot be read"):
        suite_status(copy)
