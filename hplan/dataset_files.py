"""Datasets on disk: what is in their files, and that every byte of it is checked.

A dataset is a folder with

- `frames.bin`, the distinct observations one after the other, as they are in memory;
- `episodes-00000.npz` and so on, of each chunk of episodes `frame_index`, `actions` and `lengths`;
- `metadata.json`, what the episodes are, and the SHA-256 of each chunk's frames and episodes and of
  itself, so that what is truncated or altered is named.

Format 1 had `frames.npz` and `episodes.npz` instead; it is still read.
"""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hplan.dataset import EpisodeStore, ObservationSpec
from hplan.files import write_atomically
from hplan.joining import SeenFrames

FORMAT_VERSION = 2
METADATA_FILE = "metadata.json"
FRAMES_FILE = "frames.bin"
_EPISODE_ARRAYS = ("frame_index", "actions", "lengths")
_READ_AT_ONCE = 2**20  # bytes


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """What is in the files of one chunk of episodes.

    Attributes:
        file: of the episodes; sha256: of that file.
        num_episodes, num_steps, longest: episodes, env steps in them, in the longest.
        num_frames: in `frames.bin`, behind those of the chunks before; frames_sha256: of these.
        unfinished: the collection stopped in this chunk, which is to be collected again.
    """

    file: str
    sha256: str
    num_episodes: int
    num_steps: int
    longest: int
    num_frames: int
    frames_sha256: str
    unfinished: bool = False


def append_chunk(
    folder: Path, number: int, store: EpisodeStore, seen: SeenFrames, *, unfinished: bool = False
) -> Chunk:
    """Write the episodes of a chunk, and behind the frames of earlier ones those it adds."""
    frames, frame_index = seen.add(store)
    packed = io.BytesIO()
    np.savez_compressed(
        packed, frame_index=frame_index, actions=store.actions, lengths=store.lengths
    )
    file = f"episodes-{number:05d}.npz"
    write_atomically(folder / file, packed.getvalue())
    content = np.ascontiguousarray(frames).data
    with (folder / FRAMES_FILE).open("ab") as end:
        end.write(content)
        end.flush()
        os.fsync(end.fileno())
    return Chunk(
        file=file,
        sha256=_sha256(packed.getvalue()),
        num_episodes=store.num_episodes,
        num_steps=store.num_steps,
        longest=store.actions.shape[1],
        num_frames=len(frames),
        frames_sha256=_sha256(content),
        unfinished=unfinished,
    )


def write_metadata(
    folder: Path, spec: ObservationSpec, chunks: list[Chunk], metadata: dict[str, Any]
) -> None:
    """Write the file that makes a dataset of the folder."""
    content = {
        "format": FORMAT_VERSION,
        "spec": asdict(spec),
        "chunks": [asdict(chunk) for chunk in chunks],
        "metadata": metadata,
    }
    # As it will be read, for tuples come back as lists.
    content = json.loads(json.dumps(content))
    text = json.dumps({**content, "sha256": _content_sha256(content)}, indent=1)
    write_atomically(folder / METADATA_FILE, text + "\n")


def load_dataset(
    folder: Path, *, task: str | None = None, layout_seed: int | None = None
) -> EpisodeStore:
    """Read a dataset and check every byte of it; see `EpisodeStore.load`."""
    content = read_metadata(folder)
    check_origin(folder, content, task=task, layout_seed=layout_seed)
    spec = ObservationSpec.from_dict(content["spec"])
    if content["format"] == 1:
        arrays = _read_format_1(folder, content["files"])
    else:
        chunks = [Chunk(**chunk) for chunk in content["chunks"]]
        arrays = _read_chunks(folder, spec, chunks)
        arrays["frames"] = map_frames(folder, spec, chunks)
    return EpisodeStore(**arrays, spec=spec, metadata=content["metadata"])


def check_origin(
    folder: Path, content: dict[str, Any], *, task: str | None, layout_seed: int | None
) -> None:
    """Refuses a dataset, of that metadata, of another task or layout; None takes any."""
    for key, asked in (("task", task), ("layout_seed", layout_seed)):
        found = content["metadata"].get(key)
        if asked is not None and found != asked:
            raise ValueError(
                f"dataset {folder} is of {key} {found!r}, {asked!r} was asked for; "
                "give another folder or collect again."
            )


def stored_chunks(folder: Path) -> Iterator[EpisodeStore]:
    """A dataset's episodes chunk by chunk, all with the same `frames`, which stay on disk.

    Raises:
        ValueError: as in `load_dataset`.
    """
    content = read_metadata(folder)
    if content["format"] == 1:
        yield load_dataset(folder)
        return
    spec = ObservationSpec.from_dict(content["spec"])
    chunks = [Chunk(**chunk) for chunk in content["chunks"]]
    frames = map_frames(folder, spec, chunks)
    for chunk in chunks:
        arrays = _read_chunks(folder, spec, [chunk])
        yield EpisodeStore(**arrays, frames=frames, spec=spec, metadata=content["metadata"])


