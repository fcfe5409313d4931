"""Naming a task: ours, a MiniGrid id, an import path, and everything else."""

import gymnasium as gym
import numpy as np
import pytest

from tasks import build_task
from tasks.environments import build_env

OWN = """
import gymnasium as gym
import numpy as np
from tasks import GridWorld, Task

NOT_CALLABLE = 3

def corridor(layout_seed):
    walls = np.ones((3, 7 + layout_seed), bool)
    walls[1, 1:-1] = False
    bins = (("short", 1, 4),)
    world = GridWorld.from_walls(walls)
    return Task(name="corridor", layout_seed=layout_seed, world=world, bins=bins)

def nothing(layout_seed):
    return layout_seed
"""


@pytest.fixture(autouse=True)
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_tasks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


def test_large_rooms_hold_the_farthest_bin():
    suite = build_task("rooms-large", 0).suite(episodes_per_bin=11, seed=0)
    assert suite.optimal_steps[suite.bin_index == 2].max() > 200


@pytest.mark.parametrize("layout_seed", [0, 1])
def test_layout_seed_reaches_the_world(layout_seed):
    first = build_task("four-rooms", layout_seed).world.walls
    assert np.array_equal(first, build_task("MiniGrid-FourRooms-v0", layout_seed).world.walls)
    assert not np.array_equal(first, build_task("four-rooms", layout_seed + 2).world.walls)


def test_other_minigrid_worlds_are_named_by_their_id():
    task = build_task("MiniGrid-Empty-8x8-v0", 0)
    assert [name for name, *_ in task.bins] == ["short", "medium"]
    assert task.world.num_states == 4 * 6 * 6


def test_own_task_is_named_by_its_import_path():
    task = build_task("own_tasks.corridor", 4)
    assert task.spec.shape == (11, 3, 3)
    assert task.suite(episodes_per_bin=2, seed=0).num_episodes == 2


def test_success_is_the_cell_whatever_the_heading():
    states = np.array([[1, 2, 0], [1, 2, 3], [2, 1, 0], [1, 3, 0]])
    goals = np.array([[1, 2, 0]] * 4)
    expected = [True, True, False, False]
    assert build_task("rooms-tiny", 0).is_success(states, goals).tolist() == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("room", "unknown task 'room'; known tasks: rooms, rooms-large"),
        ("", "unknown task ''; known tasks"),
        ("own_tasks.absent", "unknown task 'own_tasks.absent' .*no attribute"),
        ("no_module.task", "unknown task 'no_module.task' .*No module"),
        ("own_tasks.NOT_CALLABLE", "cannot be called"),
        ("own_tasks.nothing", "returned a int"),
        ("CartPole-v1", "CartPole-v1 is no MiniGrid world; give gym:CartPole-v1"),
        (".x", "unknown task '.x'"),
    ],
)
def test_what_is_no_task_is_refused_in_one_line(name, message):
    with pytest.raises(ValueError, match=message) as caught:
        build_task(name, 0)
    assert "\n" not in str(caught.value)


def test_bad_seed_and_unknown_environment_are_refused():
    with pytest.raises(ValueError, match="layout_seed = -1"):
        build_task("four-rooms", -1)
    with pytest.raises(ValueError, match="room has no gymnasium environment; those of ours are ro"):
        build_env("room", 0, max_steps=5)


def test_an_environment_that_gymnasium_cannot_make_is_refused_in_one_line(monkeypatch):
    def broken(env_id: str, **options: object) -> None:
        raise gym.error.DependencyNotInstalled("its engine is missing\ninstall it")

    monkeypatch.setattr("tasks.registry.gym.make", broken)
    with pytest.raises(ValueError, match="cannot be made .its engine is missing.; choose another"):
        build_task("MiniGrid-FourRooms-v0", 0)
