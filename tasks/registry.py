"""The tasks that ship with hplan, and how to name one of your own."""

import difflib
import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym

from tasks.doors_task import DoorsTask
from tasks.environments import FOUR_ROOMS, make_minigrid
from tasks.errands import ErrandRunner
from tasks.goals import fixed_world
from tasks.mazes import MAZES, maze_task
from tasks.objects import make_objects_task
from tasks.objects.world import needs_objects
from tasks.point_rooms import point_rooms, point_rooms_pixels
from tasks.rooms import ROOM_SIZE, ROOMS_IDS
from tasks.rooms_many import RoomsMany
from tasks.suite import Bins, fitting_bins
from tasks.task import Task
from tasks.trip.task import TRIPS, trip_task
from tasks.wander import Wanderer

EnvOptions = Callable[[int], dict[str, int]]


def _env_task(
    *,
    layout_seed: int,
    name: str,
    env_id: str,
    bins: Bins | None = None,
    options: EnvOptions | None = None,
    wanderer: Wanderer | None = None,
) -> Task:
    """The task of reaching any cell of a MiniGrid environment, with the bins that it fills."""
    env = make_minigrid(env_id, **(options(layout_seed) if options else {}))
    world = fixed_world(env, layout_seed)
    env.close()
    return Task(
        name=name,
        layout_seed=layout_seed,
        world=world,
        bins=bins or fitting_bins(world, _LADDER),
        wanderer=wanderer or Wanderer(),
    )


def _minigrid_task(env_id: str, layout_seed: int) -> Any:
    """The task in a MiniGrid world: of cells alone, or of objects too."""
    env = make_minigrid(env_id)
    of_objects = needs_objects(env, layout_seed)
    env.close()
    if of_objects:
        return make_objects_task(env_id, layout_seed)
    return _env_task(layout_seed=layout_seed, name=env_id, env_id=env_id)


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
# In so large a world a random walk of an episode sees two or three of the rooms.
_WANDERERS: dict[str, Wanderer] = {"rooms-large": ErrandRunner()}
_LAVA_CROSSING = "MiniGrid-LavaCrossingS9N2-v0"


def _rooms_doors(layout_seed: int) -> DoorsTask:
    rooms = TASKS["rooms"](layout_seed=layout_seed)
    # Detours are long: of the shorter bins hardly a pair has one.
    return DoorsTask(name="rooms-doors", rooms=rooms, room_size=ROOM_SIZE, bins=_LADDER[2:])


GYM = "gym:"  # before any gymnasium id
PARTS_OF_A_TASK = ("name", "spec", "suite", "batch", "observe", "is_success")
TASKS: dict[str, Callable[[int], Any]] = {
    **{
        name: partial(
            _env_task,
            name=name,
            env_id=env_id,
            bins=_BINS[name],
            options=_rooms_options,
            wanderer=_WANDERERS.get(name),
        )
        for name, env_id in ROOMS_IDS.items()
    },
    "four-rooms": partial(_env_task, name="four-rooms", env_id=FOUR_ROOMS, bins=_NEAR),
    FOUR_ROOMS: partial(_env_task, name=FOUR_ROOMS, env_id=FOUR_ROOMS, bins=_NEAR),
    _LAVA_CROSSING: partial(_env_task, name=_LAVA_CROSSING, env_id=_LAVA_CROSSING, bins=_NEAR[:2]),
    "rooms-doors": _rooms_doors,
    "rooms-many": partial(RoomsMany, name="rooms-many", bins=_LADDER),
    **{name: partial(trip_task, name=name) for name in TRIPS},
    "point-rooms": point_rooms,
    "point-rooms-pixels": point_rooms_pixels,
}


def build_task(name: str, layout_seed: int, *, view: str = "full", **options: Any) -> Any:
    """Build a task by name, by a gymnasium id, or by the import path of your own.

    Args:
        name: a key of `TASKS`, or of `MAZES` with the extra `mazes`; the id of a MiniGrid world;
            `gym:` and any gymnasium id; or the path `module.factory` of a function or class that
            takes a layout seed and returns a task.
        layout_seed: fixes the world.
        view: "full", or "partial" for MiniGrid's 7 x 7 cells before the agent.
        options: what else the config sets of a task, which those of `gym:` alone have.

    Raises:
        ValueError: there is no such task, or it has no such options.
    """
    if layout_seed < 0:
        raise ValueError(f"layout_seed = {layout_seed} must be 0 or more; give another seed.")
    if name.startswith(GYM):
        if view != "full":
            raise ValueError(f"task.view = {view!r}; task.name = {name} has only its own, full.")
        from tasks.gymnasium_envs.task import make_gym_task

        return make_gym_task(name, layout_seed, **options)
    for option, value in options.items():
        raise ValueError(
            f"task.{option} = {value!r} is for tasks called {GYM}<id>; task.name = {name} has its "
            "own goals and its own rule of success."
        )
    task = _whole_view(name, layout_seed)
    if view == "full":
        return task
    from tasks.partial import partial_view

    return partial_view(task)


def _whole_view(name: str, layout_seed: int) -> Any:
    if name in TASKS:
        return TASKS[name](layout_seed=layout_seed)
    if name in MAZES:
        return maze_task(layout_seed, name=name)
    if name in gym.registry:
        return _minigrid_task(name, layout_seed)
    task = _imported_factory(name)(layout_seed)
    missing = [part for part in PARTS_OF_A_TASK if not hasattr(task, part)]
    if missing:
        raise ValueError(
            f"task '{name}' returned a {type(task).__name__} without {', '.join(missing)}; its "
            "factory must return a task, see docs/your-own-environment.md."
        )
    return task


def _imported_factory(path: str) -> Callable[[int], Any]:
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
    ids = [name for name in gym.registry if name.startswith("MiniGrid-")]
    near = difflib.get_close_matches(name, [*TASKS, *MAZES, *ids], n=1, cutoff=0.75)
    hint = f" Did you mean {near[0]}?" if near else ""
    return ValueError(
        f"unknown task '{name}'{reason}; known tasks: {', '.join([*TASKS, *MAZES])}, a MiniGrid "
        f"id, {GYM} and any gymnasium id, or module.factory of your own.{hint}"
    )
