"""All tasks that the battery is run over, each built once, and how they are driven."""

import importlib.util
from collections.abc import Iterable
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from hplan.dataset import EpisodeStore
from hplan.task import NeedsEpisodes, Solvable
from tasks.doors_task import DoorsTask
from tasks.environments import build_env
from tasks.gymnasium_envs.pairs import told_seeds
from tasks.gymnasium_envs.task import GymTask
from tasks.mazes import MAZES
from tasks.objects import ObjectsTask
from tasks.partial import PartialTask
from tasks.point_rooms import PointRoomsTask
from tasks.point_rooms.roam import roam
from tasks.registry import TASKS, build_task
from tasks.rooms_many import RoomsMany
from tasks.suite import Suite
from tasks.task import Task
from tasks.trip.task import TRIPS, TripTask
from tasks.trip.travellers import travel

LAYOUT_SEED, PAIRS = 3, 2
EPISODES, EPISODE_LENGTH, DATA_SEED = 5, 23, 3
GYM = "gym:CartPole-v1"
AGENT = 10  # MiniGrid's number of it
_PARTIAL = "-partial"
_FAMILIES = (
    "FourRooms-v0",
    "SimpleCrossingS9N1-v0",
    "DistShift1-v0",
    "MultiRoom-N2-S4-v0",
    "MultiRoom-N4-S5-v0",
    "DoorKey-5x5-v0",
    "DoorKey-8x8-v0",
    "KeyCorridorS3R1-v0",
    "Unlock-v0",
    "UnlockPickup-v0",
    "ObstructedMaze-1Dl-v0",
    "Dynamic-Obstacles-6x6-v0",
)
_MINIGRID = tuple(f"MiniGrid-{family}" for family in _FAMILIES)
_PARTIALS = tuple(name + _PARTIAL for name in ("rooms-lava", "MiniGrid-DoorKey-5x5-v0"))
_NO_ENV = {*_PARTIALS, GYM, *MAZES}
_SLOW = {
    "rooms-large",
    "MiniGrid-UnlockPickup-v0",
    "MiniGrid-ObstructedMaze-1Dl-v0",
    *MAZES,
    # Not slow, but much like others that are no quicker.
    "four-rooms",
    *(trip for trip in TRIPS if trip != "trip-paris"),
    "MiniGrid-SimpleCrossingS9N1-v0",
    "MiniGrid-DistShift1-v0",
    "MiniGrid-MultiRoom-N2-S4-v0",
    "MiniGrid-MultiRoom-N4-S5-v0",
    "MiniGrid-DoorKey-8x8-v0",
    "MiniGrid-KeyCorridorS3R1-v0",
    "MiniGrid-Unlock-v0",
}
_PACKAGES = {"pointmaze": "gymnasium_robotics", "ogbench": "ogbench"}

NAMES = tuple(dict.fromkeys((*TASKS, *_MINIGRID, *_PARTIALS, GYM, *MAZES)))
WITH_ENV = tuple(name for name in NAMES if name not in _NO_ENV)
SLOW_ENVS = ("rooms-doors", "rooms-many")  # every reset draws a suite
# Where the oracle can be followed in a batch alone.
SOLVED_IN_BATCH = tuple(name for name in NAMES if name in _PARTIALS)


def each(names: Iterable[str], *, slow: Iterable[str] = ()) -> pytest.MarkDecorator:
    """A test of each of these tasks; those of `slow` are slow in it, though not in others."""
    return pytest.mark.parametrize("name", [_param(name, slow) for name in names])


def _param(name: str, slow: Iterable[str]) -> Any:
    marks = [pytest.mark.slow] if name in _SLOW or name in slow else []
    package = _PACKAGES.get(name.split("-")[0])
    if name in MAZES and importlib.util.find_spec(package) is None:
        marks.append(pytest.mark.skip(reason=f"{package} is not installed"))
    return pytest.param(name, marks=marks)


@cache
def task_of(name: str) -> Any:
    """The task, and where its goals are taken from data, with some."""
    whole = name.removesuffix(_PARTIAL)
    seed = 0 if name == GYM or name in MAZES else LAYOUT_SEED
    task = build_task(whole, seed, view="full" if whole == name else "partial")
    if isinstance(task, NeedsEpisodes):
        return task.with_episodes(task.wander(40, 101, np.random.default_rng(0)))
    return task


@cache
def suite_of(name: str) -> Suite:
    """`PAIRS` start-goal pairs in each bin."""
    return task_of(name).suite(episodes_per_bin=PAIRS, seed=0)


@cache
def data_of(name: str) -> EpisodeStore:
    """`EPISODES` episodes of the seed `DATA_SEED`."""
    return task_of(name).wander(EPISODES, EPISODE_LENGTH, np.random.default_rng(DATA_SEED))


def env_of(name: str, max_steps: int, render_mode: str | None = None) -> gym.Env:
    """The task's real environment."""
    return build_env(name, LAYOUT_SEED, max_steps=max_steps, render_mode=render_mode)


def seen(obs: dict[str, np.ndarray]) -> np.ndarray:
    """Of an environment's observation what is seen now."""
    return next(value for key, value in obs.items() if key != "goal")


def actions_for(task: Any, states: np.ndarray, goals: np.ndarray, random: Any) -> np.ndarray:
    """(B, *action_shape): half of them at random, the others on the way to the goals."""
    actions = task.spec.random_actions(random, len(states))
    if isinstance(task, Solvable):
        onward = random.random(len(states)) < 0.5
        actions[onward] = task.optimal_actions(states, goals)[onward]
    return actions


def first_states(task: Any, store: EpisodeStore) -> np.ndarray:
    """The states in which the episodes of `data_of` began."""
    random = np.random.default_rng(DATA_SEED)
    count, length = store.num_episodes, store.actions.shape[1]
    match task:
        case PartialTask():
            return first_states(task.full, task.full.wander(count, length, random))
        case GymTask():
            return told_seeds(store, task.name, task.episodes_per_chunk)
        case ObjectsTask():
            return task.walks(count, length, random)[0][:, 0]
        case TripTask():
            return travel(count, length, random, task.travellers)[0][:, 0]
        case PointRoomsTask():
            states, _ = roam(
                task.paths,
                num_agents=count,
                num_steps=length,
                roamer=task.roamer,
                generator=random,
            )
            return states[:, 0]
    frames = store.frames[store.frame_index[:, 0]]
    _, x, y = np.nonzero(frames[..., 0] == AGENT)
    poses = np.column_stack([x, y, frames[np.arange(count), x, y, 2]]).astype(np.int64)
    match task:
        case RoomsMany():
            plans = [world.walls.T for world in task.training_worlds.worlds]
            walls = frames[..., 0] == 2
            layouts = [[np.array_equal(plan, w) for plan in plans].index(True) for w in walls]
            return np.column_stack([layouts, poses])
        case DoorsTask():
            return np.column_stack([poses, np.zeros(count, np.int64)])
        case Task():
            return poses
    raise TypeError(f"say how an episode of {task.name} begins")
