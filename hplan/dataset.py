"""Reward-free episodes, kept small: each distinct observation once, per step an index into them."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

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
        """Of stored actions: float32 where they are continuous; numbers int8, many int16."""
        if not self.num_actions:
            return np.float32
        return np.int8 if self.num_actions <= 128 else np.int16

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
        elif not self._are_allowed(taken := self.actions[self.is_step]):
            problem = f"actions run from {taken.min()} to {taken.max()}"
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
    def is_step(self) -> np.ndarray:
        """(E, T) bool: not padding."""
        return np.arange(self.actions.shape[1]) < self.lengths[:, None]

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
        """Write the dataset; see `hplan.dataset_files`.

        Raises:
            ValueError: the folder exists, or the disk is full; nothing half-written stays.
        """
        from hplan.dataset_writer import save_dataset

        save_dataset(self, Path(folder))

    @classmethod
    def load(
        cls, folder: str | Path, *, task: str | None = None, layout_seed: int | None = None
    ) -> "EpisodeStore":
        """Read a dataset and check every byte of it.

        The frames stay on disk and are read when they are looked at.

        Args:
            folder: where `save` wrote it.
            task: refuse a dataset of another task; None takes any.
            layout_seed: refuse a dataset of another layout; None takes any.

        Raises:
            ValueError: the dataset is absent, truncated, altered, or of another format, task
                or layout.
        """
        from hplan.dataset_files import load_dataset

        return load_dataset(Path(folder), task=task, layout_seed=layout_seed)


class CollectionStopped(ValueError):
    """An environment, or a policy, failed in the middle of a collection.

    Attributes:
        kept: the episodes of the chunk that were finished before; None where there are none.
    """

    def __init__(self, message: str, kept: EpisodeStore | None = None) -> None:
        super().__init__(message)
        self.kept = kept
