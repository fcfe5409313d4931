"""Any grid task seen through MiniGrid's egocentric 7 x 7 view."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from minigrid.core.constants import OBJECT_TO_IDX

from hplan.dataset import EpisodeStore, ObservationSpec
from hplan.task import GoalsOfManyLooks, Hazardous, KnownDistances, Solvable, Worlds
from tasks.coverage import ListsStates
from tasks.distinct import distinct
from tasks.doors_task import DoorsTask
from tasks.egocentric import CORNER, VIEW, Cell, egocentric
from tasks.pictures import grid_picture
from tasks.suite import Bins, Pairs, Suite
from tasks.task import Task


class PartialBatch:
    """B environments stepped together, of which each agent sees its view."""

    def __init__(self, task: "PartialTask", worlds: Worlds) -> None:
        self.task, self.worlds = task, worlds

    @property
    def states(self) -> np.ndarray:
        """(B, ...) those of the task in full view."""
        return self.worlds.states

    def step(self, actions: np.ndarray) -> None:
        """Takes one action (B,) in each."""
        self.worlds.step(actions)

    def observe(self) -> np.ndarray:
        """(B, 7, 7, 3) uint8."""
        if self.task.views_by_state is not None:
            return self.task.observe(self.worlds.states)
        return self.task.see(self.worlds.observe())


@dataclass(frozen=True, kw_only=True, eq=False)
class PartialTask:
    """A task whose agent sees the 7 x 7 cells in front of it, as far as nothing hides them.

    States, suites and the rule of success are those of the task in full view. A goal is what is
    seen there.

    Attributes:
        full: the task in full view.
        see_through_walls: nothing hides anything.
    """

    full: Any
    see_through_walls: bool

    @property
    def name(self) -> str:
        """Another than the full task's, for their data do not go together."""
        return f"{self.full.name}-partial"

    @property
    def layout_seed(self) -> int:
        """Fixes the world."""
        return self.full.layout_seed

    @property
    def spec(self) -> ObservationSpec:
        """What observations and actions look like."""
        return replace(self.full.spec, shape=(VIEW, VIEW, 3))

    @property
    def success_rule(self) -> str:
        """In one phrase."""
        return self.full.success_rule

    @property
    def optimal_is_exact(self) -> bool:
        """The suite's `optimal_steps` are the fewest possible, for who sees everything."""
        return getattr(self.full, "optimal_is_exact", True)

    @property
    def reference(self) -> str:
        """What the suite's `optimal_steps` are, in words."""
        return getattr(self.full, "reference", "exact")

    @property
    def bins(self) -> Bins:
        """(name, low, high) of the suite, in env steps."""
        return self.full.bins

    @property
    def behaviour(self) -> dict[str, Any]:
        """The behaviour policy's name and parameters, and what else decides what is seen."""
        if not isinstance(self.full, _Pocketed):
            return self.full.behaviour
        return {**self.full.behaviour, "pocket": self.full.pocket}

    @property
    def episodes_per_chunk(self) -> int:
        """That are drawn from one stream of random numbers, and kept at once."""
        return self.full.episodes_per_chunk

    @cached_property
    def views_by_state(self) -> np.ndarray | None:
        """(S, 7, 7, 3) uint8 in a world of walls and lava, where all states can be numbered."""
        if not isinstance(self.full, Task | DoorsTask):
            return None
        world = self.full.world
        chunks = np.array_split(world.all_states, 1 + world.num_states // 1000)
        return np.concatenate([self.see(world.observe(chunk)) for chunk in chunks])

    def see(self, grids: np.ndarray) -> np.ndarray:
        """Views (B, 7, 7, 3) of full grids (B, width, height, 3)."""
        pocket = self.full.pocket if isinstance(self.full, _Pocketed) else CORNER
        return egocentric(grids, see_through_walls=self.see_through_walls, pocket=pocket)

    def observe(self, states: np.ndarray) -> np.ndarray:
        """Encode states or goals as views, (B, 7, 7, 3) uint8."""
        if self.views_by_state is not None:
            return self.views_by_state[self.full.world.state_index(np.asarray(states)[:, :3])]
        return self.see(self.full.observe(states))

    def goal_observations(self, goals: np.ndarray) -> np.ndarray:
        """(B, G, 7, 7, 3) uint8: views that goals, (B, ...), may give."""
        if not isinstance(self.full, GoalsOfManyLooks):
            return self.observe(goals)[:, None]
        looks = self.full.goal_observations(goals)
        return self.see(looks.reshape(-1, *looks.shape[2:])).reshape(
            *looks.shape[:2], VIEW, VIEW, 3
        )

    @property
    def reachable_states(self) -> np.ndarray | None:
        """(S, ...): the full task's; None where it does not know them."""
        return self.full.reachable_states if isinstance(self.full, ListsStates) else None

    def wander(
        self,
        num_episodes: int,
        episode_length: int,
        generator: np.random.Generator,
        policy: Any = None,
    ) -> EpisodeStore:
        """The full task's episodes, as seen by the agent."""
        store = self.full.wander(num_episodes, episode_length, generator, policy)
        views = self.see(store.frames)
        first, number = distinct(views.reshape(len(views), -1))
        index = number.astype(np.int32)[store.frame_index]
        return replace(store, frames=views[first], frame_index=index, spec=self.spec)

    def suite(self, *, episodes_per_bin: int, seed: int) -> Suite:
        """The full task's start-goal pairs."""
        return self.full.suite(episodes_per_bin=episodes_per_bin, seed=seed)

    def validation_pairs(self, num_pairs: int, *, seed: int) -> Pairs:
        """The full task's."""
        return self.full.validation_pairs(num_pairs, seed=seed)

    def distances_to_a_goal(self, num_states: int) -> tuple[np.ndarray, np.ndarray]:
        """Views (M, 7, 7, 3) of states, and their env steps (M,) to one goal of the world."""
        grids, steps = self.full.distances_to_a_goal(num_states)
        return self.see(grids), steps

    def batch(self, starts: np.ndarray) -> PartialBatch:
        """Environments at `starts`."""
        return PartialBatch(self, self.full.batch(starts))

    def picture(self, obs: np.ndarray) -> np.ndarray:
        """Draw one view, (7, 7, 3), for a person: (height, width, 3) uint8."""
        return grid_picture(obs)

    def is_success(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) bool, as in full view."""
        return self.full.is_success(states, goals)

    def is_unsafe(self, states: np.ndarray) -> np.ndarray:
        """(B,) bool, as in full view."""
        if not isinstance(self.full, Hazardous):
            return np.zeros(len(states), bool)
        return self.full.is_unsafe(states)

    def labelled_states(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Views (M, 7, 7, 3), and (M,) bool, of what the full task knows by that name."""
        if not isinstance(self.full, _Labelled):
            raise ValueError(
                f"task '{self.name}' has no labelled states {name!r}; known there: none."
            )
        grids, labels = self.full.labelled_states(name)
        return self.see(grids), labels

    def optimal_actions(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) the oracle's, which sees everything."""
        return self.full.optimal_actions(states, goals)


@runtime_checkable
class _Labelled(Protocol):
    def labelled_states(self, name: str) -> tuple[np.ndarray, np.ndarray]: ...


@runtime_checkable
class _Pocketed(Protocol):
    @property
    def pocket(self) -> tuple[Cell, ...]:
        """Cells that show what the agent carries, in the order in which it comes by it."""


def partial_view(task: Any, *, see_through_walls: bool = False) -> PartialTask:
    """The task with what the agent sees in place of the full grid.

    Raises:
        ValueError: it has no grids of MiniGrid's objects, colours and states, or knows no ways.
    """
    spec = task.spec
    if spec.kind != "grid" or spec.shape[2] != 3 or spec.num_values[0] <= OBJECT_TO_IDX["agent"]:
        raise ValueError(
            f"task.view = partial, but task '{task.name}' has observations of kind '{spec.kind}' "
            f"and shape {spec.shape}; the 7 x 7 view needs MiniGrid's symbolic grid, use "
            "task.view = full."
        )
    if not isinstance(task, Solvable) or not isinstance(task, KnownDistances):
        raise ValueError(
            f"task.view = partial, but task '{task.name}' knows no shortest ways; it needs "
            "optimal_actions, validation_pairs and distances_to_a_goal, or use task.view = full."
        )
    return PartialTask(full=task, see_through_walls=see_through_walls)
