"""`point_rooms` as gymnasium environments: their rules, and that they are the task's world."""

import gymnasium as gym
import numpy as np
import pytest

from tasks.point_rooms import ENV_IDS, PointRoomsEnv, point_rooms, point_rooms_pixels

TASKS = {"state": point_rooms(3), "pixels": point_rooms_pixels(3)}
SUITE = TASKS["state"].suite(episodes_per_bin=2, seed=0)
VIEWS = pytest.mark.parametrize("view", list(ENV_IDS))


def _make(view, **options):
    return gym.make(ENV_IDS[view], layout_seed=3, **options)


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
