"""`rooms-many`: walks in some layouts of the rooms, goals in layouts that no walk has seen.

A *state* is (layout, x, y, heading): a layout's number in the task's list, and the rest as in
`tasks.simulator`. The list holds three sets that share no layout: those of the data, those of the
suite, and those of validation pairs, by which one may choose settings.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from hplan.dataset import EpisodeStore, ObservationSpec
from tasks.collect import EPISODES_PER_CHUNK, behaviour_of
from tasks.grid_episodes import grid_episodes, observation_spec
from tasks.grid_worlds import GridWorlds
from tasks.layout import rooms_layout
from tasks.oracle import optimal_steps_to_cell
from tasks.pictures import grid_picture
from tasks.rooms import ROOM_SIZE, ROOMS_OPTIONS
from tasks.seeds import Stream, stream_generator
from tasks.simulator import NUM_HEADINGS, GridBatch, GridWorld
from tasks.suite import Bins, Pairs, Suite, check_episodes_per_bin
from tasks.wander import Wanderer, wanderer_of

NUM_TRAINING, NUM_SUITE, NUM_VALIDATION = 25, 20, 10
_SUITE, _VALIDATION = 1000, 2000  # of these seeds the sets begin; that of the data at 0
_SEEDS_APART = 10_000  # between the layouts of one `layout_seed` and of the next
_PAIRS_OF_A_GOAL = 8  # validation pairs that share a goal


@dataclass(frozen=True, kw_only=True, eq=False)
class RoomsMany:
    """Reach any cell of a layout that the data does not hold.

    Attributes:
        name: as given to `build_task`.
        layout_seed: fixes all layouts.
        bins: (name, low, high) of the suite, in optimal env steps.
        is_mirrored: whether walks go through the eight mirror images and quarter turns of each
            training layout. Those are further layouts of the data: 200 in place of 25.
        wanderer: the behaviour policy of the data.
        episodes_per_chunk: that are drawn from one stream of random numbers, and kept at once.
    """

    name: str
    layout_seed: int
    bins: Bins
    is_mirrored: bool = False
    wanderer: Wanderer = field(default_factory=Wanderer)
    episodes_per_chunk: int = EPISODES_PER_CHUNK
    success_rule: ClassVar[str] = "the agent is in the goal's cell"
    pose: ClassVar[slice] = slice(1, 4)  # x, y, heading among the columns of a state

    @cached_property
    def training_worlds(self) -> GridWorlds:
        """The layouts of the data, and where asked for their mirror images and quarter turns."""
        layouts = self._layouts(0, NUM_TRAINING)
        if self.is_mirrored:
            layouts = [image for walls in layouts for image in images(walls)]
        return GridWorlds([GridWorld.from_walls(walls) for walls in layouts])

    @cached_property
    def worlds(self) -> GridWorlds:
        """All layouts, those of the data first, then those of the suite, then of validation."""
        unseen = self._layouts(_SUITE, NUM_SUITE) + self._layouts(_VALIDATION, NUM_VALIDATION)
        return GridWorlds(
            [*self.training_worlds.worlds, *(GridWorld.from_walls(walls) for walls in unseen)]
        )

    def _layouts(self, first: int, count: int) -> list[np.ndarray]:
        """`count` plans of walls, (height, width) bool."""
        first += _SEEDS_APART * self.layout_seed
        rooms = ROOMS_OPTIONS["rooms"]["rooms_per_side"]
        return [rooms_layout(rooms, ROOM_SIZE, first + i, 0.25) for i in range(count)]

    @property
    def _suite_layouts(self) -> range:
        """Their numbers in `worlds`."""
        first = len(self.training_worlds.worlds)
        return range(first, first + NUM_SUITE)

    @property
    def _validation_layouts(self) -> range:
        """Their numbers in `worlds`."""
        return range(self._suite_layouts.stop, self._suite_layouts.stop + NUM_VALIDATION)

    @property
    def spec(self) -> ObservationSpec:
        """What observations and actions look like."""
        return observation_spec(self.training_worlds.worlds[0])

    @property
    def behaviour(self) -> dict[str, Any]:
        """The behaviour policy's name and parameters, and what it wanders in."""
        return {
            **behaviour_of(self.wanderer),
            "layouts": NUM_TRAINING,
            "mirrored": self.is_mirrored,
        }

    @property
    def reachable_states(self) -> np.ndarray:
        """(S, 4) int64: all of the layouts of the data, which come first among `worlds`."""
        return self.training_worlds.all_states

    def wander(
        self,
        num_episodes: int,
        episode_length: int,
        generator: np.random.Generator,
        policy: Wanderer | None = None,
    ) -> EpisodeStore:
        """Draw reward-free episodes, each in a training layout drawn at random.

        A `policy` takes the place of the task's own wanderer.
        """
        return grid_episodes(
            self.training_worlds,
            num_episodes=num_episodes,
            episode_length=episode_length,
            generator=generator,
            wanderer=wanderer_of(self.name, policy, self.wanderer),
        )

    def suite(self, *, episodes_per_bin: int, seed: int) -> Suite:
        """Draw start-goal pairs, in each bin as many in one unseen layout as in another.

        The first pair of a bin is in the first of them, the next in the next, and so on round.

        Raises:
            ValueError: a layout has no pair of a bin's length.
        """
        check_episodes_per_bin(episodes_per_bin)
        drawn = [
            pair
            for index in range(len(self.bins))
            for pair in self._draw_bin(
                index, episodes_per_bin, stream_generator(Stream.SUITE, seed, index)
            )
        ]
        pairs = self._pairs(drawn)
        return Suite(
            name=self.name,
            bins=self.bins,
            starts=pairs.starts,
            goals=pairs.goals,
            optimal_steps=pairs.optimal_steps,
            bin_index=np.repeat(np.arange(len(self.bins)), episodes_per_bin),
        )

    def _draw_bin(
        self, index: int, num_pairs: int, generator: np.random.Generator
    ) -> Iterator[tuple[int, int, int]]:
        """Indices of start and goal in `worlds`, and env steps, of each pair of a bin."""
        bin_name, low, high = self.bins[index]
        lowest = low if index == 0 else low + 1
        layouts = self._suite_layouts
        for number in range(num_pairs):
            layout = layouts[number % len(layouts)]
            world, first = self.worlds.worlds[layout], self.worlds.first_states[layout]
            for cell in generator.permutation(len(world.cells)):
                steps = optimal_steps_to_cell(world, tuple(world.cells[cell]))
                starts = np.flatnonzero((steps >= lowest) & (steps <= high))
                if len(starts):
                    break
            else:
                raise ValueError(
                    f"bin '{bin_name}' of {lowest} to {high} env steps cannot be filled in layout "
                    f"{layout} of layout_seed {self.layout_seed}; use another layout seed."
                )
            start = generator.choice(starts)
            goal = NUM_HEADINGS * cell + generator.integers(NUM_HEADINGS)
            yield first + start, first + goal, steps[start]

    def validation_pairs(self, num_pairs: int, *, seed: int) -> Pairs:
        """Draw pairs spread over distances, in layouts that neither data nor suite holds.

        A goal cell has several of the pairs, with distances drawn from 1 to the largest that the
        goal has.
        """
        if num_pairs < 1:
            raise ValueError(
                f"num_pairs = {num_pairs} must be at least 1; give a positive integer."
            )
        generator = stream_generator(Stream.VALIDATION, seed)
        layouts, drawn = self._validation_layouts, []
        while len(drawn) < num_pairs:
            layout = layouts[len(drawn) // _PAIRS_OF_A_GOAL % len(layouts)]
            world, first = self.worlds.worlds[layout], self.worlds.first_states[layout]
            cell = generator.integers(len(world.cells))
            steps = optimal_steps_to_cell(world, tuple(world.cells[cell]))
            for distance in generator.integers(1, steps.max() + 1, size=_PAIRS_OF_A_GOAL):
                start = generator.choice(np.flatnonzero(steps == distance))
                goal = NUM_HEADINGS * cell + generator.integers(NUM_HEADINGS)
                drawn.append((first + start, first + goal, distance))
        return self._pairs(drawn[:num_pairs])

    def _pairs(self, drawn: list[tuple[int, int, int]]) -> Pairs:
        starts, goals, steps = np.array(drawn, dtype=np.int64).T
        states = self.worlds.all_states
        return Pairs(starts=states[starts], goals=states[goals], optimal_steps=steps)

    def distances_to_a_goal(self, num_states: int) -> tuple[np.ndarray, np.ndarray]:
        """Observations of up to `num_states` states of one validation layout, and their env steps.

        Returns:
            (M, *spec.shape) uint8, and (M,) int64 env steps to one cell; the same at every call.
        """
        random = stream_generator(Stream.VALIDATION, self.layout_seed)
        layout = self._validation_layouts[0]
        world = self.worlds.worlds[layout]
        steps = optimal_steps_to_cell(world, tuple(random.choice(world.cells).tolist()))
        states = random.permutation(world.num_states)[:num_states]
        return world.observe(world.all_states[states]), steps[states].astype(np.int64)

    def batch(self, starts: np.ndarray) -> GridBatch:
        """Place B agents at `starts`, (B, 4) int: layout, x, y, heading."""
        return GridBatch(self.worlds, starts)

    def observe(self, states: np.ndarray) -> np.ndarray:
        """Encode states or goals, (B, 4), as observations, (B, *spec.shape) uint8."""
        return self.worlds.observe(states)

    def grid_of(self, state: np.ndarray) -> np.ndarray:
        """(width, height, 3) uint8: MiniGrid's grid for a state, (4,), without the agent."""
        return self.worlds.backgrounds[state[0]]

    def picture(self, obs: np.ndarray) -> np.ndarray:
        """Draw one observation, (*spec.shape), for a person: (height, width, 3) uint8."""
        return grid_picture(obs)

    def is_success(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) bool: the agent, (B, 4), is in its goal's cell, (B, 4), whatever the heading."""
        return (np.asarray(states)[:, :3] == np.asarray(goals)[:, :3]).all(axis=1)

    def optimal_actions(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) int64: the first action of a shortest path from states (B, 4) to goals' cells.

        Where the cell is reached it is 0. A goal, (B, 4), is in its state's layout.
        """
        states, goals = np.asarray(states), np.asarray(goals)
        actions = np.empty(len(states), np.int64)
        for row, (state, goal) in enumerate(zip(states, goals, strict=True)):
            world = self.worlds.worlds[state[0]]
            after = world.transitions[world.state_index(state[1:])]
            actions[row] = optimal_steps_to_cell(world, tuple(goal[1:3]))[after].argmin()
        return actions


def images(walls: np.ndarray) -> list[np.ndarray]:
    """The eight mirror images and quarter turns of square walls, themselves first."""
    return [np.rot90(image, turns).copy() for image in (walls, walls.T) for turns in range(4)]
