"""Episodes as Minari datasets, the gymnasium world's format for sharing them.

Minari keeps every observation of every step in full: 4,000 walks of 150 steps in `rooms` take
1.7 GB, 17 s to write and 10 s to read. `EpisodeStore`, which keeps each distinct observation once,
takes 0.7 MB, 0.15 s and 0.02 s. So this is for exchange, and training reads the store.
"""

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import minari
import numpy as np
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer
from minari.storage.datasets_root_dir import get_dataset_path

from hplan.dataset import EpisodeStore, ObservationSpec

_ALGORITHM = "hplan wanderer"
_EPISODES_PER_WRITE = 100


def export_minari(store: EpisodeStore, dataset_id: str) -> None:
    """Write a store as the local Minari dataset `dataset_id`, such as `hplan/rooms-v0`, lossless.

    Minari's folder is set by MINARI_DATASETS_PATH. Memory stays small: 100 episodes at a time.

    Raises:
        ValueError: the dataset exists, or the disk is full; nothing half-written stays.
    """
    folder = get_dataset_path(dataset_id)
    if folder.exists():
        raise ValueError(
            f"Minari dataset {dataset_id} exists in {folder}; delete it or give another id."
        )
    high = np.broadcast_to(np.array(store.spec.num_values) - 1, store.spec.shape)
    observation_space = spaces.Box(low=np.zeros_like(high), high=high, dtype=np.uint8)
    batches = _buffers(store)
    try:
        with warnings.catch_warnings():
            # Minari wants an author, an address and a link, which are the researcher's to give.
            warnings.filterwarnings("ignore", message=".*is set to None|env_spec is None")
            dataset = minari.create_dataset_from_buffers(
                dataset_id,
                next(batches),
                observation_space=observation_space,
                action_space=spaces.Discrete(store.spec.num_actions),
                algorithm_name=_ALGORITHM,
                description=json.dumps(store.metadata, sort_keys=True),
                jpeg_encoding=False,
            )
        for batch in batches:
            dataset.update_dataset_from_buffer(batch)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise ValueError(
                f"Minari dataset {dataset_id} was not written ({error}); free space in "
                f"{folder.parent} or set MINARI_DATASETS_PATH."
            ) from error
        raise


def import_minari(dataset_id: str) -> EpisodeStore:
    """Read a local Minari dataset of symbolic grids, (width, height, channels) uint8.

    Raises:
        ValueError: the dataset is absent, cannot be read, or is not one of symbolic grids.
    """
    folder = get_dataset_path(dataset_id)
    if not folder.exists():
        raise ValueError(
            f"Minari dataset {dataset_id} is absent from {folder.parent}; give another id or set "
            "MINARI_DATASETS_PATH."
        )
    try:
        dataset = minari.load_dataset(dataset_id)
        spec = _spec(dataset)
        return _store(dataset, spec)
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"Minari dataset {dataset_id} in {folder} is truncated or altered ({error}); delete "
            "the folder and fetch or export it again."
        ) from error


def minari_nbytes(dataset_id: str) -> int:
    """Bytes that a local Minari dataset takes on disk."""
    return sum(
        os.path.getsize(Path(folder) / name)
        for folder, _, names in os.walk(get_dataset_path(dataset_id))
        for name in names
    )


def _buffers(store: EpisodeStore) -> Iterator[list[EpisodeBuffer]]:
    for first in range(0, store.num_episodes, _EPISODES_PER_WRITE):
        episodes = range(first, min(first + _EPISODES_PER_WRITE, store.num_episodes))
        yield [_buffer(store, episode) for episode in episodes]


def _buffer(store: EpisodeStore, episode: int) -> EpisodeBuffer:
    length = int(store.lengths[episode])
    return EpisodeBuffer(
        id=episode,
        observations=store.observations(episode),
        actions=store.actions[episode, :length].astype(np.int64),
        rewards=np.zeros(length),
        terminations=np.zeros(length, bool),
        truncations=np.arange(1, length + 1) == length,
    )


def _spec(dataset: minari.MinariDataset) -> ObservationSpec:
    observed, acted = dataset.observation_space, dataset.action_space
    is_grid = isinstance(observed, spaces.Box) and len(observed.shape) == 3
    if not is_grid or observed.dtype != np.uint8 or not isinstance(acted, spaces.Discrete):
        raise ValueError(
            f"Minari dataset {dataset.id} has observations {observed} and actions {acted}; only "
            "symbolic grids, (width, height, channels) uint8, with discrete actions can be read."
        )
    num_values = observed.high.astype(int).max(axis=(0, 1)) + 1
    return ObservationSpec(
        shape=observed.shape, num_values=tuple(num_values.tolist()), num_actions=int(acted.n)
    )


def _store(dataset: minari.MinariDataset, spec: ObservationSpec) -> EpisodeStore:
    """Find the distinct observations again, in order of first occurrence."""
    seen: dict[bytes, int] = {}
    rows, actions = [], []
    for episode in dataset.iterate_episodes():
        rows.append([seen.setdefault(image.tobytes(), len(seen)) for image in episode.observations])
        actions.append(np.asarray(episode.actions))
    lengths = np.array([len(taken) for taken in actions])
    frame_index = np.zeros((len(rows), lengths.max() + 1), np.int32)
    padded_actions = np.zeros((len(rows), lengths.max()), np.int8)
    for episode, length in enumerate(lengths):
        frame_index[episode, : length + 1] = rows[episode]
        padded_actions[episode, :length] = actions[episode]
    return EpisodeStore(
        frames=np.frombuffer(b"".join(seen), np.uint8).reshape(-1, *spec.shape).copy(),
        frame_index=frame_index,
        actions=padded_actions,
        lengths=lengths,
        spec=spec,
        metadata=_metadata(dataset),
    )


def _metadata(dataset: minari.MinariDataset) -> dict:
    """What `export_minari` put in the description; of a dataset of others, its id."""
    stored = dataset.storage.metadata
    if stored.get("algorithm_name") == _ALGORITHM:
        return json.loads(stored["description"])
    return {"task": dataset.id}
