"""Where a run's episodes come from: a folder of earlier ones, or the task itself."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from hplan.config import Config
from hplan.files import as_file_name
from hplan.run import is_main_process
from hplan.shell import say

if TYPE_CHECKING:
    from hplan.data import ClipSampler
    from hplan.dataset import EpisodeStore
    from hplan.objective import ClipBatch

HELD_OUT_SEED = 1_000_003  # added to the seed: episodes that no training run sees
HELD_OUT_EPISODES = 256
HELD_OUT_CLIPS = 64
ENV_STEPS_PER_WORKER = 4_000_000  # fewer are collected sooner than a second process has started


@runtime_checkable
class CollectsEpisodes(Protocol):
    """What a task is here."""

    name: str
    layout_seed: int

    def collect(
        self, *, num_episodes: int, episode_length: int, seed: int, num_workers: int
    ) -> "EpisodeStore":
        """Reward-free episodes of the behaviour policy."""
        ...


def dataset_folder(config: Config) -> Path:
    """Where the episodes are: data.folder itself if it is a dataset, else a folder in it."""
    from hplan.dataset import METADATA_FILE

    folder = Path(config.data.folder)
    if (folder / METADATA_FILE).exists():
        return folder
    task, data = config.task, config.data
    return folder / (
        f"{as_file_name(task.name)}-layout{task.layout_seed}-"
        f"{data.num_episodes}x{data.episode_length}-s{config.seed}"
    )


def episodes(config: Config, task: CollectsEpisodes) -> "EpisodeStore":
    """The training episodes: loaded and checked, or collected and kept."""
    from hplan.dataset import EpisodeStore

    folder = dataset_folder(config)
    if folder.exists():
        return EpisodeStore.load(folder, task=task.name, layout_seed=task.layout_seed)
    num_steps = config.data.num_episodes * config.data.episode_length
    say(f"data: {folder} is missing; collecting {num_steps} env steps")
    workers = min(os.cpu_count() or 1, 1 + num_steps // ENV_STEPS_PER_WORKER)
    store = task.collect(
        num_episodes=config.data.num_episodes,
        episode_length=config.data.episode_length,
        seed=config.seed,
        num_workers=workers,
    )
    if is_main_process():
        store.save(folder)
    return store


def clip_sources(
    config: Config, task: CollectsEpisodes, store: "EpisodeStore"
) -> tuple["ClipSampler", "ClipBatch"]:
    """Where training draws its clips, and the held-out clips of validation."""
    from hplan.data import ClipSampler

    held_out = task.collect(
        num_episodes=HELD_OUT_EPISODES,
        episode_length=config.data.episode_length,
        seed=config.seed + HELD_OUT_SEED,
        num_workers=1,
    )
    training = config.training
    sampler, validation = (
        ClipSampler(
            of,
            batch_size=batch_size,
            clip_length=training.clip_length,
            num_goals=training.num_goals,
            seed=config.seed,
        )
        for of, batch_size in ((store, training.batch_size), (held_out, HELD_OUT_CLIPS))
    )
    return sampler, validation.draw(0)
