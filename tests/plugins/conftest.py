"""Packages that plug in, installed for one test as pip would: a folder on the path."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mergecast.checkpoints.checkpoint import FORMATS
from mergecast.evidence.kind import EVIDENCE
from mergecast.evidence.metric import METRICS
from mergecast.forecast.estimators.predictors import PREDICTORS
from mergecast.forecast.validation.protocols import PROTOCOLS
from mergecast.merging import METHODS
from mergecast.suites.suite import SUITES
from plug_ins import imports_forgotten, write_distribution

EXAMPLE = Path(__file__).parent / "mergecast_example"
REGISTRIES = (METHODS, METRICS, EVIDENCE, PREDICTORS, PROTOCOLS, SUITES, FORMATS)


@contextmanager
def installed(*folders: Path) -> Iterator[None]:
    """Folders on the path of this process and of those that it starts; registries look anew."""
    with ExitStack() as stack:
        stack.enter_context(imports_forgotten(*folders))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for folder in folders:
            patch.syspath_prepend(folder)
        path = [*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(path))
        for registry in REGISTRIES:
            stack.enter_context(registry.isolated())
        yield


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Install a distribution: its name, modules, and entry points ``group:name`` to value."""
    with ExitStack() as stack:

        def install(name: str, modules: Mapping[str, str], points: Mapping[str, str]) -> None:
            folder = write_distribution(tmp_path / "site", name, modules, points)
            stack.enter_context(installed(folder))

        yield install


@pytest.fixture(scope="module")
def example_distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's metadata, as an installation writes it; its modules stay where they are."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    points = {
        f"{group}:{name}": value
        for group, entries in project["entry-points"].items()
        for name, value in entries.items()
    }
    return write_distribution(tmp_path_factory.mktemp("site"), project["name"], {}, points)


@pytest.fixture(scope="module")
def example(example_distribution: Path) -> Iterator[None]:
    """The example package, installed."""
    with installed(example_distribution, EXAMPLE / "src"):
        yield
