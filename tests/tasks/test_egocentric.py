"""The view of 7 x 7 cells equals MiniGrid's own."""

import gymnasium as gym
import numpy as np
import pytest
from minigrid.core.constants import OBJECT_TO_IDX

from tasks.egocentric import egocentric

STEPS = 131


def full_grid(env: gym.Env) -> np.ndarray:
    base = env.unwrapped
    grid = base.grid.encode()
    grid[tuple(base.agent_pos)] = (OBJECT_TO_IDX["agent"], 0, base.agent_dir)
    if base.carrying is not None:
        grid[0, 0] = base.carrying.encode()
    return grid


def walk(env_id: str) -> tuple[gym.Env, np.ndarray, np.ndarray, int]:
    """Full grids and MiniGrid's views of a random walk, and how often something is carried."""
    env, random = gym.make(env_id, max_steps=10**6), np.random.default_rng(3)
    obs, _ = env.reset(seed=1)
    grids, views, carried = [full_grid(env)], [obs["image"]], 0
    for _ in range(STEPS):
        ahead = env.unwrapped.grid.get(*env.unwrapped.front_pos)
        action = random.choice([0, 1, 2, 2, 2, 2, 4, 5])
        if ahead is not None and ahead.type in ("key", "ball", "box", "door"):
            action = random.choice([2, 3, 3, 5])
        obs, *_ = env.step(action)
        grids.append(full_grid(env))
        views.append(obs["image"])
        carried += env.unwrapped.carrying is not None
    return env, np.array(grids), np.array(views), carried


@pytest.mark.parametrize(
    ("env_id", "carries"),
    [
        ("MiniGrid-FourRooms-v0", False),
        ("MiniGrid-MultiRoom-N4-S5-v1", False),
        ("MiniGrid-DoorKey-8x8-v0", True),
        ("MiniGrid-KeyCorridorS4R3-v0", True),
        ("MiniGrid-ObstructedMaze-1Dlhb-v0", True),
        ("MiniGrid-LavaCrossingS9N2-v0", False),
    ],
)
def test_view_is_minigrids_own(env_id, carries):
    _, grids, views, carried = walk(env_id)
    assert np.array_equal(egocentric(grids), views)
    assert (views[:, :, :, 0] == OBJECT_TO_IDX["unseen"]).any()
    assert (carried > 0) == carries


def test_view_through_walls_is_minigrids_own():
    _, grids, views, _ = walk("MiniGrid-DistShift1-v0")
    assert np.array_equal(egocentric(grids, see_through_walls=True), views)
    assert not np.array_equal(egocentric(grids), views)


def test_carried_thing_leaves_the_corner_a_wall():
    env = gym.make("MiniGrid-DoorKey-5x5-v0")
    env.reset(seed=0)
    grid = full_grid(env)
    grid[grid[:, :, 0] == OBJECT_TO_IDX["agent"]] = (OBJECT_TO_IDX["empty"], 0, 0)
    grid[1, 1] = (OBJECT_TO_IDX["agent"], 0, 3)  # looks up, the corner before it on the left
    plain, held = grid.copy(), grid.copy()
    held[0, 0] = (OBJECT_TO_IDX["key"], 4, 0)
    seen, seen_holding = egocentric(np.array([plain, held]))
    assert seen_holding[3, 6].tolist() == [OBJECT_TO_IDX["key"], 4, 0]
    assert np.argwhere((seen != seen_holding).any(-1)).tolist() == [[3, 6]]
    assert seen[2, 5].tolist() == [OBJECT_TO_IDX["wall"], 5, 0]


def test_grid_without_an_agent_is_refused():
    with pytest.raises(ValueError, match="grid 1 of 2 shows no agent"):
        grids = np.full((2, 5, 3, 3), 1, np.uint8)
        grids[0, 2, 1] = (OBJECT_TO_IDX["agent"], 0, 0)
        egocentric(grids)
