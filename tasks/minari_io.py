"""Episodes written as Minari datasets, the gymnasium world's format for sharing them.

Minari keeps every observation of every step in full: 4,000 walks of 150 steps in `rooms` take
1.7 GB, 17 s to write and 10 s to read. `EpisodeStore`, which keeps each distinct observation once,
takes 0.7 MB, 0.15 s and 0.02 s. So this is for exchange, and training reads the store.
The way back is `tasks.minari_source`.
"""

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import minari
import numpy as np
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer
from minari.storage.datasets_root_dir import get_dataset_path

from hplan.dataset import EpisodeStore, ObservationSpec
from tasks.minari_source import EXPORTED

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
    observed, acted = _spaces(store.spec)
    description = {"spec": asdict(store.spec), "metadata": store.metadata}
    batches = _buffers(store)
    try:
        with warnings.catch_warnings():
            # Minari wants an author, an address and a link, which are the researcher's to give.
            warnings.filterwarnings("ignore", message=".*is set to None|env_spec is None")
            dataset = minari.create_dataset_from_buffers(
                dataset_id,
                next(batches),
                observation_space=observed,
                action_space=acted,
                algorithm_name=EXPORTED,
                description=json.dumps(description, sort_keys=True),
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
    taken = store.actions[episode, :length]
    return EpisodeBuffer(
        id=episode,
        observations=store.observations(episode),
        actions=taken.astype(np.int64) if store.spec.num_actions else taken,
        rewards=np.zeros(length),
        terminations=np.zeros(length, bool),
        truncations=np.arange(1, length + 1) == length,
    )


def _spaces(spec: ObservationSpec) -> tuple[spaces.Space, spaces.Space]:
    """What gymnasium calls such observations and actions."""
    match spec.kind:
        case "grid":
            high = np.broadcast_to(np.array(spec.num_values) - 1, spec.shape)
            observed = spaces.Box(low=np.zeros_like(high), high=high, dtype=np.uint8)
        case "pixels":
            observed = spaces.Box(0, 255, spec.shape, np.uint8)
        case "vector":
            observed = spaces.Box(-np.inf, np.inf, spec.shape, np.float32)
    if spec.num_actions:
        return observed, spaces.Discrete(spec.num_actions)
    low, high = np.float32([spec.action_low, spec.action_high])
    return observed, spaces.Box(low, high, dtype=np.float32)
