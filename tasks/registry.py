"""The tasks that ship with hplan, and how to name one of your own."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import gymnasium as gym
import numpy as np

from hplan.dataset import EpisodeStore, ObservationSpec
from tasks.collect import collect, observation_spec
from tasks.goals import SymbolicGoal, fixed_world
from tasks.oracle import optimal_path, optimal_steps_to_cell
from tasks.pictures import grid_picture
from tasks.rooms import ROOMS_IDS
from tasks.seeds import Stream, stream_generator
from tasks.simulator import GridBatch, GridWorld
from tasks.suite import Bins, Pairs, Suite, fitting_bins, make_suite, validation_pairs
from tasks.wander import Wanderer

EnvOptions = Callable[[int], dict[str, int]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A world to reach goals in, with its data, its suites and its rule of success.

    Attributes:
        name: as given to `build_task`.
        layout_seed: fixes the world.
        world: the simulator's fixed part.
        bins: (name, low, high) of the suite, in optimal env steps.
    """

    name: str
    layout_seed: int
    world: GridWorld
    bins: Bins

    @property
    def spec(self) -> ObservationSpec:
        """What observations and actions look like."""
        return observation_spec(self.world)

    def collect(
        self,
        *,
        num_episodes: int,
        episode_length: int,
        seed: int,
        wanderer: Wanderer | None = None,
        num_workers: int = 1,
    ) -> EpisodeStore:
        """Collect reward-free episodes; see `tasks.collect.collect`."""
        return collect(
            self.world,
            num_episodes=num_episodes,
            episode_length=episode_length,
            seed=seed,
            wanderer=wanderer or Wanderer(),
            num_workers=num_workers,
            metadata={
                "task": self.name,
                "layout_seed": self.layout_seed,
                "version": _library_version(),
            },
        )

    def suite(self, *, episodes_per_bin: int, seed: int) -> Suite:
        """Draw the start-goal pairs that methods are compared on."""
        return make_suite(
            self.world,
            name=self.name,
            bins=self.bins,
            episodes_per_bin=episodes_per_bin,
            seed=seed,
        )

    def validation_pairs(self, num_pairs: int, *, seed: int) -> Pairs:
        """Draw start-goal pairs, spread over distances, to judge energies with during training."""
        return validation_pairs(self.world, num_pairs=num_pairs, seed=seed)

    def distances_to_a_goal(self, num_states: int) -> tuple[np.ndarray, np.ndarray]:
        """Observations of up to `num_states` states, and their env steps to one cell of the world.

        Returns:
            (M, *spec.shape) uint8, and (M,) int64; the same at every call.
        """
        random = stream_generator(Stream.VALIDATION, self.layout_seed)
        goal = tuple(random.choice(self.world.cells).tolist())
        steps = optimal_steps_to_cell(self.world, goal)
        states = np.flatnonzero(steps >= 0)
        states = random.permutation(states)[:num_states]
        return self.observe(self.world.all_states[states]), steps[states].astype(np.int64)

    def batch(self, starts: np.ndarray) -> GridBatch:
        """Place B agents at `starts`, (B, 3) int: x, y, heading."""
        return GridBatch(self.world, starts)

    def observe(self, states: np.ndarray) -> np.ndarray:
        """Encode states or goals, (B, 3), as observations, (B, *spec.shape) uint8."""
        return self.world.observe(states)

    def picture(self, obs: np.ndarray) -> np.ndarray:
        """Draw one observation, (*spec.shape), for a person: (height, width, 3) uint8."""
        return grid_picture(obs)

    def is_success(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) bool: the agent, (B, 3), is in its goal's cell, (B, 3), whatever the heading."""
        return (np.asarray(states)[:, :2] == np.asarray(goals)[:, :2]).all(axis=1)

    def optimal_paths(self, starts: np.ndarray, goals: np.ndarray) -> list[list[int]]:
        """Actions of a shortest path from each start, (E, 3), to its goal's cell, (E, 3)."""
        return [
            optimal_path(self.world, start, (int(goal[0]), int(goal[1])))
            for start, goal in zip(starts, goals, strict=True)
        ]


def _library_version() -> str:
    try:
        return version("hplan")
    except PackageNotFoundError:
        return "not installed"


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
}
_FOUR_ROOMS = "MiniGrid-FourRooms-v0"

TASKS: dict[str, Callable[[int], Task]] = {
    **{
        name: partial(_env_task, name=name, env_id=env_id, bins=_BINS[name], options=_rooms_options)
        for name, env_id in ROOMS_IDS.items()
    },
    "four-rooms": partial(_env_task, name="four-rooms", env_id=_FOUR_ROOMS, bins=_NEAR),
    _FOUR_ROOMS: partial(_env_task, name=_FOUR_ROOMS, env_id=_FOUR_ROOMS, bins=_NEAR),
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


def build_task(name: str, layout_seed: int) -> Task:
    """Build a task by name, by a registered MiniGrid id, or by the import path of your own.

    Args:
        name: a key of `TASKS`, the gymnasium id of a MiniGrid world of walls, or the path
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
    if not isinstance(task, Task):
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
