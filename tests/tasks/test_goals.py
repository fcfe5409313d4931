"""What the environments of walls and lava refuse; `test_battery.py` has all that they do."""

import gymnasium as gym
import pytest

from tasks.environments import build_env
from tasks.goals import SymbolicGoal


def test_start_in_a_wall_and_no_steps_are_refused():
    env = build_env("rooms-tiny", 3, max_steps=29)
    with pytest.raises(ValueError, match=r"state \(0, 0, 0\) is in a wall"):
        env.reset(options={"start": (0, 0, 0)})
    with pytest.raises(ValueError, match="max_steps = 0"):
        SymbolicGoal(gym.make("MiniGrid-FourRooms-v0"), layout_seed=0, max_steps=0)


def test_start_and_goal_are_drawn_in_different_cells_of_one_layout():
    env = build_env("rooms-tiny", 3, max_steps=29)
    for seed in range(50):
        obs, info = env.reset(seed=seed)
        assert tuple(info["state"][:2]) != tuple(info["goal"][:2])
        walls = [view[..., 0] == 2 for view in obs.values()]
        assert (walls[0].T == env.world.walls).all() and (walls[1].T == env.world.walls).all()
