"""What `tasks.bench` measures of the trip: env steps with their observations, both ways."""

import gymnasium as gym
import numpy as np
from minigrid.wrappers import FullyObsWrapper

from tasks.trip.env import TRIP_IDS
from tasks.trip.sight import TripBatch
from tasks.trip.travellers import anywhere
from tasks.trip.world import NUM_ACTIONS

_NUM_AGENTS, _NUM_STEPS, _MINIGRID_STEPS = 256, 50, 200


def batched_steps() -> int:
    """Steps 256 travellers all over the journey, and observes each; returns the env steps."""
    generator = np.random.default_rng(0)
    batch = TripBatch(anywhere(_NUM_AGENTS, generator))
    for actions in generator.integers(NUM_ACTIONS, size=(_NUM_STEPS, _NUM_AGENTS)):
        batch.step(actions)
        batch.observe()
    return _NUM_AGENTS * _NUM_STEPS


def minigrid_steps() -> int:
    """Steps the environment in MiniGrid's own FullyObsWrapper; returns the env steps."""
    env = FullyObsWrapper(gym.make(TRIP_IDS["trip"]))
    env.reset(seed=0)
    for action in np.random.default_rng(0).integers(NUM_ACTIONS, size=_MINIGRID_STEPS):
        env.step(action)
    env.close()
    return _MINIGRID_STEPS
