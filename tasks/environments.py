"""The real gymnasium environments of our tasks, and of any MiniGrid id."""

import warnings
from typing import Any

import gymnasium as gym
from minigrid.minigrid_env import MiniGridEnv

from tasks.goals import SymbolicGoal
from tasks.objects.env import ObjectGoal
from tasks.objects.world import needs_objects
from tasks.point_rooms.env import ENV_IDS as POINT_IDS
from tasks.rooms import ROOMS_IDS
from tasks.trip.env import TRIP_IDS

FOUR_ROOMS = "MiniGrid-FourRooms-v0"
_LAYOUTS_IDS = {"rooms-doors": "hplan/RoomsDoors-v0", "rooms-many": "hplan/RoomsMany-v0"}
_IDS = {
    **ROOMS_IDS,
    **TRIP_IDS,
    **_LAYOUTS_IDS,
    "four-rooms": FOUR_ROOMS,
    "point-rooms": POINT_IDS["state"],
    "point-rooms-pixels": POINT_IDS["pixels"],
}
_WITH_LAYOUT = {*ROOMS_IDS, *_LAYOUTS_IDS, "point-rooms", "point-rooms-pixels"}
_BY_THEMSELVES = {*TRIP_IDS, *_LAYOUTS_IDS, "point-rooms", "point-rooms-pixels"}

for _name, _id in _LAYOUTS_IDS.items():
    if _id not in gym.registry:
        gym.register(id=_id, entry_point="tasks.layouts_env:LayoutsEnv", kwargs={"name": _name})


def build_env(
    name: str, layout_seed: int, *, max_steps: int, render_mode: str | None = None
) -> gym.Env:
    """The environment of a task of ours, or of a registered MiniGrid id.

    Its observations are a Dict, in which "goal" is what is to be seen; `reset` takes "start" and
    "goal", states of the task, as options, and `info["state"]` is the task's state.

    Args:
        max_steps: env steps after which an episode is truncated.
        render_mode: of the environment's own, "rgb_array" or "human"; None draws nothing.

    Raises:
        ValueError: there is none of that name.
    """
    env_id = _IDS.get(name, name)
    if env_id not in gym.registry:
        raise ValueError(
            f"task.name = {name} has no gymnasium environment; those of ours are {', '.join(_IDS)}."
        )
    options: dict[str, Any] = {"layout_seed": layout_seed} if name in _WITH_LAYOUT else {}
    if name in _BY_THEMSELVES:
        return gym.make(env_id, max_steps=max_steps, render_mode=render_mode, **options)
    env = make_minigrid(env_id, render_mode=render_mode, **options)
    kind = ObjectGoal if needs_objects(env, layout_seed) else SymbolicGoal
    return kind(env, layout_seed=layout_seed, max_steps=max_steps)


def make_minigrid(env_id: str, **options: Any) -> gym.Env:
    """A MiniGrid environment as it is.

    Raises:
        ValueError: gymnasium cannot make it, or it is none of MiniGrid's.
    """
    try:
        with warnings.catch_warnings():
            # Of ids that have a later version: they are asked for by name.
            warnings.filterwarnings("ignore", message=".*is out of date")
            env = gym.make(env_id, **options)
    except gym.error.Error as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"task '{env_id}' cannot be made ({reason}); choose another.") from error
    if not isinstance(env.unwrapped, MiniGridEnv):
        raise ValueError(f"task.name = {env_id} is no MiniGrid world; give gym:{env_id}.")
    return env
