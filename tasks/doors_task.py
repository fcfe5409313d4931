"""`rooms-doors`: the world and the data of `rooms`, evaluated with some doorways shut."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from hplan.dataset import EpisodeStore, ObservationSpec
from tasks.doors import DoorsBatch, Doorways
from tasks.seeds import Stream, stream_generator
from tasks.simulator import WALL, GridWorld
from tasks.suite import Bins, Pairs, Suite, check_episodes_per_bin
from tasks.task import Task
from tasks.wander import Wanderer

SHUT_PROBABILITY = 0.3
_PROPOSALS = 4  # for each pair wanted, in one round
_MOST_ROUNDS = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class DoorsTask:
    """Rooms whose doorways are open in the data, and shut at random in the episodes of a suite.

    A stack trained on `rooms` can be evaluated here: observations are the same, and do not show
    what is shut. States are (x, y, heading, shut), see `tasks.doors`.

    Attributes:
        name: as given to `build_task`.
        rooms: the same world with every doorway open.
        room_size: free cells along each side of a room.
        bins: (name, low, high) of the suite, in optimal env steps, doorways shut.
        shut_probability: of each doorway, in each episode.
    """

    name: str
    rooms: Task
    room_size: int
    bins: Bins
    shut_probability: float = SHUT_PROBABILITY
    success_rule: ClassVar[str] = "the agent is in the goal's cell"
    pose: ClassVar[slice] = slice(0, 3)  # x, y, heading among the columns of a state

    @cached_property
    def doorways(self) -> Doorways:
        """Those of the world."""
        return Doorways.of_rooms(self.world, self.room_size)

    @property
    def world(self) -> GridWorld:
        """The simulator's fixed part, every doorway open."""
        return self.rooms.world

    @property
    def layout_seed(self) -> int:
        """Fixes the world."""
        return self.rooms.layout_seed

    @property
    def spec(self) -> ObservationSpec:
        """What observations and actions look like."""
        return self.rooms.spec

    @property
    def behaviour(self) -> dict[str, Any]:
        """The behaviour policy's name and parameters, those of `rooms`."""
        return self.rooms.behaviour

    @property
    def episodes_per_chunk(self) -> int:
        """Episodes drawn from one stream of random numbers."""
        return self.rooms.episodes_per_chunk

    @property
    def reachable_states(self) -> np.ndarray:
        """(S, 3) int64: those of `rooms`, which look the same whatever is shut."""
        return self.rooms.reachable_states

    def wander(
        self,
        num_episodes: int,
        episode_length: int,
        generator: np.random.Generator,
        policy: Wanderer | None = None,
    ) -> EpisodeStore:
        """Draw the episodes of `rooms`, every doorway open."""
        return self.rooms.wander(num_episodes, episode_length, generator, policy)

    def suite(self, *, episodes_per_bin: int, seed: int) -> Suite:
        """Draw start-goal pairs, each with its own doorways shut; in every second a detour is due.

        Of each bin the 1st, 3rd, ... pair has a longer way than with every doorway open, the 2nd,
        4th, ... has not.
        """
        check_episodes_per_bin(episodes_per_bin)
        drawn = [
            self._draw_bin(index, episodes_per_bin, stream_generator(Stream.SUITE, seed, index))
            for index in range(len(self.bins))
        ]
        start, goal, shut, steps, open_steps = np.concatenate(drawn, axis=1)
        return Suite(
            name=self.name,
            bins=self.bins,
            starts=np.column_stack([self.world.all_states[start], shut]),
            goals=self.world.all_states[goal],
            optimal_steps=steps,
            bin_index=np.repeat(np.arange(len(self.bins)), episodes_per_bin),
            open_steps=open_steps,
        )

    def _draw_bin(self, index: int, num_pairs: int, generator: np.random.Generator) -> np.ndarray:
        """(5, E) int64: start and goal state, shut doorways, env steps with them and without."""
        name, low, high = self.bins[index]
        lowest = low if index == 0 else low + 1
        found = np.empty((5, 0), np.int64)
        num_detours = -(-num_pairs // 2)
        for _ in range(_MOST_ROUNDS):
            found = np.hstack([found, self._propose(_PROPOSALS * num_pairs, high, generator)])
            found = found[:, (found[3] >= lowest) & (found[3] <= high)]
            detours, direct = (found[:, (found[3] > found[4]) == due] for due in (True, False))
            if detours.shape[1] >= num_detours and direct.shape[1] >= num_pairs - num_detours:
                drawn = np.empty((5, num_pairs), np.int64)
                drawn[:, ::2] = detours[:, :num_detours]
                drawn[:, 1::2] = direct[:, : num_pairs - num_detours]
                return drawn
        raise ValueError(
            f"bin '{name}' of {lowest} to {high} env steps cannot be filled: too few ways of that "
            f"length, or detours, were found in layout {self.layout_seed}; use another layout seed "
            "or other bins."
        )

    def _propose(self, num_pairs: int, high: int, generator: np.random.Generator) -> np.ndarray:
        """(5, E) int64 as in `_draw_bin`: starts up to `high` env steps away, all doorways open."""
        world, doorways, rows = self.world, self.doorways, np.arange(num_pairs)
        goals = generator.integers(world.num_land_states, size=num_pairs)
        cells = world.all_states[goals, :2]
        open_steps = doorways.steps_to(cells, np.zeros(num_pairs, np.int64))
        near = (open_steps >= 1) & (open_steps <= high)
        starts = np.where(near, generator.random(near.shape), -1.0).argmax(axis=1)
        shut = np.array(
            [
                doorways.draw(start, goal, self.shut_probability, generator)
                for start, goal in zip(world.all_states[starts, :2], cells, strict=True)
            ]
        )
        steps = doorways.steps_to(cells, shut)[rows, starts]
        return np.stack([starts, goals, shut, steps, open_steps[rows, starts]]).astype(np.int64)

    def validation_pairs(self, num_pairs: int, *, seed: int) -> Pairs:
        """Draw the pairs of `rooms`, every doorway open."""
        pairs = self.rooms.validation_pairs(num_pairs, seed=seed)
        return replace(pairs, starts=np.column_stack([pairs.starts, np.zeros(num_pairs, np.int64)]))

    def distances_to_a_goal(self, num_states: int) -> tuple[np.ndarray, np.ndarray]:
        """Those of `rooms`, every doorway open; see `tasks.task.Task`."""
        return self.rooms.distances_to_a_goal(num_states)

    def batch(self, starts: np.ndarray) -> DoorsBatch:
        """Place B agents at `starts`, (B, 4) int: x, y, heading, shut doorways."""
        return DoorsBatch(self.doorways, starts)

    def observe(self, states: np.ndarray) -> np.ndarray:
        """Encode states (B, 4) or goals (B, 3) as observations, which do not show what is shut."""
        return self.rooms.observe(np.asarray(states)[:, :3])

    def grid_of(self, state: np.ndarray) -> np.ndarray:
        """(width, height, 3) uint8: MiniGrid's grid for a state, (4,), its shut doorways walls."""
        grid = self.world.background.copy()
        doorways = self.doorways.cells
        shut = (state[3] >> np.arange(len(doorways))) & 1 == 1
        grid[tuple(doorways[shut].T)] = WALL
        return grid

    def picture(self, obs: np.ndarray) -> np.ndarray:
        """Draw one observation, (*spec.shape), for a person: (height, width, 3) uint8."""
        return self.rooms.picture(obs)

    def is_success(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) bool: the agent, (B, 4), is in its goal's cell, (B, 3), whatever the heading."""
        return self.rooms.is_success(states, goals)

    def is_unsafe(self, states: np.ndarray) -> np.ndarray:
        """(B,) bool: never, for states (B, 4)."""
        return self.rooms.is_unsafe(np.asarray(states)[:, :3])

    def labelled_states(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Those of `rooms`, which has none; see `tasks.task.Task`."""
        return replace(self.rooms, name=self.name).labelled_states(name)

    def optimal_actions(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) int64: the next action from states (B, 4) of an agent that knows what is shut."""
        return self.doorways.optimal_actions(states, goals)

    def optimal_paths(self, starts: np.ndarray, goals: np.ndarray) -> list[list[int]]:
        """Actions of a shortest path, doorways shut, from each start, (E, 4), to its goal's cell.

        Who walks it knows from the start what is shut.
        """
        return self.doorways.paths(starts, goals)
