"""Worlds of objects as gymnasium environments, and balls that move by themselves."""

import gymnasium as gym
import numpy as np
import pytest
from minigrid.core.constants import OBJECT_TO_IDX

from tasks.objects import ObjectGoal, make_objects_task
from tasks.objects.moves import step
from tasks.objects.obstacles import HIT
from tasks.objects.world import needs_objects

LAYOUT_SEED, MAX_STEPS = 3, 29
DYNAMIC = "MiniGrid-Dynamic-Obstacles-6x6-v0"


@pytest.fixture(params=["MiniGrid-ObstructedMaze-1Dlhb-v0", DYNAMIC])
def name(request) -> str:
    return request.param


def make(name: str, max_steps: int = MAX_STEPS) -> ObjectGoal:
    return ObjectGoal(gym.make(name), layout_seed=LAYOUT_SEED, max_steps=max_steps)


def test_what_is_seen_is_minigrids_own_grid(name):
    env = make(name, 200)
    _, info = env.reset(seed=5)
    base, state = env.unwrapped, info["state"][None]
    for action in np.random.default_rng(0).integers(env.action_space.n, size=199):
        obs, *_, info = env.step(action)
        state = step(env.world, state, np.array([action]))
        assert np.array_equal(info["state"], state[0])
        grid = base.grid.encode()
        grid[tuple(base.agent_pos)] = obs["image"][tuple(state[0, :2])]
        if base.carrying is not None:
            grid[0, 0] = base.carrying.encode()
        assert np.array_equal(obs["image"], grid)


def test_bad_starts_and_no_steps_are_refused(name):
    env = make(name)
    bad = env.world.start.copy()
    bad[:2] = 0
    with pytest.raises(ValueError, match="is none of this world"):
        env.reset(options={"start": bad})
    with pytest.raises(ValueError, match="max_steps = 0"):
        make(name, 0)


def test_only_worlds_of_walls_and_lava_need_no_objects():
    known = {"DoorKey-5x5": True, "Dynamic-Obstacles-5x5": True, "DistShift1": False}
    for each, expected in {**known, "LavaCrossingS9N1": False, "MultiRoom-N2-S4": True}.items():
        assert needs_objects(gym.make(f"MiniGrid-{each}-v0"), 0) == expected


class Scripted:
    """Draws, for MiniGrid's own balls, the cells that ours have moved to; if none, its own."""

    def __init__(self, cells: list[tuple[int, int]]) -> None:
        self.numbers = [n for cell in cells for n in cell]

    def integers(self, low: int, high: int) -> int:
        number = self.numbers.pop(0)
        assert low <= number < high, "a ball moved by more than a cell"
        return number


def test_balls_move_as_minigrid_lets_them_and_hits_end_the_episode():
    """MiniGrid accepts every move of ours, and agrees on where the agent is and what it has hit."""
    env = gym.make("MiniGrid-Dynamic-Obstacles-8x8-v0", max_steps=10**6)
    task = make_objects_task("MiniGrid-Dynamic-Obstacles-8x8-v0", LAYOUT_SEED)
    world, random, base, hits = task.world, np.random.default_rng(0), env.unwrapped, 0
    for _ in range(30):
        env.reset(seed=LAYOUT_SEED)
        state = world.start[None].copy()
        state[0, -3] = random.integers(1000)
        for _ in range(40):
            action = random.choice([0, 1, 2, 2])
            after = step(world, state, np.array([action]))
            places = world.places(after)[0]
            assert (places != world.places(state)[0]).all()
            base._np_random = Scripted([divmod(int(p), world.height) for p in places])
            _, reward, terminated, _, _ = base.step(action)
            grid = base.grid.encode()
            grid[tuple(base.agent_pos)] = (
                OBJECT_TO_IDX["agent"],
                4 * after[0, HIT],
                base.agent_dir,
            )
            assert np.array_equal(world.observe(after)[0], grid)
            on_goal = reward > 0
            assert terminated == (bool(after[0, HIT]) or on_goal)
            assert task.is_unsafe(after).tolist() == [reward < 0]
            state = after
            if after[0, HIT]:
                hits += 1
                assert np.array_equal(step(world, after, np.array([0])), after)
                break
    assert hits > 5


def test_moves_depend_on_seed_and_step_alone_and_go_everywhere_around():
    world = make_objects_task("MiniGrid-Dynamic-Obstacles-16x16-v0", LAYOUT_SEED).world
    states = np.repeat(world.start[None], 4000, axis=0)
    states[:, -3] = np.arange(4000)
    after = step(world, states, np.zeros(4000, np.int64))
    alone = step(world, states[7:8], np.zeros(1, np.int64))
    assert np.array_equal(after[7:8], alone)
    x, y = divmod(int(world.places(states)[0, 0]), world.height)
    moved = np.array(np.divmod(world.places(after)[:, 0], world.height)).T - (x, y)
    around, counts = np.unique(moved, axis=0, return_counts=True)
    assert len(around) >= 3 and counts.min() > 4000 / len(around) * 0.8
