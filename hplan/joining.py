"""Puts the episodes of several stores together, each distinct observation once where it pays."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from hplan.dataset import EpisodeStore, ObservationSpec

MOST_REMEMBERED = 1_000_000  # digests, some 150 MB


class SeenFrames:
    """Numbers the frames of one store after another; one already seen keeps its number.

    Only grids are looked up: images and vectors hardly ever come twice. A digest is remembered of
    the first million distinct grids, so that memory has a bound; later ones may be kept twice.
    """

    def __init__(self) -> None:
        self.spec: ObservationSpec | None = None
        self.num_frames = 0
        self._number: dict[bytes, int] = {}

    def add(self, store: EpisodeStore) -> tuple[np.ndarray, np.ndarray]:
        """(U', *spec.shape) the store's frames not seen before, and its new (E, T + 1) index.

        Raises:
            ValueError: its spec is not that of the stores before.
        """
        if store.spec != (self.spec or store.spec):
            raise ValueError(f"episodes of {store.spec} do not go with those of {self.spec}.")
        self.spec = store.spec
        begin, number = self.num_frames, np.empty(len(store.frames), np.int64)
        for row, frame in enumerate(store.frames):
            number[row] = self._number_of(frame)
        # The new ones are those with new numbers, where these come up first.
        values, rows = np.unique(number, return_index=True)
        is_seen = np.arange(store.frame_index.shape[1]) <= store.lengths[:, None]
        index = np.where(is_seen, number[store.frame_index], 0).astype(np.int32)
        return store.frames[rows[values >= begin]], index

    def restore(self, spec: ObservationSpec, frames: np.ndarray) -> None:
        """Begin with frames, (U, *spec.shape), that an earlier process has numbered from 0."""
        self.spec, self.num_frames = spec, len(frames)
        if spec.kind == "grid":
            for row, frame in enumerate(frames[:MOST_REMEMBERED]):
                self._number.setdefault(_digest(frame), row)

    def _number_of(self, frame: np.ndarray) -> int:
        assert self.spec is not None
        number = None
        if self.spec.kind == "grid":
            digest = _digest(frame)
            number = self._number.get(digest)
            if number is None and len(self._number) < MOST_REMEMBERED:
                self._number[digest] = self.num_frames
        if number is None:
            number = self.num_frames
            self.num_frames += 1
        return number


def _digest(frame: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(frame).data, digest_size=16).digest()


def joined(parts: Iterable[EpisodeStore], metadata: dict[str, Any]) -> EpisodeStore:
    """All episodes of several stores, of several lengths too, in one.

    Raises:
        ValueError: the stores differ in their spec, or there are none.
    """
    seen = SeenFrames()
    frames, indices, actions, lengths = [], [], [], []
    for part in parts:
        fresh, index = seen.add(part)
        frames.append(fresh)
        indices.append(index)
        actions.append(part.actions)
        lengths.append(part.lengths)
    if seen.spec is None:
        raise ValueError("there are no episodes to join; collect at least one.")
    return EpisodeStore(
        frames=np.concatenate(frames),
        frame_index=stacked(indices),
        actions=stacked(actions),
        lengths=np.concatenate(lengths),
        spec=seen.spec,
        metadata=metadata,
    )


def stacked(parts: list[np.ndarray]) -> np.ndarray:
    """Rows of arrays (E, T, ...) with several T, one after the other, padded with zeros."""
    longest = max(part.shape[1] for part in parts)
    rows = np.zeros((sum(map(len, parts)), longest, *parts[0].shape[2:]), parts[0].dtype)
    begin = 0
    for part in parts:
        rows[begin : begin + len(part), : part.shape[1]] = part
        begin += len(part)
    return rows
