"""What hplan asks of a task: some things of every one, others of those that have them."""

from typing import Any, Protocol, runtime_checkable

import numpy as np

from hplan.dataset import EpisodeStore, ObservationSpec


@runtime_checkable
class Worlds(Protocol):
    """B environments stepped together; whatever a task's `batch(starts)` returns.

    They may be `Halting`.
    """

    def observe(self) -> np.ndarray:
        """(B, *obs_shape) observations."""

    def step(self, actions: np.ndarray) -> None:
        """Takes one action, (B, ...), in each."""

    @property
    def states(self) -> np.ndarray:
        """(B, ...) what the task's rule of success looks at."""


@runtime_checkable
class Halting(Protocol):
    """Worlds that cost much to step, or must not be stepped once an episode is over."""

    def halt(self, over: np.ndarray) -> None:
        """Stay as they are from now on where `over`, (B,) bool, whatever action is given."""


@runtime_checkable
class Task(Protocol):
    """What an evaluation asks of a task.

    It may be `Solvable`, `KnownDistances`, `GoalsOfManyLooks`, `Hazardous`,
    `hplan.drawing.Pictured`.
    """

    name: str
    spec: ObservationSpec
    success_rule: str

    def batch(self, starts: np.ndarray) -> Worlds:
        """Environments at `starts`."""

    def observe(self, states: np.ndarray) -> np.ndarray:
        """Observations of states; a goal's is made so too."""

    def is_success(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) bool."""


@runtime_checkable
class Solvable(Protocol):
    """A task that knows the way."""

    def optimal_actions(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B, ...) the next action of the oracle from each state to each goal, (B, ...) both."""


@runtime_checkable
class KnownDistances(Protocol):
    """A task that knows how far apart its states are."""

    def validation_pairs(self, num_pairs: int, *, seed: int) -> Any:
        """Pairs to judge energies with: `starts`, `goals` (M, ...), `optimal_steps` (M,)."""

    def distances_to_a_goal(self, num_states: int) -> tuple[np.ndarray, np.ndarray]:
        """Observations (M, *obs_shape) of states, and their env steps (M,) to one goal."""


@runtime_checkable
class NeedsEpisodes(Protocol):
    """A task that takes its goals from the data."""

    def with_episodes(self, store: EpisodeStore) -> "Task":
        """The task, with goals from these episodes."""


@runtime_checkable
class GoalsOfManyLooks(Protocol):
    """A task whose goals may look in several ways, any of which will do."""

    def goal_observations(self, goals: np.ndarray) -> np.ndarray:
        """(B, G, *obs_shape) of goals (B, ...)."""


@runtime_checkable
class Hazardous(Protocol):
    """A task in which something can happen that never should."""

    def is_unsafe(self, states: np.ndarray) -> np.ndarray:
        """(B,) bool: it has happened in these states (B, ...)."""


def with_goals(task: Task, store: EpisodeStore) -> Task:
    """The task, with goals from the data if that is where it takes them from."""
    return task.with_episodes(store) if isinstance(task, NeedsEpisodes) else task


def looks_of(task: Task, goals: np.ndarray) -> np.ndarray:
    """(B, G, *obs_shape) what goals (B, ...) may look like: in one way, or in several."""
    if isinstance(task, GoalsOfManyLooks):
        return task.goal_observations(goals)
    return task.observe(goals)[:, None]
