"""`point-rooms` and `point-rooms-pixels`: one world, seen as numbers or as pixels."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from hplan.dataset import EpisodeStore, ObservationSpec
from tasks.collect import behaviour_of
from tasks.point_rooms.paths import APPROACH, SUCCESS_RADIUS, CellPaths, at_goal, steps_bound
from tasks.point_rooms.pixels import SIDE, draw, picture, places
from tasks.point_rooms.roam import Roamer, roam
from tasks.point_rooms.world import MAX_SPEED, PointWorld, check_actions
from tasks.seeds import Stream, stream_generator
from tasks.suite import Bins, Pairs, Suite, check_episodes_per_bin
from tasks.wander import less_as_before, wanderer_of

View = Literal["state", "pixels"]
# The three bands of the published maze tables, in cells of a shortest path, both ends included.
BINS: Bins = (("near", 5, 8), ("middle", 9, 12), ("far", 13, 16))
# Datasets that were collected before this was written down lack it.
_UNWRITTEN = {"approach": 0.5}
EPISODES_PER_CHUNK: dict[View, int] = {"state": 500, "pixels": 100}  # of pixels 180 MB


@dataclass(frozen=True, kw_only=True, eq=False)
class PointRoomsTask:
    """Reach a place with a point mass that has momentum; states are those of `PointWorld`.

    Attributes:
        name: as given to `build_task`.
        layout_seed: fixes the doorways.
        view: "state", x, y, vx, vy scaled to [-1, 1], or "pixels", see `tasks.point_rooms.pixels`.
        bins: (name, low, high) of the suite, in cells of a shortest path, both ends included.
        roamer: the behaviour policy of the data.
    """

    name: str
    layout_seed: int
    view: View
    bins: Bins = BINS
    roamer: Roamer = field(default_factory=Roamer)
    success_rule: ClassVar[str] = (
        f"the point is within {SUCCESS_RADIUS:g} cells of the goal's place, whatever its velocity"
    )
    optimal_is_exact: ClassVar[bool] = False
    reference: ClassVar[str] = "upper bound: of a controller on exact shortest paths of cells"

    def __post_init__(self) -> None:
        if self.view not in get_args(View):
            raise ValueError(f"view = {self.view!r} is unknown; give 'state' or 'pixels'.")

    @cached_property
    def paths(self) -> CellPaths:
        """Shortest paths of the world."""
        return CellPaths(world=PointWorld.of_rooms(self.layout_seed))

    @property
    def world(self) -> PointWorld:
        """Walls and physics."""
        return self.paths.world

    @property
    def spec(self) -> ObservationSpec:
        """What observations and actions look like."""
        bounds = {"action_low": (-1.0, -1.0), "action_high": (1.0, 1.0)}
        if self.view == "pixels":
            return ObservationSpec(kind="pixels", shape=(SIDE, SIDE, 3), **bounds)
        return ObservationSpec(kind="vector", shape=(4,), **bounds)

    @property
    def behaviour(self) -> dict[str, Any]:
        """The behaviour policy's name and parameters, and how it heads for a place."""
        return less_as_before({**behaviour_of(self.roamer), "approach": APPROACH}, _UNWRITTEN)

    @property
    def episodes_per_chunk(self) -> int:
        """That are drawn from one stream of random numbers, and kept at once."""
        return EPISODES_PER_CHUNK[self.view]

    @property
    def num_places(self) -> int:
        """Free cells of the world."""
        return len(self.world.cells)

    def places(self, obs: np.ndarray) -> np.ndarray:
        """(B,) int64: the free cell, a row of `world.cells`, that observations (B, ...) show."""
        if self.view == "pixels":
            return self.world.cells_of(places(self.world, obs))
        return self.world.cells_of((obs.astype(np.float64) + self._middle) / self._scale)

    def wander(
        self,
        num_episodes: int,
        episode_length: int,
        generator: np.random.Generator,
        policy: Roamer | None = None,
    ) -> EpisodeStore:
        """Let agents roam from random places; `policy` in place of the task's own `roamer`.

        Both views of one generator are of the same episodes.
        """
        states, actions = roam(
            self.paths,
            num_agents=num_episodes,
            num_steps=episode_length,
            roamer=wanderer_of(self.name, policy, self.roamer),
            generator=generator,
        )
        # Hardly ever is a state seen twice, so each step has a frame of its own.
        num_frames = num_episodes * (episode_length + 1)
        return EpisodeStore(
            frames=self.observe(states.reshape(num_frames, 4)),
            frame_index=np.arange(num_frames, dtype=np.int32).reshape(num_episodes, -1),
            actions=actions,
            lengths=np.full(num_episodes, episode_length),
            spec=self.spec,
        )

    def suite(self, *, episodes_per_bin: int, seed: int) -> Suite:
        """Draw the start-goal pairs that methods are compared on; all start and end at rest.

        Allowed are 3 x `steps_bound` of a bin's longest path, plus 20 env steps.
        """
        check_episodes_per_bin(episodes_per_bin)
        drawn = []
        for index, (name, low, high) in enumerate(self.bins):
            generator = stream_generator(Stream.SUITE, seed, index)
            lengths = self.paths.lengths
            starts, goals = np.nonzero((lengths >= low) & (lengths <= high))
            if not len(starts):
                raise ValueError(
                    f"bin '{name}' of {low} to {high} cells cannot be filled: the longest path of "
                    f"this world has {lengths.max()}; use another layout seed or shorter bins."
                )
            chosen = generator.integers(len(starts), size=episodes_per_bin)
            drawn.append(self._pairs(starts[chosen], goals[chosen], generator))
        bin_index = np.repeat(np.arange(len(self.bins)), episodes_per_bin)
        longest = np.array([high for _, _, high in self.bins])
        return Suite(
            name=self.name,
            bins=self.bins,
            starts=np.concatenate([pairs.starts for pairs in drawn]),
            goals=np.concatenate([pairs.goals for pairs in drawn]),
            optimal_steps=np.concatenate([pairs.optimal_steps for pairs in drawn]),
            bin_index=bin_index,
            budgets=3 * steps_bound(longest[bin_index]) + 20,
        )

    def validation_pairs(self, num_pairs: int, *, seed: int) -> Pairs:
        """Draw start-goal pairs, evenly over all lengths of paths, to judge energies with."""
        if num_pairs < 1:
            raise ValueError(f"num_pairs = {num_pairs} must be at least 1; give more.")
        generator = stream_generator(Stream.VALIDATION, seed)
        goals = generator.integers(len(self.world.cells), size=num_pairs)
        to_goal = self.paths.lengths[:, goals]
        wanted = generator.integers(1, to_goal.max(0) + 1)
        # Among the cells at the wanted distance, a random one.
        order = np.where(to_goal == wanted, generator.random(to_goal.shape), -1.0)
        return self._pairs(order.argmax(0), goals, generator)

    def _pairs(
        self, starts: np.ndarray, goals: np.ndarray, generator: np.random.Generator
    ) -> Pairs:
        """Pairs at rest, at random places of the cells `starts` and `goals`, (E,) each."""
        begins = self.world.random_states(starts, generator)
        ends = self.world.random_states(goals, generator)
        return Pairs(starts=begins, goals=ends, optimal_steps=self.paths.steps(begins, ends))

    def distances_to_a_goal(self, num_states: int) -> tuple[np.ndarray, np.ndarray]:
        """Observations of `num_states` states at rest, and the controller's steps to one place.

        Returns:
            (M, *spec.shape), and (M,) int64; the same at every call.
        """
        random = stream_generator(Stream.VALIDATION, self.layout_seed)
        num_cells = len(self.world.cells)
        goal = self.world.random_states(random.integers(num_cells, size=1), random)
        states = self.world.random_states(random.integers(num_cells, size=num_states), random)
        return self.observe(states), self.paths.steps(states, goal.repeat(num_states, axis=0))

    def batch(self, starts: np.ndarray) -> "PointBatch":
        """Place B points at `starts`, (B, 4)."""
        return PointBatch(self, starts)

    def observe(self, states: np.ndarray) -> np.ndarray:
        """Observations (B, *spec.shape) of states or goals, (B, 4): uint8 pixels, or float32."""
        if self.view == "pixels":
            return draw(self.world, np.asarray(states))
        return (np.asarray(states) * self._scale - self._middle).astype(np.float32)

    @property
    def _scale(self) -> np.ndarray:
        height, width = self.world.walls.shape
        return np.array([2.0 / width, 2.0 / height, 1.0 / MAX_SPEED, 1.0 / MAX_SPEED])

    @property
    def _middle(self) -> np.ndarray:
        return np.array([1.0, 1.0, 0.0, 0.0])

    def picture(self, obs: np.ndarray) -> np.ndarray:
        """Draw one observation, (*spec.shape), for a person: (height, width, 3) uint8."""
        if self.view == "state":
            state = (obs.astype(np.float64) + self._middle) / self._scale
            obs = draw(self.world, state[None])[0]
        return picture(obs)

    def is_success(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) bool: the rule above, for states and goals (B, 4)."""
        return at_goal(np.asarray(states), np.asarray(goals))

    def optimal_actions(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B, 2) the controller's next accelerations from `states` to `goals`, (B, 4) each."""
        return self.paths.optimal_actions(np.asarray(states), np.asarray(goals))


class PointBatch:
    """B points, each alone in its own copy of the world, stepped together.

    Attributes:
        states: (B, 4) float64: x, y, vx, vy of each.
    """

    def __init__(self, task: PointRoomsTask, states: np.ndarray) -> None:
        self.task = task
        self.states = np.array(states, np.float64)
        task.world.check_states(self.states)

    def step(self, actions: np.ndarray) -> None:
        """Move every point by one env step; `actions` is (B, 2): accelerations in [-1, 1]."""
        actions = np.asarray(actions, np.float64)
        check_actions(actions, len(self.states))
        self.states = self.task.world.step(self.states, actions)

    def observe(self) -> np.ndarray:
        """(B, *spec.shape): what each sees."""
        return self.task.observe(self.states)


def point_rooms(layout_seed: int) -> PointRoomsTask:
    """The task `point-rooms`."""
    return PointRoomsTask(name="point-rooms", layout_seed=layout_seed, view="state")


def point_rooms_pixels(layout_seed: int) -> PointRoomsTask:
    """The task `point-rooms-pixels`."""
    return PointRoomsTask(name="point-rooms-pixels", layout_seed=layout_seed, view="pixels")
