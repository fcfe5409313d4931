"""Files that are there whole or not at all."""

import errno
import os
from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file that appears whole or not at all; its folder is made if it is missing.

    Raises:
        ValueError: the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        needed = len(data) // 1024 + 1
        raise ValueError(
            f"the disk is full, {path} was not written; free {needed} KiB at least"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def as_file_name(name: str) -> str:
    """The name of a task, such as a gymnasium id, as one part of a path."""
    return name.replace("/", "-").replace(":", "-")
