"""The tasks that ship with hplan, and how to name one of your own."""

import importlib
from collections.abc import Callable
from functools import partial

import gymnasium as gym

from tasks.doors_task import DoorsTask
from tasks.goals import SymbolicGoal, fixed_world
from tasks.rooms import ROOM_SIZE, ROOMS_IDS
from tasks.suite import Bins, fitting_bins
from tasks.task import Task

EnvOptions = Callable[[int], dict[str, int]]


def _env_task(
    layout_seed: int,
    *,
    name: str,
    env_id: str,
    bins: Bins | None = None,
    options: EnvOptions | None = None,
) -> Task:
    """The task of reaching any cell of a MiniGrid environment, with the bins that it fills."""
    try:
        env = gym.make(env_id, **(options(layout_seed) if options else {}))
    except gym.error.Error as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"task '{name}' cannot be made ({reason}); choose another.") from error
    world = fixed_world(env, layout_seed)
    env.close()
    return Task(
        name=name, layout_seed=layout_seed, world=world, bins=bins or fitting_bins(world, _LADDER)
    )


def _rooms_options(layout_seed: int) -> dict[str, int]:
    return {"layout_seed": layout_seed}


_NEAR: Bins = (("short", 5, 10), ("medium", 10, 20), ("long", 20, 40))
_LADDER: Bins = (*_NEAR, ("far", 40, 80))
_BINS: dict[str, Bins] = {
    "rooms": _LADDER,
    "rooms-large": (("far", 40, 80), ("farther", 80, 160), ("farthest", 160, 240)),
    "rooms-tiny": (("short", 2, 5), ("medium", 5, 10)),
    "rooms-lava": _NEAR,
}
_FOUR_ROOMS = "MiniGrid-FourRooms-v0"
_LAVA_CROSSING = "MiniGrid-LavaCrossingS9N2-v0"


def _rooms_doors(layout_seed: int) -> DoorsTask:
    rooms = TASKS["rooms"](layout_seed)
    # Detours are long: of the shorter bins hardly a pair has one.
    return DoorsTask(name="rooms-doors", rooms=rooms, room_size=ROOM_SIZE, bins=_LADDER[2:])


TASKS: dict[str, Callable[[int], Task | DoorsTask]] = {
    **{
        name: partial(_env_task, name=name, env_id=env_id, bins=_BINS[name], options=_rooms_options)
        for name, env_id in ROOMS_IDS.items()
    },
    "four-rooms": partial(_env_task, name="four-rooms", env_id=_FOUR_ROOMS, bins=_NEAR),
    _FOUR_ROOMS: partial(_env_task, name=_FOUR_ROOMS, env_id=_FOUR_ROOMS, bins=_NEAR),
    _LAVA_CROSSING: partial(_env_task, name=_LAVA_CROSSING, env_id=_LAVA_CROSSING, bins=_NEAR[:2]),
    "rooms-doors": _rooms_doors,
}


def build_env(name: str, layout_seed: int, *, max_steps: int) -> SymbolicGoal:
    """The real MiniGrid environment of a task of ours, or of a registered MiniGrid id.

    Args:
        max_steps: env steps after which an episode is truncated.
    """
    env_id = {**ROOMS_IDS, "four-rooms": _FOUR_ROOMS}.get(name, name)
    if env_id not in gym.registry:
        raise _unknown(name, "it is no gymnasium id either")
    options = _rooms_options(layout_seed) if name in ROOMS_IDS else {}
    return SymbolicGoal(gym.make(env_id, **options), layout_seed=layout_seed, max_steps=max_steps)


def build_task(name: str, layout_seed: int) -> Task | DoorsTask:
    """Build a task by name, by a registered MiniGrid id, or by the import path of your own.

    Args:
        name: a key of `TASKS`, the gymnasium id of a MiniGrid world of walls and lava, or the path
            `module.factory` of a function or class that takes a layout seed and returns a `Task`.
        layout_seed: fixes the world.
    """
    if layout_seed < 0:
        raise ValueError(f"layout_seed = {layout_seed} must be 0 or more; give another seed.")
    if name in TASKS:
        return TASKS[name](layout_seed)
    if name in gym.registry:
        return _env_task(layout_seed, name=name, env_id=name)
    task = _imported_factory(name)(layout_seed)
    if not isinstance(task, Task | DoorsTask):
        raise ValueError(
            f"task '{name}' returned a {type(task).__name__}; its factory must return a tasks.Task."
        )
    return task


def _imported_factory(path: str) -> Callable[[int], Task]:
    module_name, _, attribute = path.rpartition(".")
    if not module_name:
        raise _unknown(path, None)
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise _unknown(path, str(error)) from error
    if not callable(factory):
        raise _unknown(path, "it cannot be called")
    return factory


def _unknown(name: str, why: str | None) -> ValueError:
    reason = f" ({why})" if why else ""
    return ValueError(
        f"unknown task '{name}'{reason}; known tasks: {', '.join(TASKS)}, a MiniGrid id, or "
        "module.factory of your own."
    )
