"""The environment battery, over every task of the registry."""

import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tasks import TASKS, build_task
from tasks.environments import build_env
from tasks.goals import SymbolicGoal
from tasks.oracle import optimal_path

LAYOUT_SEED, MAX_STEPS = 3, 29

# Shut doorways are no MiniGrid: `test_doors.py` compares those rooms with walled-up ones.
pytestmark = pytest.mark.parametrize("name", [name for name in TASKS if name != "rooms-doors"])


def _env(name: str) -> SymbolicGoal:
    return build_env(name, LAYOUT_SEED, max_steps=MAX_STEPS)


def test_gymnasium_accepts_the_environment(name):
    env = _env(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)
        # The one remark that any wrapper gets.
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")
        check_env(env, skip_render_check=True)


def test_two_with_one_seed_stay_in_lockstep(name):
    first, second = _env(name), _env(name)
    obs, _ = first.reset(seed=5)
    same, _ = second.reset(seed=5)
    other, _ = _env(name).reset(seed=7)
    assert all(np.array_equal(obs[key], same[key]) for key in obs)
    assert not all(np.array_equal(obs[key], other[key]) for key in obs)
    for action in np.random.default_rng(0).integers(3, size=MAX_STEPS - 1):
        stepped, reward, *ended, info = first.step(action)
        stepped_too, reward_too, *ended_too, info_too = second.step(action)
        assert all(np.array_equal(stepped[key], stepped_too[key]) for key in stepped)
        assert (reward, ended) == (reward_too, ended_too)
        assert np.array_equal(info["state"], info_too["state"])


def test_episode_is_truncated_at_the_limit(name):
    env = _env(name)
    env.reset(seed=0)
    ends = [env.step(0)[2:4] for _ in range(MAX_STEPS)]
    assert ends == [(False, False)] * (MAX_STEPS - 1) + [(False, True)]


def test_pickled_environment_goes_on_alike(name):
    env = _env(name)
    env.reset(seed=0)
    copy = pickle.loads(pickle.dumps(env))
    for action in (2, 0, 2, 1, 2):
        assert np.array_equal(env.step(action)[0]["image"], copy.step(action)[0]["image"])


def test_layout_is_that_of_the_simulator_in_every_episode(name):
    env, world = _env(name), build_task(name, LAYOUT_SEED).world
    for seed in (0, 1):
        obs, info = env.reset(seed=seed)
        expected = world.observe(np.stack([info["state"], info["goal"]]))
        assert np.array_equal(np.stack([obs["image"], obs["goal"]]), expected)
        assert not np.array_equal(info["state"][:2], info["goal"][:2])


def test_oracle_path_ends_in_the_goal_in_exactly_the_promised_steps(name):
    task = build_task(name, LAYOUT_SEED)
    pairs = task.validation_pairs(7, seed=1)
    env = build_env(name, LAYOUT_SEED, max_steps=500)
    for start, goal, steps in zip(pairs.starts, pairs.goals, pairs.optimal_steps, strict=True):
        env.reset(seed=0, options={"start": start, "goal": goal})
        path = optimal_path(task.world, start, goal[:2])
        assert len(path) == steps
        ends = [env.step(action) for action in path]
        assert [end[2] for end in ends] == [False] * (steps - 1) + [True]
        assert [end[1] for end in ends] == [0.0] * (steps - 1) + [1.0]
        assert task.is_success(env.state[None], goal[None]).tolist() == [True]


def test_start_in_a_wall_and_no_steps_are_refused(name):
    env = _env(name)
    with pytest.raises(ValueError, match=r"state \(0, 0, 0\) is in a wall"):
        env.reset(options={"start": (0, 0, 0)})
    with pytest.raises(ValueError, match="max_steps = 0"):
        SymbolicGoal(gym.make("MiniGrid-FourRooms-v0"), layout_seed=0, max_steps=0)
