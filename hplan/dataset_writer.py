"""Writes a dataset chunk by chunk, so that nothing collected is lost: what stopped goes on.

While a dataset is written it is the folder `<name>.partial`, in which `progress.jsonl` has a line
for what was asked for and one for each chunk that is there. When the writing stops early, the
folder is made a dataset as it is, which can be used, and which the same command still completes.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from hplan.dataset import EpisodeStore, ObservationSpec
from hplan.dataset_files import (
    FRAMES_FILE,
    METADATA_FILE,
    Chunk,
    append_chunk,
    damaged,
    map_frames,
    write_metadata,
)
from hplan.files import write_atomically
from hplan.joining import SeenFrames

PROGRESS_FILE = "progress.jsonl"
LOCK_FILE = ".lock"

logger = logging.getLogger(__name__)


def partial_folder(folder: Path) -> Path:
    """Where a dataset is while it is written."""
    return folder.with_name(f"{folder.name}.partial")


class DatasetWriter:
    """The folder of a dataset that is being written; use it in a `with`.

    Only one process writes at a time; another waits for it, and then goes on with what is left.

    Attributes:
        is_done: the dataset is there, written by another process meanwhile.
        chunks: that are there.

    Args:
        folder: of the dataset.
        metadata: plain data on the origin of the episodes.
        asked: plain data on how many of them; a partial folder is only continued if both agree.
    """

    def __init__(self, folder: Path, *, metadata: dict[str, Any], asked: dict[str, Any]) -> None:
        self.folder = folder
        self.partial = partial_folder(folder)
        self.metadata = metadata
        self.chunks: list[Chunk] = []
        self.is_done = False
        self._asked = json.loads(json.dumps({**asked, "metadata": metadata}))
        self._spec: ObservationSpec | None = None
        self._seen = SeenFrames()
        self._open = contextlib.ExitStack()

    @property
    def num_episodes(self) -> int:
        """Episodes that are there."""
        return sum(chunk.num_episodes for chunk in self.chunks)

    def __enter__(self) -> "DatasetWriter":
        self.partial.mkdir(parents=True, exist_ok=True)
        lock = self._open.enter_context((self.partial / LOCK_FILE).open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning(f"{self.partial} is being written by another process; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        self.is_done = self.folder.exists()
        if not self.is_done:
            try:
                self._take_up()
            except BaseException:
                self._open.close()
                raise
        return self

    def append(self, store: EpisodeStore, *, unfinished: bool = False) -> None:
        """Write a chunk; one that is `unfinished` is collected again when the rest is.

        Raises:
            ValueError: the disk is full, or the store's spec is not that of the chunks before.
        """
        try:
            chunk = append_chunk(
                self.partial, len(self.chunks), store, self._seen, unfinished=unfinished
            )
            if self._spec is None:
                write_atomically(self._progress, _lines(self._asked, {"spec": asdict(store.spec)}))
                self._spec = store.spec
            with self._progress.open("a") as file:
                file.write(_lines(asdict(chunk)))
                file.flush()
                os.fsync(file.fileno())
        except (OSError, ValueError) as error:
            raise not_written(error, self.folder, store.nbytes) from error
        self.chunks.append(chunk)

    def finish(self) -> None:
        """Give the folder its name, now that all is there."""
        assert self._spec is not None, "a dataset has at least one chunk"
        write_metadata(self.partial, self._spec, self.chunks, self.metadata)
        try:
            self.partial.rename(self.folder)
        except OSError as error:
            raise not_written(error, self.folder, 0) from error
        for name in (PROGRESS_FILE, LOCK_FILE):  # not before: with it the same command goes on
            (self.folder / name).unlink()
        self.is_done = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._open:
            if self.partial.exists() and not self.chunks:
                for name in (FRAMES_FILE, PROGRESS_FILE, LOCK_FILE):
                    (self.partial / name).unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    self.partial.rmdir()
            elif not self.is_done and self._spec is not None:
                # On a full disk it cannot be used as it is, but still be gone on with.
                with contextlib.suppress(OSError, ValueError):
                    self._cut_frames()
                    write_metadata(self.partial, self._spec, self.chunks, self.metadata)

    @property
    def _progress(self) -> Path:
        return self.partial / PROGRESS_FILE

    def _take_up(self) -> None:
        """Go on where an earlier process stopped."""
        (self.partial / METADATA_FILE).unlink(missing_ok=True)
        if not self._progress.exists():
            (self.partial / FRAMES_FILE).unlink(missing_ok=True)
            return
        try:
            text = self._progress.read_text()
            # What stands behind the last end of a line was being written when it stopped.
            asked, spec, *rest = map(json.loads, text[: text.rfind("\n") + 1].splitlines())
            chunks = [Chunk(**chunk) for chunk in rest]
            self._spec = ObservationSpec.from_dict(spec["spec"])
        except (ValueError, TypeError, KeyError) as error:
            raise damaged(self._progress, f"{type(error).__name__}: {error}") from error
        self._refuse_another(asked)
        self.chunks = [chunk for chunk in chunks if not chunk.unfinished]
        write_atomically(self._progress, _lines(asked, spec, *map(asdict, self.chunks)))
        if self.chunks:
            self._cut_frames()
            self._seen.restore(self._spec, map_frames(self.partial, self._spec, self.chunks))
        else:
            (self.partial / FRAMES_FILE).unlink(missing_ok=True)

    def _refuse_another(self, asked: dict[str, Any]) -> None:
        for key in sorted(asked | self._asked):
            if (found := asked.get(key)) != (wanted := self._asked.get(key)):
                if isinstance(found, dict) and isinstance(wanted, dict):
                    key = next(k for k in sorted(found | wanted) if found.get(k) != wanted.get(k))
                    found, wanted = found.get(key), wanted.get(key)
                raise ValueError(
                    f"{self.partial} was begun with {key} = {found!r}, {wanted!r} was asked for; "
                    "finish it with what it was begun with, or delete it."
                )

    def _cut_frames(self) -> None:
        """Cut off what belongs to no chunk that is there."""
        assert self._spec is not None
        frame = int(np.prod(self._spec.shape)) * np.dtype(self._spec.dtype).itemsize
        size = frame * sum(chunk.num_frames for chunk in self.chunks)
        path = self.partial / FRAMES_FILE
        if path.exists() and path.stat().st_size > size:
            os.truncate(path, size)


def _lines(*values: dict[str, Any]) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def save_dataset(store: EpisodeStore, folder: Path) -> None:
    """Write a store; a folder of that name appears whole or not at all.

    Raises:
        ValueError: the folder exists, or the disk is full.
    """
    if folder.exists():
        raise ValueError(f"dataset {folder} exists; delete it or give another name.")
    partial = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        chunk = append_chunk(partial, 0, store, SeenFrames())
        write_metadata(partial, store.spec, [chunk], store.metadata)
        partial.chmod(0o755)
        partial.rename(folder)
    except (OSError, ValueError) as error:
        raise not_written(error, folder, store.nbytes) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def not_written(error: Exception, folder: Path, nbytes: int) -> Exception:
    """In plain words why a dataset was not written, if that is known; else the error itself."""
    reason = error if isinstance(error, OSError) else error.__cause__
    code = reason.errno if isinstance(reason, OSError) else None
    if code == errno.ENOSPC:
        return ValueError(
            f"the disk is full, dataset {folder} was not written; free {nbytes / 2**20:.0f} MiB at "
            "most, or give another folder."
        )
    if code in (errno.ENOTEMPTY, errno.EEXIST):
        return ValueError(
            f"dataset {folder} was written meanwhile by another process; use that one."
        )
    return error
