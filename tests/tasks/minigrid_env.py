"""MiniGrid's own environments, beside which the simulator is held."""

from typing import Any

import gymnasium as gym
import numpy as np
from minigrid.wrappers import FullyObsWrapper


def fully_observed(env_id: str, options: dict[str, Any], layout_seed: int) -> gym.Env:
    """MiniGrid's own full-observation path, with the green goal taken away."""
    env = FullyObsWrapper(gym.make(env_id, max_steps=10**6, **options))
    env.reset(seed=layout_seed)
    grid = env.unwrapped.grid
    grid.grid = [None if cell is not None and cell.type == "goal" else cell for cell in grid.grid]
    return env


def place(env: gym.Env, state: np.ndarray) -> None:
    """Puts the agent at (x, y, heading)."""
    env.unwrapped.agent_pos = (int(state[0]), int(state[1]))
    env.unwrapped.agent_dir = int(state[2])
