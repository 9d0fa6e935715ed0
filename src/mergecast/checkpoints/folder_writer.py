"""Writing a model folder: in place only when complete, and never over an input or foreign files."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from mergecast.checkpoints.checkpoint import TensorInfo
from mergecast.checkpoints.side_files import put_network_here
from mergecast.checkpoints.writer import SafetensorsWriter, sweep, temporary_path
from mergecast.errors import ResourceError, UsageError
from mergecast.runtime.files import as_resource_error
from mergecast.runtime.outputs import check_folder
from mergecast.typing import Array

#: File that marks a folder as written here; its ``files`` lists what may be replaced.
MARKER = "mergecast.json"
_SINGLE = "model.safetensors"


class FolderWriter:
    """A model folder: one ``model.safetensors`` or shards with their index, and side files.

    Parameters
    ----------
    folder : Path
        Where the folder appears once complete; a symbolic link is followed.
    infos : sequence of TensorInfo
        Every tensor that will be written.
    shards : mapping of str to str, optional
        Tensor name to file name; None, or one file for all, writes `single`.
    single : str
        The name of a file of all weights; an index of several is called after it.
    tied : mapping of str to str, optional
        Other names of tensors, to the name each is written as; both names are stored with equal
        values, as strict loading wants them (`Checkpoint.tied` of the base).
    side_files : sequence of Path
        Files and folders to copy beside the weights (config, tokenizer).
    record : mapping of str to object, optional
        What is kept in ``mergecast.json``: how this folder was made. The names of the files written
        are added to it as ``files``.
    inputs : sequence of Path
        Files and folders that are read; the output may not be, hold or lie in one of them.
    overwrite : bool
        Replace a folder that mergecast did not write, or that holds other files too.
    beside : callable, optional
        Called with the folder, still in the making, and each tensor's file once the weights and
        side files are there: to add to it.

    Raises
    ------
    UsageError
        The folder may not be written: a file, the current directory, an input, someone else's; or
        cannot be, as beneath a file.
    """

    def __init__(
        self,
        folder: Path,
        infos: Sequence[TensorInfo],
        *,
        shards: Mapping[str, str] | None = None,
        single: str = _SINGLE,
        tied: Mapping[str, str] | None = None,
        side_files: Sequence[Path] = (),
        record: Mapping[str, Any] | None = None,
        inputs: Sequence[Path] = (),
        overwrite: bool = False,
        beside: Callable[[Path, Mapping[str, str]], None] | None = None,
    ) -> None:
        self.folder = _resolved(folder)
        self._infos = {info.name: info for info in infos}
        self._single = single
        self._shards = {name: (shards or {}).get(name, single) for name in self._infos}
        self._aliases: dict[str, list[str]] = {}
        for alias, name in (tied or {}).items():
            self._infos[alias] = replace(self._infos[name], name=alias)
            self._shards[alias] = self._shards[name]
            self._aliases.setdefault(name, []).append(alias)
        if len(set(self._shards.values())) == 1:
            # A shard's name (model-00001-of-00003) would not be found without an index.
            self._shards = dict.fromkeys(self._infos, single)
        self._side_files = side_files
        self._record = dict(record or {})
        self._beside = beside
        self._writers: dict[str, SafetensorsWriter] = {}
        refuse_folder(folder, inputs, overwrite=overwrite)

    @contextmanager
    def open(self) -> Iterator[FolderWriter]:
        """Write inside this context; the folder is put in place when it ends well."""
        temporary = temporary_path(self.folder)
        sweep(self.folder)
        try:  # from before there is a folder: a signal may come as soon as there is one
            with as_resource_error(self.folder):
                self.folder.parent.mkdir(parents=True, exist_ok=True)
                temporary.mkdir()
            with ExitStack() as stack:
                for writer in self._open_writers(temporary):
                    stack.enter_context(writer)
                yield self
            with as_resource_error(self.folder):
                self._finish(temporary)
                _replace_folder(temporary, self.folder)
        except ResourceError as error:  # of a file in the temporary folder, which is gone by now
            place = error.thing.replace(str(temporary), str(self.folder))
            raise ResourceError(place, error.problem, error.remedy) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def write(self, name: str, array: Array) -> None:
        """Write one tensor into its file, under all names that are tied to it."""
        for alias in (name, *self._aliases.get(name, ())):
            self._writers[self._shards[alias]].write(alias, array)

    def _open_writers(self, temporary: Path) -> list[SafetensorsWriter]:
        for file in sorted(set(self._shards.values())):
            infos = [self._infos[name] for name, shard in self._shards.items() if shard == file]
            self._writers[file] = SafetensorsWriter(temporary / file, infos)
        return list(self._writers.values())

    def _finish(self, temporary: Path) -> None:
        if len(self._writers) > 1:
            size = sum(info.nbytes for info in self._infos.values())
            write_index(temporary, self._shards, size, self._single)
        for file in self._side_files:
            if file.is_dir():
                shutil.copytree(file, temporary / file.name)
            else:
                shutil.copyfile(file, temporary / file.name)
        put_network_here(temporary)
        if self._beside is not None:
            self._beside(temporary, self._shards)
        files = sorted({MARKER, *(file.name for file in temporary.iterdir())})
        write_json(temporary / MARKER, {**self._record, "files": files})


def refuse_folder(folder: Path, inputs: Sequence[Path], *, overwrite: bool) -> None:
    """Raise UsageError for a folder that may not be written; arguments as of `FolderWriter`."""
    folder = _resolved(folder)
    _refuse_inputs(folder, inputs)
    _refuse_place(folder)
    if not overwrite:
        _refuse_foreign(folder)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise UsageError(path, "is a loop of symbolic links", "choose another folder") from error


def _refuse_inputs(folder: Path, inputs: Sequence[Path]) -> None:
    """Replacing a folder deletes it: never one that is being read, whatever the user allows."""
    for given in inputs:
        # The place of a symbolic link counts as well as where it points.
        for place in dict.fromkeys((_resolved(given), _resolved(given.parent) / given.name)):
            if folder == place:
                relation = "is"
            elif folder in place.parents:
                relation = "contains"
            elif place in folder.parents:
                relation = "lies inside"
            else:
                continue
            raise UsageError(
                folder, f"{relation} the input {given}", "write to a folder apart from all inputs"
            )


def _refuse_place(folder: Path) -> None:
    here = Path.cwd().resolve()
    if folder == here or folder in here.parents:
        which = "is" if folder == here else "contains"
        raise UsageError(folder, f"{which} the current directory", "give the name of a new folder")
    check_folder(folder)
    check_folder(folder.parent)  # where it is made until it is complete


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder with files that mergecast did not write: they would be deleted."""
    with as_resource_error(folder):
        if not folder.exists():
            return
        present = sorted(file.name for file in folder.iterdir())
    if not present:
        return
    remedy = "choose another folder or pass --overwrite"
    if not (folder / MARKER).is_file():
        raise UsageError(folder, f"exists and was not written by mergecast (no {MARKER})", remedy)
    foreign = [name for name in present if name not in _recorded(folder / MARKER)]
    if foreign:
        raise UsageError(
            folder,
            f"holds {len(foreign)} file(s) that its {MARKER} does not list, first {foreign[0]!r}",
            f"move them, {remedy}",
        )


