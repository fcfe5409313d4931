"""Reward-free episodes, kept small: each distinct observation once, per step an index into them.

On disk a dataset is a folder: `frames.npz`, `episodes.npz` and `metadata.json`, which holds the
SHA-256 of the other two and of its own content, so that a truncated or altered file is named.
"""

import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
import zipfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

FORMAT_VERSION = 1
METADATA_FILE = "metadata.json"

Kind = Literal["grid", "pixels", "vector"]


@dataclass(frozen=True, kw_only=True)
class ObservationSpec:
    """What a level needs to know of a world to read its observations and to act in it.

    Attributes:
        kind: "grid", a symbolic grid of small integers; "pixels", an image; "vector", numbers.
        shape: of one observation; (width, height, channels) of a grid, (height, width, channels)
            of an image, (D,) of a vector.
        num_values: of a grid, the size of each channel's vocabulary; values run from 0 to one less.
        num_actions: primitive actions, numbered from 0; 0 where actions are continuous.
        action_low, action_high: of continuous actions, the bounds of each dimension.
    """

    kind: Kind = "grid"
    shape: tuple[int, ...]
    num_values: tuple[int, ...] = ()
    num_actions: int = 0
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        num_axes, vocabularies = {
            "grid": (3, self.shape[-1]), "pixels": (3, 0), "vector": (1, 0)
        }[self.kind]  # fmt: skip
        if len(self.shape) != num_axes or len(self.num_values) != vocabularies:
            raise ValueError(
                f"observation kind '{self.kind}', shape {self.shape}, num_values "
                f"{self.num_values}: a grid has shape (width, height, channels) and one vocabulary "
                "size per channel, an image (height, width, channels), a vector (length,), and "
                "these no vocabularies."
            )
        bounds = zip(self.action_low, self.action_high, strict=True)
        bounded = all(-math.inf < low < high < math.inf for low, high in bounds)
        if bool(self.num_actions) == bool(self.action_low) or not bounded:
            raise ValueError(
                f"num_actions = {self.num_actions}, action_low = {self.action_low}, action_high = "
                f"{self.action_high}: actions are either numbered or have finite bounds, low < high"
            )

    @property
    def dtype(self) -> type[np.generic]:
        """Of observations: uint8, of vectors float32."""
        return np.float32 if self.kind == "vector" else np.uint8

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Of one action: () where they are numbered, (A,) where they are continuous."""
        return () if self.num_actions else (len(self.action_low),)

    @property
    def action_dtype(self) -> type[np.generic]:
        """Of stored actions: int8 where they are numbered, float32 where they are continuous."""
        return np.int8 if self.num_actions else np.float32

    def random_actions(self, random: np.random.Generator, count: int) -> np.ndarray:
        """(count,) int64 or (count, A) float32, evenly over all that are allowed."""
        if self.num_actions:
            return random.integers(0, self.num_actions, count)
        drawn = random.uniform(self.action_low, self.action_high, (count, len(self.action_low)))
        return drawn.astype(np.float32)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ObservationSpec":
        """The inverse of `dataclasses.asdict`, from JSON too, which has lists for tuples."""
        plain = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**plain)


@dataclass(frozen=True, kw_only=True, eq=False)
class EpisodeStore:
    """E episodes of at most T actions.

    Attributes:
        frames: (U, *spec.shape) of spec.dtype, the distinct observations, in order of first
            occurrence.
        frame_index: (E, T + 1) int32, the frame seen at each step, index 0 the first observation.
        actions: (E, T, *spec.action_shape) of spec.action_dtype, the action taken after each
            observation but the last.
        lengths: (E,) int64, actions in each episode; what lies beyond is padding, zero.
        spec: of one observation.
        metadata: plain data on the origin: task, layout_seed, seed, wanderer, version.
    """

    frames: np.ndarray
    frame_index: np.ndarray
    actions: np.ndarray
    lengths: np.ndarray
    spec: ObservationSpec
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        num_episodes, num_actions = self.actions.shape[:2]
        problem = None
        if num_episodes < 1 or num_actions < 1:
            problem = f"actions of shape {self.actions.shape} hold no step"
        elif self.frames.shape[1:] != self.spec.shape or self.frames.dtype != self.spec.dtype:
            problem = f"frames are {self.frames.dtype} {self.frames.shape[1:]}"
        elif self.frame_index.shape != (num_episodes, num_actions + 1):
            problem = f"frame_index has shape {self.frame_index.shape}"
        elif self.lengths.shape != (num_episodes,):
            problem = f"lengths has shape {self.lengths.shape}"
        elif self.lengths.min() < 1 or self.lengths.max() > num_actions:
            problem = f"lengths run from {self.lengths.min()} to {self.lengths.max()}"
        elif self.frame_index.min() < 0 or self.frame_index.max() >= len(self.frames):
            problem = f"frame_index runs from {self.frame_index.min()} to {self.frame_index.max()}"
        elif self.actions.shape[2:] != self.spec.action_shape:
            problem = f"actions have shape {self.actions.shape[2:]} each"
        elif not self._are_allowed(self.actions):
            problem = f"actions run from {self.actions.min()} to {self.actions.max()}"
        if problem:
            raise ValueError(
                f"the episodes do not fit together: {problem}, with {len(self.frames)} frames, "
                f"actions of shape {self.actions.shape} and {self.spec}; collect again."
            )

    def _are_allowed(self, actions: np.ndarray) -> bool:
        if self.spec.num_actions:
            return bool(actions.min() >= 0 and actions.max() < self.spec.num_actions)
        low, high = np.float32([self.spec.action_low, self.spec.action_high])
        return bool(((actions >= low) & (actions <= high)).all())

    @property
    def num_episodes(self) -> int:
        """E."""
        return len(self.lengths)

    @property
    def num_steps(self) -> int:
        """Env steps in all episodes, padding left out."""
        return int(self.lengths.sum())

    def sample(self, most: int = 4096) -> np.ndarray:
        """(M, *obs_shape) distinct observations, at most so many, spread over the data."""
        return self.frames[:: math.ceil(len(self.frames) / most)]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays in memory."""
        return sum(a.nbytes for a in (self.frames, self.frame_index, self.actions, self.lengths))

    def windows_of(self, length: int) -> int:
        """Count the clips of `length` env steps that the episodes hold, one per possible start."""
        return int(np.maximum(self.lengths - length + 1, 0).sum())

    def fraction_with(self, length: int) -> float:
        """Share in [0, 1] of the episodes that hold at least one clip of `length` env steps."""
        return float((self.lengths >= length).mean())

    def observations(self, episode: int) -> np.ndarray:
        """(length + 1, *spec.shape): what was seen in one episode."""
        return self.frames[self.frame_index[episode, : self.lengths[episode] + 1]]

    def save(self, folder: str | Path) -> None:
        """Write the dataset; a folder of that name appears whole or not at all.

        Raises:
            ValueError: the folder exists, or the disk is full.
        """
        folder = Path(folder)
        if folder.exists():
            raise ValueError(f"dataset {folder} exists; delete it or give another name.")
        partial = None
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            self._write(partial)
            partial.chmod(0o755)
            partial.rename(folder)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise ValueError(
                    f"the disk is full, dataset {folder} was not written; free "
                    f"{self.nbytes / 2**20:.0f} MiB at most, or give another folder."
                ) from error
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise ValueError(
                    f"dataset {folder} was written meanwhile by another process; use that one."
                ) from error
            raise
        finally:
            if partial is not None:
                shutil.rmtree(partial, ignore_errors=True)

    def _write(self, folder: Path) -> None:
        np.savez_compressed(folder / "frames.npz", frames=self.frames)
        np.savez_compressed(
            folder / "episodes.npz",
            frame_index=self.frame_index,
            actions=self.actions,
            lengths=self.lengths,
        )
        content = {
            "format": FORMAT_VERSION,
            "files": {path.name: _sha256(path.read_bytes()) for path in sorted(folder.iterdir())},
            "spec": asdict(self.spec),
            "metadata": self.metadata,
        }
        text = json.dumps({**content, "sha256": _content_sha256(content)}, indent=2)
        (folder / METADATA_FILE).write_text(text + "\n")
        for path in folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())

    @classmethod
    def load(
        cls, folder: str | Path, *, task: str | None = None, layout_seed: int | None = None
    ) -> "EpisodeStore":
        """Read a dataset and check every byte of it.

        Args:
            folder: where `save` wrote it.
            task: refuse a dataset of another task; None takes any.
            layout_seed: refuse a dataset of another layout; None takes any.

        Raises:
            ValueError: the dataset is absent, truncated, altered, or of another format, task
                or layout.
        """
        folder = Path(folder)
        content = _read_metadata(folder)
        for key, asked in (("task", task), ("layout_seed", layout_seed)):
            found = content["metadata"].get(key)
            if asked is not None and found != asked:
                raise ValueError(
                    f"dataset {folder} is of {key} {found!r}, {asked!r} was asked for; "
                    "give another folder or collect again."
                )
        arrays: dict[str, np.ndarray] = {}
        for name, expected in content["files"].items():
            arrays |= _read_arrays(folder / name, expected)
        expected_names = {f.name for f in fields(cls)} - {"spec", "metadata"}
        if set(arrays) != expected_names:
            raise _damaged(folder, f"holds {sorted(arrays)}, not {sorted(expected_names)}")
        spec = ObservationSpec.from_dict(content["spec"])
        return cls(**arrays, spec=spec, metadata=content["metadata"])


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content_sha256(content: dict[str, Any]) -> str:
    return _sha256(json.dumps(content, sort_keys=True).encode())


def _damaged(path: Path, how: str) -> ValueError:
    folder = path if path.is_dir() else path.parent
    return ValueError(
        f"{path} is truncated or altered ({how}); delete the folder {folder} and collect again."
    )


def _read_metadata(folder: Path) -> dict[str, Any]:
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
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    found = _content_sha256(content)
    if found != expected:
        raise _damaged(path, f"sha256 {found[:12]}, expected {str(expected)[:12]}")
    if content["format"] != FORMAT_VERSION:
        raise ValueError(
            f"dataset {folder} has format {content['format']}, this version reads "
            f"{FORMAT_VERSION}; collect again or use the version of hplan that wrote it."
        )
    return content


def _read_arrays(path: Path, expected: str) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise _damaged(path, "absent")
    found = _sha256(path.read_bytes())
    if found != expected:
        raise _damaged(path, f"sha256 {found[:12]}, expected {expected[:12]}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise _damaged(path, str(error)) from error