def read_metadata(folder: Path) -> dict[str, Any]:
    """The content of `metadata.json`, which says whether it is whole.

    Raises:
        ValueError: no dataset, an altered one, or of another format.
    """
    path = folder / METADATA_FILE
    if not folder.is_dir():
        raise ValueError(
            f"dataset {folder} is absent; run `python -m hplan collect` or give another folder."
        )
    if not path.is_file():
        raise ValueError(
            f"{folder} is not a dataset, it has no {METADATA_FILE}; give another folder."
        )
    try:
        content = json.loads(path.read_text())
        expected = content.pop("sha256")
    except (ValueError, KeyError, AttributeError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error
    _check_sha256(path, _content_sha256(content), str(expected))
    if content["format"] not in (1, FORMAT_VERSION):
        raise ValueError(
            f"dataset {folder} has format {content['format']}, this version reads 1 to "
            f"{FORMAT_VERSION}; collect again or use the version of hplan that wrote it."
        )
    return content


def damaged(path: Path, how: str) -> ValueError:
    """What to say of a file that is not as it was written."""
    folder = path if path.is_dir() else path.parent
    return ValueError(
        f"{path} is truncated or altered ({how}); delete the folder {folder} and collect again."
    )


def map_frames(folder: Path, spec: ObservationSpec, chunks: list[Chunk]) -> np.ndarray:
    """(U, *spec.shape) all frames, which stay on disk and are read when they are looked at."""
    path, shape = folder / FRAMES_FILE, (sum(chunk.num_frames for chunk in chunks), *spec.shape)
    num_bytes = int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize
    size = path.stat().st_size if path.is_file() else -1
    if size != shape[0] * num_bytes:
        raise damaged(path, "absent" if size < 0 else f"{size} bytes, not {shape[0] * num_bytes}")
    with path.open("rb") as file:
        for chunk in chunks:
            found = _sha256_of_next(file, chunk.num_frames * num_bytes)
            _check_sha256(path, found, chunk.frames_sha256)
    # "c": torch wants what it could write to; what is written would not go to the file.
    return np.asarray(np.memmap(path, spec.dtype, mode="c", shape=shape))


def _read_chunks(folder: Path, spec: ObservationSpec, chunks: list[Chunk]) -> dict[str, np.ndarray]:
    num_episodes = sum(chunk.num_episodes for chunk in chunks)
    longest = max(chunk.longest for chunk in chunks)
    arrays = {
        "frame_index": np.zeros((num_episodes, longest + 1), np.int32),
        "actions": np.zeros((num_episodes, longest, *spec.action_shape), spec.action_dtype),
        "lengths": np.zeros(num_episodes, np.int64),
    }
    begin = 0
    for chunk in chunks:
        read = _read_arrays(folder / chunk.file, chunk.sha256)
        if set(read) != set(_EPISODE_ARRAYS):
            raise damaged(folder / chunk.file, f"holds {sorted(read)}")
        rows = slice(begin, begin + chunk.num_episodes)
        arrays["lengths"][rows] = read["lengths"]
        arrays["actions"][rows, : chunk.longest] = read["actions"]
        arrays["frame_index"][rows, : chunk.longest + 1] = read["frame_index"]
        begin += chunk.num_episodes
    return arrays


def _read_format_1(folder: Path, files: dict[str, str]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name, expected in files.items():
        arrays |= _read_arrays(folder / name, expected)
    if set(arrays) != {"frames", *_EPISODE_ARRAYS}:
        raise damaged(folder, f"holds {sorted(arrays)}")
    return arrays


def _read_arrays(path: Path, expected: str) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise damaged(path, "absent")
    _check_sha256(path, _sha256(path.read_bytes()), expected)
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise damaged(path, str(error)) from error


def _sha256(content: Any) -> str:
    return hashlib.sha256(content).hexdigest()


def _sha256_of_next(file: BinaryIO, num_bytes: int) -> str:
    digest = hashlib.sha256()
    while num_bytes and (piece := file.read(min(num_bytes, _READ_AT_ONCE))):
        digest.update(piece)
        num_bytes -= len(piece)
    return digest.hexdigest()


def _check_sha256(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise damaged(path, f"sha256 {found[:12]}, expected {expected[:12]}")


def _content_sha256(content: dict[str, Any]) -> str:
    return _sha256(json.dumps(content, sort_keys=True).encode())
