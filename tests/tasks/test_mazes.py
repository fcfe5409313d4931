"""Mazes of other packages: their rule of success, and what is said where they are missing."""

import importlib.util

import numpy as np
import pytest

from tasks.mazes import (
    MAZES,
    at_ogbench_ant_goal,
    at_ogbench_goal,
    at_point_maze_goal,
    maze_task,
)

B, T = 3, 11
PACKAGES = ("gymnasium_robotics", "ogbench")
MISSING = [package for package in PACKAGES if importlib.util.find_spec(package) is None]


def _package(name):
    return PACKAGES[name.startswith("ogbench")]


@pytest.mark.parametrize("name", MAZES)
def test_a_missing_package_is_named_with_the_extra_that_has_it(name):
    if _package(name) not in MISSING:
        pytest.skip(f"{_package(name)} is installed")
    with pytest.raises(ValueError, match=rf"{name} needs .*{_package(name)}.*\[mazes\]") as caught:
        maze_task(0, name=name)
    assert "\n" not in str(caught.value)


def test_an_unknown_maze_is_refused():
    with pytest.raises(ValueError, match="'pointmaze-huge' is unknown; known are pointmaze-umaze"):
        maze_task(0, name="pointmaze-huge")


@pytest.mark.parametrize(
    ("rule", "radius"),
    [(at_point_maze_goal, 0.45), (at_ogbench_goal, 1.0), (at_ogbench_ant_goal, 0.5)],
)
def test_success_is_the_place_alone(rule, radius):
    goal = np.array([1.0, -2.0, 9.0, 9.0])
    for share, reached in ((0.99, True), (1.01, False)):
        observation = np.array([1.0 + 0.6 * share * radius, -2.0 - 0.8 * share * radius, 0.0, 0.0])
        assert rule(observation, goal, {}) == reached


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the packages themselves
@pytest.mark.parametrize("name", MAZES)
def test_a_maze_is_collected_and_stepped_as_its_seeds_say(name):
    pytest.importorskip(_package(name))
    task = maze_task(0, name=name)
    stores = [task.wander(B, T, np.random.default_rng(0)) for _ in range(2)]
    assert np.array_equal(stores[0].frames, stores[1].frames)
    assert (stores[0].lengths == T).all(), "no episode ends at the maze's own goal"
    assert (
        task.spec.kind == "vector" and task.spec.action_low == (-1.0,) * task.spec.action_shape[0]
    )
    batches = [task.batch(np.arange(B)) for _ in range(2)]
    for batch in batches:
        for action in stores[0].actions.swapaxes(0, 1):
            batch.step(action)
    assert np.array_equal(batches[0].observe(), batches[1].observe())
    assert task.is_success(batches[0].states, batches[0].observe()).all()
    assert not task.is_success(batches[0].states, batches[0].observe() + 2.0).any()
