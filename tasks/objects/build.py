"""Makes the task of a registered MiniGrid world of objects, with MiniGrid's own mission."""

import warnings

import gymnasium as gym
import numpy as np
from minigrid.envs import (
    BlockedUnlockPickupEnv,
    KeyCorridorEnv,
    UnlockEnv,
    UnlockPickupEnv,
)
from minigrid.envs.obstructedmaze import ObstructedMazeEnv

from tasks.objects.task import ObjectsTask
from tasks.objects.world import GOAL, ObjectWorld

_TO_PICK_UP = (BlockedUnlockPickupEnv, KeyCorridorEnv, ObstructedMazeEnv, UnlockPickupEnv)


def make_objects_task(env_id: str, layout_seed: int) -> ObjectsTask:
    """The task in the world that a MiniGrid id draws when reset with `layout_seed`.

    The mission is to be on the green goal square, or to hold what MiniGrid asks for, or to stand
    in the doorway that it asks to open.
    """
    with warnings.catch_warnings():
        # Of ids that have a later version: they are asked for by name.
        warnings.filterwarnings("ignore", message=".*is out of date")
        env = gym.make(env_id)
    world = ObjectWorld.from_env(env, layout_seed)
    base = env.unwrapped
    cells, look = np.flatnonzero(world.floor == GOAL), 0
    if isinstance(base, _TO_PICK_UP):
        kind, colour, _ = base.obj.encode()
        look = kind * 16 + colour
    elif isinstance(base, UnlockEnv):
        cells = world.door_cells
    env.close()
    return ObjectsTask(
        name=env_id, layout_seed=layout_seed, world=world, mission_cells=cells, mission_look=look
    )
