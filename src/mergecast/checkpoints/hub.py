"""Models of the Hugging Face hub, by name and revision: fetched into its cache, or found there."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from mergecast.errors import CheckpointError

log = logging.getLogger(__name__)
#: ``org/name`` or ``org/name@revision``, a branch, a tag or (best) a commit.
_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w.][\w./-]*))?")
#: Beside the weights; sentence-transformers' layers after the network, in folders of their own.
_ASIDE = ("*.json", "*.jinja", "*.model", "*.txt", "tokenizer*", "[1-9]_*/*.safetensors",
          "[1-9]_*/*.bin")  # fmt: skip
#: Weights, in the order in which they are asked for; the second only where the first are not there.
_WEIGHTS = ("*.safetensors", "*.bin")
#: What ends so was meant as a file.
_FILES = (".safetensors", ".bin", ".pt", ".pth", ".json")
_SNAPSHOT = re.compile(r"models--(.+)")


def is_model_name(path: str | Path) -> bool:
    """Whether it may be a model of the hub: nothing here is called so, and it has the form."""
    if Path(path).exists() or Path(path).suffix in _FILES:
        return False
    return _NAME.fullmatch(str(path)) is not None


@cache
def fetched(name: str | Path) -> Path:
    """The folder of a model of the hub, fetched unless its cache has it; asked for once a program.

    Weights, config and tokenizer files are fetched, code is not. Without a network the cache is
    used alone, as under ``HF_HUB_OFFLINE``.

    Parameters
    ----------
    name : str or Path
        ``org/name`` or ``org/name@revision``.

    Raises
    ------
    CheckpointError
        huggingface_hub is not installed, the hub cannot be reached and the cache does not have it,
        or the hub has no such model or revision, or does not give it.
    """
    repository, revision = repository_of(name)
    with hub_errors(name):
        from huggingface_hub import snapshot_download

        for weights in _WEIGHTS:
            allowed = [*_ASIDE, weights]
            found = snapshot_download(repository, revision=revision, allow_patterns=allowed)
            folder = Path(found)
            if any(folder.glob(weights)):
                break
    if revision is None or not folder.name.startswith(revision):
        log.warning("%s is revision %s: give %s@%s to have it again", name, folder.name,
                    repository, folder.name[:12])  # fmt: skip
    return folder


def located(folder: Path, path: str | Path) -> Path:
    """A path of a file in `folder`: from there, or what the hub has under it as a name.

    Raises CheckpointError where the hub does not give it.
    """
    place = folder / path  # an absolute path stays
    return fetched(str(path)) if not place.exists() and is_model_name(str(path)) else place


@cache
def described(name: str | Path) -> Path:
    """The same folder with what stands beside the weights: they are fetched no more than before.

    Parameters and errors as of `fetched`.
    """
    repository, revision = repository_of(name)
    with hub_errors(name):
        from huggingface_hub import snapshot_download

        found = snapshot_download(repository, revision=revision, allow_patterns=list(_ASIDE))
    return Path(found)


def repository_of(name: str | Path) -> tuple[str, str | None]:
    """Repository and revision that a model's name says; raises CheckpointError for no name."""
    match = _NAME.fullmatch(str(name))
    if match is None:
        raise CheckpointError(name, "is no name of a model", "write org/name@revision")
    return match[1], match[2]


@contextmanager
def hub_errors(name: str | Path) -> Iterator[None]:
    """Whatever the hub or its library say against a model inside, as a CheckpointError."""
    try:
        from huggingface_hub import errors
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError as error:
        raise CheckpointError(
            name, "is no file here, nor can the hub be asked", "install mergecast[hf]"
        ) from error
    # Of newer versions, what their HTTP library raises, which is no OSError.
    unreached: type[Exception] = getattr(errors, "HTTPError", HfHubHTTPError)
    try:
        yield
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            name,
            "is no file here, the hub cannot be reached, and its cache does not have it",
            "give a path, or fetch it where there is a network",
        ) from error
    except GatedRepoError as error:
        raise CheckpointError(
            name, "is given by the hub only to those who asked", "accept its terms, and log in"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise CheckpointError(
            name, "is no file here, and the hub has no such model or revision", "check its name"
        ) from error
    except (HfHubHTTPError, unreached, OSError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(name, f"could not be fetched: {said}", "try again") from error


def model_name(path: str | Path) -> str:
    """The hub's name of a model that lies in its cache; "" for any other place.

    Examples
    --------
    >>> model_name("hub/models--org--name/snapshots/5c38ec7c405ec4b44b94cc5a9bb96e735b38267a")
    'org/name'
    >>> model_name("models/mine")
    ''
    """
    for part in Path(path).parts:
        match = _SNAPSHOT.fullmatch(part)
        if match is not None:
            return match[1].replace("--", "/", 1)
    return ""
