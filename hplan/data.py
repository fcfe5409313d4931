"""Batches of clips, drawn from a store of episodes as a function of seed and update alone."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch.utils.data import IterableDataset

from hplan.dataset import EpisodeStore
from hplan.distributed import rank, world_size
from hplan.level_config import LevelConfig, strides
from hplan.objective import ClipBatch


def check_clips(store: EpisodeStore, levels: list[LevelConfig], clip_length: int) -> None:
    """Refuses clips or episodes too short for what the depth of the stack needs.

    Raises:
        ValueError: names the level, what it needs, and what the data has.
    """
    for k, (level, stride) in enumerate(zip(levels, strides(levels), strict=True)):
        num_steps = level.loss.longest
        need = stride * num_steps
        share = float(np.mean(store.lengths >= need))
        if share < 0.5:
            raise ValueError(
                f"level {k} needs clips of {need + 1} observations ({num_steps} steps of {stride} "
                f"env steps); {share:.0%} of your episodes are that long; {_longer(store)}, or "
                "lower its ratio, rollout_depth or distance_backup"
            )
        if clip_length < need:
            raise ValueError(
                f"training.clip_length = {clip_length}; level {k} needs clips of at least {need} "
                f"env steps ({num_steps} steps of {stride}); raise it, or lower the level's ratio, "
                "rollout_depth or distance_backup"
            )
    if not np.any(store.lengths >= clip_length):
        raise ValueError(
            f"training.clip_length = {clip_length}; the longest episode has "
            f"{int(store.lengths.max())} env steps; collect longer episodes, or lower clip_length"
        )


def _longer(store: EpisodeStore) -> str:
    """How to get longer episodes: such as differ in length were not ended by what was asked for."""
    if np.mean(store.lengths < store.lengths.max()) > 0.5:
        return (
            "the environment ends most of them by itself, whatever data.episode_length is; give a "
            "policy that keeps them going (data.policy)"
        )
    return "collect longer episodes (data.episode_length)"


class ClipSampler:
    """Draws batches of clips from a store.

    Args:
        batch_size: clips of all processes together.
        clip_length: T, env steps.
        num_goals: G, observations of other walks beside the clips.
        evenly: what is drawn evenly: "starts" of clips; or "steps", of which each clip has one
            anywhere in it. Of an episode's first steps the fewest clips hold any.
    """

    def __init__(
        self,
        store: EpisodeStore,
        *,
        batch_size: int,
        clip_length: int,
        num_goals: int,
        seed: int,
        evenly: Literal["starts", "steps"] = "starts",
    ) -> None:
        self.frames = torch.from_numpy(store.frames)
        self.index = store.frame_index
        self.actions = store.actions
        self.is_numbered = bool(store.spec.num_actions)
        self.long_enough = np.flatnonzero(store.lengths >= clip_length)
        self.lengths = store.lengths
        self.batch_size = batch_size
        self.clip_length = clip_length
        self.num_goals = num_goals
        self.seed = seed
        self.evenly = evenly

    def draw(self, update: int) -> ClipBatch:
        """This process's share of the batch of one update; the batch is the same for any number."""
        random = np.random.default_rng((self.seed, update))
        episode = random.choice(self.long_enough, self.batch_size)
        last = self.lengths[episode] - self.clip_length
        if self.evenly == "starts":
            start = random.integers(0, last + 1)
        else:
            step = random.integers(0, self.lengths[episode])
            start = step - random.integers(0, self.clip_length, self.batch_size)
            start = np.clip(start, 0, last)
        other = random.integers(0, len(self.lengths), self.num_goals)
        moment = random.integers(0, self.lengths[other] + 1)
        share = slice(
            rank() * self.batch_size // world_size(), (rank() + 1) * self.batch_size // world_size()
        )
        times = start[share, None] + np.arange(self.clip_length + 1)
        rows = episode[share, None]
        seen = torch.from_numpy(self.index[rows, times]).long()
        goals = torch.from_numpy(self.index[other, moment]).long()
        actions = torch.from_numpy(self.actions[rows, times[:, :-1]])
        distinct, position = torch.unique(torch.cat([seen.flatten(), goals]), return_inverse=True)
        return ClipBatch(
            frames=self.frames[distinct],
            index=position[: seen.numel()].view_as(seen),
            actions=actions.long() if self.is_numbered else actions,
            goals=position[seen.numel() :],
        )


class ClipStream(IterableDataset):
    """The batches of a training run, from update `first` on."""

    def __init__(self, sampler: ClipSampler, *, first: int, last: int) -> None:
        self.sampler = sampler
        self.first = first
        self.last = last

    def __iter__(self) -> Iterator[ClipBatch]:
        for update in range(self.first, self.last):
            yield self.sampler.draw(update)