def _recorded(marker: Path) -> set[str]:
    """The files a record lists and itself; an unreadable or older record vouches for no other."""
    try:
        files = json.loads(marker.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        files = []
    listed = files if isinstance(files, list) else []
    return {MARKER, *(name for name in listed if isinstance(name, str))}


def write_index(
    folder: Path, files: Mapping[str, str], total_size: int, single: str = _SINGLE
) -> None:
    """The index of a folder's weights: each tensor's file, and their bytes together."""
    index = {"metadata": {"total_size": total_size}, "weight_map": dict(sorted(files.items()))}
    write_json(folder / f"{single}.index.json", index)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """One JSON object as a file of a model's folder."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    # File names need not be text: what UTF-8 cannot hold is escaped as JSON does.
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _replace_folder(new: Path, final: Path) -> None:
    """Put `new` at `final`; an old folder steps aside first and is deleted last."""
    if not final.exists():
        new.rename(final)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{final.name}.old.", dir=final.parent))
    old = aside / "old"
    try:
        final.rename(old)
        try:
            new.rename(final)
        except OSError:
            old.rename(final)
            raise
    except BaseException:
        with suppress(OSError):
            aside.rmdir()  # goes only when empty, so that the old folder is never lost
        raise
    shutil.rmtree(aside, ignore_errors=True)
