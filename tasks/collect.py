"""Collect reward-free episodes: whole batches of wandering agents, in one process or several."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX, STATE_TO_IDX

from hplan.dataset import EpisodeStore, ObservationSpec
from tasks.seeds import Stream, stream_generator
from tasks.simulator import NUM_ACTIONS, GridWorld
from tasks.wander import Wanderer, wander

EPISODES_PER_CHUNK = 500


def observation_spec(world: GridWorld) -> ObservationSpec:
    """Describe the world's symbolic grids: objects, colours and states of MiniGrid.

    The third channel holds a door's state (3 values) or the agent's heading (4), so it needs 4.
    """
    num_values = (len(OBJECT_TO_IDX), len(COLOR_TO_IDX), len(STATE_TO_IDX) + 1)
    return ObservationSpec(
        shape=world.background.shape, num_values=num_values, num_actions=NUM_ACTIONS
    )


def collect(
    world: GridWorld,
    *,
    num_episodes: int,
    episode_length: int,
    seed: int,
    wanderer: Wanderer,
    num_workers: int,
    metadata: dict[str, Any] | None = None,
) -> EpisodeStore:
    """Let agents wander from random states on land; the result is the same whatever `num_workers`.

    Args:
        num_episodes: E.
        episode_length: T, env steps of every episode.
        seed: every chunk of episodes draws from its own stream of this seed.
        wanderer: the behaviour policy.
        num_workers: processes; 1 stays in this one, which is quickest below some million steps.
        metadata: plain data to keep beside the episodes.
    """
    for name, value in (
        ("num_episodes", num_episodes),
        ("episode_length", episode_length),
        ("num_workers", num_workers),
    ):
        if value < 1:
            raise ValueError(f"{name} = {value} must be at least 1; give a positive integer.")
    run_chunk = partial(
        _collect_chunk,
        transitions=world.transitions,
        in_lava=world.in_lava,
        num_starts=world.num_land_states,
        num_episodes=num_episodes,
        episode_length=episode_length,
        seed=seed,
        wanderer=wanderer,
    )
    chunks = range(-(-num_episodes // EPISODES_PER_CHUNK))
    if num_workers == 1:
        parts = [run_chunk(chunk) for chunk in chunks]
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(num_workers, len(chunks)), mp_context=context) as pool:
            parts = list(pool.map(run_chunk, chunks))
    states = np.concatenate([part[0] for part in parts])
    actions = np.concatenate([part[1] for part in parts])
    origin = {"seed": seed, "wanderer": asdict(wanderer)}
    return _build_store(world, states, actions, {**(metadata or {}), **origin})


def _collect_chunk(
    chunk: int,
    *,
    transitions: np.ndarray,
    in_lava: np.ndarray,
    num_starts: int,
    num_episodes: int,
    episode_length: int,
    seed: int,
    wanderer: Wanderer,
) -> tuple[np.ndarray, np.ndarray]:
    """Wander for one chunk: (E', T + 1) int32 states and (E', T) int8 actions.

    Args:
        num_starts: the first states, among which an episode may start.
    """
    generator = stream_generator(Stream.DATA, seed, chunk)
    size = min(EPISODES_PER_CHUNK, num_episodes - chunk * EPISODES_PER_CHUNK)
    return wander(
        transitions=transitions,
        in_lava=in_lava,
        starts=generator.integers(num_starts, size=size),
        num_steps=episode_length,
        wanderer=wanderer,
        generator=generator,
    )


def _build_store(
    world: GridWorld, states: np.ndarray, actions: np.ndarray, metadata: dict[str, Any]
) -> EpisodeStore:
    """Keep the observation of each visited state once, in order of first visit."""
    flat = states.reshape(-1)
    first_visit = np.full(world.num_states, flat.size)
    # Reversed, so that of a state's visits the earliest is written last and stays.
    first_visit[flat[::-1]] = np.arange(flat.size - 1, -1, -1)
    num_visited = int((first_visit < flat.size).sum())
    visited = np.argsort(first_visit, kind="stable")[:num_visited]
    frame_of_state = np.zeros(world.num_states, np.int32)
    frame_of_state[visited] = np.arange(num_visited, dtype=np.int32)
    return EpisodeStore(
        frames=world.observe(world.all_states[visited]),
        frame_index=frame_of_state[states],
        actions=actions,
        lengths=np.full(len(actions), actions.shape[1]),
        spec=observation_spec(world),
        metadata=metadata,
    )
