"""Minari datasets made by anybody, read as they are, some episodes at a time."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import minari
import numpy as np
from gymnasium import spaces
from minari.storage.datasets_root_dir import get_dataset_path

from hplan.collection import MINARI, SIZE
from hplan.dataset import EpisodeStore, ObservationSpec
from hplan.joining import joined
from tasks.spaces import OutOfSpace, are_alike, from_actions, spec_of, to_observations

EXPORTED = "hplan"  # algorithm_name of what `tasks.minari_io` wrote
CHUNK_BYTES = 2**26  # of observations, about
_MOST_EPISODES_PER_CHUNK = 500


@dataclass(frozen=True, kw_only=True)
class MinariSource:
    """A local Minari dataset as a source of episodes, opened when it is first looked at.

    Attributes:
        dataset_id: such as `D4RL/pointmaze/umaze-v2`; Minari's folder is MINARI_DATASETS_PATH.
        task_name: of the task that it is to be data of; "" for none.
        task_spec: what that one's observations and actions look like; None takes any.
        task_spaces: gymnasium's spaces of its observations and actions; None takes any. What we
            exported ourselves has spaces that only tell of its spec, and is judged by that.
    """

    dataset_id: str
    task_name: str = ""
    task_spec: ObservationSpec | None = None
    task_spaces: tuple[spaces.Space, spaces.Space] | None = None

    def metadata(self) -> dict[str, Any]:
        """Where the episodes come from; with the seeds of their resets, if Minari knows all.

        Raises:
            ValueError: as `spec`.
        """
        _ = self.spec  # or a refusal, also where the episodes have been converted before
        with self._readable():
            stored = self._dataset.storage.metadata
            size = {
                "episodes": int(self._dataset.total_episodes),
                "steps": int(self._dataset.total_steps),
            }
            seeds = [about.get("seed") for about in self._about(self._dataset.episode_indices)]
        if described := _description(stored):
            return {**described["metadata"], MINARI: self.dataset_id, SIZE: size}
        known = {} if None in seeds else {"reset_seeds": [int(seed) for seed in seeds]}
        return {
            "task": self.dataset_id,
            MINARI: self.dataset_id,
            SIZE: size,
            "behaviour": {"policy": str(stored.get("algorithm_name", "not told"))},
            **known,
        }

    def asked(self) -> dict[str, Any]:
        """How many episodes, and in what chunks."""
        return {
            "episodes in the dataset": int(self._dataset.total_episodes),
            "episodes in a chunk": self._episodes_per_chunk,
        }

    @cached_property
    def spec(self) -> ObservationSpec:
        """What observations and actions look like.

        Raises:
            ValueError: the dataset is absent or damaged, or its spaces cannot be taken, or are
                not those of the task.
        """
        held = self._dataset.observation_space, self._dataset.action_space
        if described := _description(self._dataset.storage.metadata):
            spec = ObservationSpec.from_dict(described["spec"])
        else:
            try:
                spec = spec_of(*held)
            except ValueError as error:
                raise ValueError(f"Minari dataset {self.dataset_id}: {error}") from error
        wanted: Any = self.task_spec
        fits = wanted in (None, spec)
        if self.task_spaces is not None and not described:
            wanted = _in_words(self.task_spaces)
            fits = fits and are_alike(self.task_spaces, held)
        if not fits:
            raise ValueError(
                f"Minari dataset {self.dataset_id} has {_in_words(held)}, task "
                f"'{self.task_name}' has {wanted}; give the dataset of this task, or the task of "
                "this dataset."
            )
        return spec

    def chunks(self, first: int) -> Iterator[EpisodeStore]:
        """The episodes in their order, from chunk `first` on.

        Raises:
            ValueError: an observation or action is not of its space, or not a finite number;
                names the episode and the step.
        """
        rows = self._dataset.episode_indices
        for begin in range(first * self._episodes_per_chunk, len(rows), self._episodes_per_chunk):
            with self._readable():
                chunk = self._chunk(rows[begin : begin + self._episodes_per_chunk])
            yield chunk

    def held_out(self, num_episodes: int, seed: int) -> EpisodeStore | None:
        """None: there are no others than those of the dataset."""
        return None

    @cached_property
    def _dataset(self) -> minari.MinariDataset:
        folder = get_dataset_path(self.dataset_id)
        if not folder.exists():
            raise ValueError(
                f"Minari dataset {self.dataset_id} is absent from {folder.parent}; fetch it with "
                f"`minari download {self.dataset_id}`, give another id or set MINARI_DATASETS_PATH."
            )
        with self._readable():
            return minari.load_dataset(self.dataset_id)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, KeyError, RuntimeError) as error:
            folder = get_dataset_path(self.dataset_id)
            raise ValueError(
                f"Minari dataset {self.dataset_id} in {folder} is truncated or altered ({error}); "
                "delete the folder and fetch or export it again."
            ) from error

    @cached_property
    def _episodes_per_chunk(self) -> int:
        num_bytes = int(np.prod(self.spec.shape)) * np.dtype(self.spec.dtype).itemsize
        per_episode = num_bytes * (1 + self._dataset.total_steps / self._dataset.total_episodes)
        return int(np.clip(CHUNK_BYTES // per_episode, 1, _MOST_EPISODES_PER_CHUNK))

    def _about(self, rows: np.ndarray) -> list[dict[str, Any]]:
        return list(self._dataset.storage.get_episode_metadata(rows))

    def _chunk(self, rows: np.ndarray) -> EpisodeStore:
        frames, actions = [], []
        for episode in self._dataset.iterate_episodes(rows):
            taken = self._taken(episode.id, from_actions, "action_space", episode.actions)
            seen = self._taken(
                episode.id, to_observations, "observation_space", episode.observations
            )
            if len(seen) != len(taken) + 1 or not len(taken):
                raise ValueError(
                    f"Minari dataset {self.dataset_id}, episode {episode.id}: {len(seen)} "
                    f"observations and {len(taken)} actions; there must be at least one action, "
                    "and one observation more; mend the dataset."
                )
            frames.append(seen)
            actions.append(taken)
        lengths = np.array([len(taken) for taken in actions])
        frame_index = np.zeros((len(lengths), lengths.max() + 1), np.int32)
        padded = np.zeros(
            (len(lengths), lengths.max(), *self.spec.action_shape), self.spec.action_dtype
        )
        begin = 0
        for episode, length in enumerate(lengths):
            frame_index[episode, : length + 1] = begin + np.arange(length + 1)
            padded[episode, :length] = actions[episode]
            begin += length + 1
        return EpisodeStore(
            frames=np.concatenate(frames),
            frame_index=frame_index,
            actions=padded,
            lengths=lengths,
            spec=self.spec,
        )

    def _taken(self, episode: int, read: Any, space: str, values: Any) -> np.ndarray:
        """What a stack makes of an episode's actions or observations."""
        try:
            return read(getattr(self._dataset, space), values)
        except OutOfSpace as error:
            raise ValueError(
                f"Minari dataset {self.dataset_id}, episode {episode}, step {error.row}: {error}; "
                "mend the dataset, or give another."
            ) from error


def import_minari(dataset_id: str) -> EpisodeStore:
    """Read a local Minari dataset into memory.

    Raises:
        ValueError: the dataset is absent, cannot be read, or holds what cannot be taken.
    """
    source = MinariSource(dataset_id=dataset_id)
    metadata = source.metadata()
    return joined(source.chunks(0), metadata)


def _in_words(observed_and_acted: tuple[spaces.Space, spaces.Space]) -> str:
    observed, acted = (" ".join(str(space).split()) for space in observed_and_acted)
    return f"observations {observed} and actions {acted}"


def _description(stored: dict[str, Any]) -> dict[str, Any] | None:
    """The spec and metadata that an export of ours tells of; None of another dataset."""
    if stored.get("algorithm_name") != EXPORTED:
        return None
    return json.loads(stored["description"])
