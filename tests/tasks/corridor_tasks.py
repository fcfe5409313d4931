"""The corridors of `gym_corridor` as tasks, and episodes of theirs."""

import numpy as np

from hplan.dataset import EpisodeStore
from tasks.gymnasium_envs.task import GymTask, make_gym_task
from tests.tasks.gym_corridor import PATH

E, T = 7, 23
"""Episodes, and env steps at most."""


def corridor(shown: str = "Box", **options) -> GymTask:
    return make_gym_task(f"gym:{PATH}:Corridor{shown}-v0", 0, **options)


def episodes(task: GymTask, policy=None, seed: int = 0, count: int = E) -> EpisodeStore:
    return task.wander(count, T, np.random.default_rng(seed), policy)


def with_data(task: GymTask, policy=None) -> GymTask:
    return task.with_episodes(episodes(task, policy))
