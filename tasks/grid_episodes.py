"""Reward-free episodes in worlds of walls and lava, whole batches of wandering agents at a time."""

import numpy as np

from hplan.dataset import EpisodeStore, ObservationSpec
from tasks.readings import MINIGRID_VALUES
from tasks.simulator import NUM_ACTIONS, GridWorld
from tasks.wander import Wanderer, wander


def observation_spec(world: GridWorld) -> ObservationSpec:
    """Describe the world's symbolic grids: objects, colours and states of MiniGrid."""
    return ObservationSpec(
        shape=world.background.shape, num_values=MINIGRID_VALUES, num_actions=NUM_ACTIONS
    )


def grid_episodes(
    world: GridWorld,
    *,
    num_episodes: int,
    episode_length: int,
    generator: np.random.Generator,
    wanderer: Wanderer,
) -> EpisodeStore:
    """Let agents wander from random states on land.

    Args:
        num_episodes: E.
        episode_length: T, env steps of every episode.
        generator: draws first all starts, then the walks.
        wanderer: the behaviour policy.
    """
    states, actions = wander(
        transitions=world.transitions,
        in_lava=world.in_lava,
        starts=generator.integers(world.num_land_states, size=num_episodes),
        num_steps=episode_length,
        wanderer=wanderer,
        generator=generator,
        lead=wanderer.leads(world),
    )
    return _build_store(world, states, actions)


def _build_store(world: GridWorld, states: np.ndarray, actions: np.ndarray) -> EpisodeStore:
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
    )
