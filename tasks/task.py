"""A task: a world to reach goals in, with its data, its suites and its rule of success."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from hplan.dataset import EpisodeStore, ObservationSpec
from tasks.collect import EPISODES_PER_CHUNK, behaviour_of
from tasks.grid_episodes import grid_episodes, observation_spec
from tasks.oracle import optimal_actions, optimal_path, optimal_steps_to_cell
from tasks.pictures import grid_picture
from tasks.seeds import Stream, stream_generator
from tasks.simulator import GridBatch, GridWorld
from tasks.suite import Bins, Pairs, Suite, make_suite, validation_pairs
from tasks.wander import Wanderer, wanderer_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A world to reach goals in, with its data, its suites and its rule of success.

    Attributes:
        name: as given to `build_task`.
        layout_seed: fixes the world.
        world: the simulator's fixed part.
        bins: (name, low, high) of the suite, in optimal env steps.
        wanderer: the behaviour policy of its data.
        episodes_per_chunk: that are drawn from one stream of random numbers, and kept at once.
    """

    name: str
    layout_seed: int
    world: GridWorld
    bins: Bins
    wanderer: Wanderer = field(default_factory=Wanderer)
    episodes_per_chunk: int = EPISODES_PER_CHUNK
    success_rule: ClassVar[str] = "the agent is in the goal's cell"

    @property
    def spec(self) -> ObservationSpec:
        """What observations and actions look like."""
        return observation_spec(self.world)

    @property
    def behaviour(self) -> dict[str, Any]:
        """The behaviour policy's name and parameters."""
        return behaviour_of(self.wanderer)

    @property
    def reachable_states(self) -> np.ndarray:
        """(S, 3) int64: all that an agent can come to be in."""
        return self.world.all_states[self.world.reachable]

    def wander(
        self,
        num_episodes: int,
        episode_length: int,
        generator: np.random.Generator,
        policy: Wanderer | None = None,
    ) -> EpisodeStore:
        """Draw reward-free episodes; a `policy` takes the place of the task's own wanderer."""
        return grid_episodes(
            self.world,
            num_episodes=num_episodes,
            episode_length=episode_length,
            generator=generator,
            wanderer=wanderer_of(self.name, policy, self.wanderer),
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
        goal = tuple(random.choice(self.world.cells[: self.world.num_land_cells]).tolist())
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
        return grid_picture(obs, lava=self.world.lava)

    def is_success(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) bool: the agent, (B, 3), is in its goal's cell, (B, 3), whatever the heading."""
        return (np.asarray(states)[:, :2] == np.asarray(goals)[:, :2]).all(axis=1)

    def is_unsafe(self, states: np.ndarray) -> np.ndarray:
        """(B,) bool: the agent, (B, 3), stands in lava."""
        return self.world.in_lava[self.world.state_index(states)]

    def labelled_states(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Observations that say what a name means: of all states that an agent can come to be in.

        Args:
            name: "lava", true where the agent stands in it.

        Returns:
            (M, *spec.shape) uint8, and (M,) bool.

        Raises:
            ValueError: the world has no such labels.
        """
        world = self.world
        known = ["lava"] if world.lava.any() else []
        if name not in known:
            raise ValueError(
                f"task '{self.name}' has no labelled states {name!r}; known there: "
                f"{', '.join(known) or 'none'}."
            )
        return self.observe(self.reachable_states), world.in_lava[world.reachable]

    def optimal_actions(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) int64: the first action of a shortest path from each state, (B, 3), to its goal.

        Where the goal's cell is reached, or cannot be, it is 0.
        """
        return optimal_actions(self.world, states, goals)

    def optimal_paths(self, starts: np.ndarray, goals: np.ndarray) -> list[list[int]]:
        """Actions of a shortest path from each start, (E, 3), to its goal's cell, (E, 3)."""
        return [
            optimal_path(self.world, start, (int(goal[0]), int(goal[1])))
            for start, goal in zip(starts, goals, strict=True)
        ]
