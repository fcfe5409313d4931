"""`point_rooms` as gymnasium environments: their rules, and that they are the task's world."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tasks.point_rooms import ENV_IDS, PointRoomsEnv, point_rooms, point_rooms_pixels

TASKS = {"state": point_rooms(3), "pixels": point_rooms_pixels(3)}
SUITE = TASKS["state"].suite(episodes_per_bin=2, seed=0)
VIEWS = pytest.mark.parametrize("view", list(ENV_IDS))


def _make(view, **options):
    return gym.make(ENV_IDS[view], layout_seed=3, **options)


@VIEWS
def test_gymnasium_finds_nothing_wrong(view):
    check_env(gym.make(ENV_IDS[view], render_mode="rgb_array").unwrapped)


@VIEWS
def test_the_oracle_reaches_the_goal_in_exactly_the_promised_steps(view):
    env, task = _make(view), TASKS[view]
    for start, goal, steps in zip(SUITE.starts, SUITE.goals, SUITE.optimal_steps, strict=True):
        obs, info = env.reset(seed=0, options={"start": start, "goal": goal})
        assert np.array_equal(obs["goal"], task.observe(goal[None])[0])
        terminated, taken = False, 0
        while not terminated:
            action = task.optimal_actions(info["state"][None], goal[None])[0]
            obs, reward, terminated, truncated, info = env.step(action)
            taken += 1
            assert reward == float(terminated) and not truncated
            assert np.array_equal(obs["observation"], task.observe(info["state"][None])[0])
        assert taken == steps


@VIEWS
def test_the_same_seed_gives_the_same_episode(view):
    envs = [_make(view) for _ in range(2)]
    observations = [env.reset(seed=7)[0] for env in envs]
    actions = np.random.default_rng(0).uniform(-1, 1, size=(200, 2)).astype(np.float32)
    for action in actions:
        assert np.array_equal(observations[0]["observation"], observations[1]["observation"])
        observations = [env.step(action)[0] for env in envs]
    assert not np.array_equal(envs[0].reset(seed=8)[0]["goal"], envs[1].reset(seed=7)[0]["goal"])


def test_an_episode_is_truncated_exactly_at_the_limit():
    env = _make("state", max_steps=5)
    env.reset(seed=0)
    ends = [env.step(np.zeros(2, np.float32))[2:4] for _ in range(5)]
    assert ends == [(False, False)] * 4 + [(False, True)]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_on_alike(again):
    env = PointRoomsEnv(layout_seed=3)
    env.reset(seed=0)
    env.step(np.array([1.0, -1.0], np.float32))
    other = again(env)
    for _ in range(20):
        action = np.array([0.3, 0.9], np.float32)
        assert np.array_equal(
            env.step(action)[0]["observation"], other.step(action)[0]["observation"]
        )
    assert np.array_equal(env.reset()[1]["goal"], other.reset()[1]["goal"])


def test_what_is_rendered_shows_the_point_and_its_goal():
    env = _make("state", render_mode="rgb_array")
    env.reset(options={"start": [1.5, 1.5, 0, 0], "goal": [11.5, 11.5, 0, 0]})
    image = env.render().astype(int)
    assert image.shape == (256, 256, 3)
    pixel = 256 / 13
    red, green = (image[int(y * pixel), int(x * pixel)] for x, y in ((1.5, 1.5), (11.5, 11.5)))
    assert red[0] > red[1] + 90 and green[1] > green[0] + 50


def test_what_cannot_be_done_is_refused():
    env = PointRoomsEnv(layout_seed=3)
    with pytest.raises(ValueError, match="is in a wall"):
        env.reset(options={"start": [0.5, 0.5, 0, 0]})
    with pytest.raises(ValueError, match="max_steps = 0"):
        PointRoomsEnv(max_steps=0)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action \[2.0, 0.0\]"):
        env.step(np.array([2.0, 0.0]))
