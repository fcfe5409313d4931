"""The tasks of MiniGrid's worlds of doors, keys, balls and boxes."""

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from hplan.dataset import EpisodeStore, ObservationSpec
from tasks.collect import EPISODES_PER_CHUNK, behaviour_of
from tasks.distinct import distinct
from tasks.objects import pairs as drawing
from tasks.objects.batch import ObjectBatch
from tasks.objects.fewer_moves import MOST_STATES, build_graph
from tasks.objects.graph import ObjectGraph, explore, keys_of
from tasks.objects.obstacles import avoid, populate
from tasks.objects.wanderer import ObjectWanderer, routes_of, wander
from tasks.objects.world import POSE, ObjectWorld
from tasks.pictures import grid_picture
from tasks.readings import MINIGRID_VALUES
from tasks.seeds import Stream, stream_generator
from tasks.suite import Bins, Pairs, Suite, check_episodes_per_bin
from tasks.wander import wanderer_of

LADDER: Bins = (("short", 5, 10), ("medium", 10, 20), ("long", 20, 40), ("far", 40, 80))
MISSION = "mission"
_OTHER_LOOKS = 3
_IGNORES_BALLS = "the shortest way if no ball were there; one that waits for balls is longer"


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectsTask:
    """Reach a place with or without a thing in hand, in one of MiniGrid's worlds of objects.

    The suite has bins by distance and, where MiniGrid's own mission can be told from cell and
    hands, a last bin "mission", which starts where MiniGrid does and ends with its mission done.

    Attributes:
        name: as given to `build_task`.
        layout_seed: fixes the world.
        world: its fixed part.
        mission_cells: (N,) int64, where the agent has done the mission; of any mission `()`.
        mission_look: what it carries then, see `ObjectWorld.look_carried`; 0 for anything.
        wanderer: the behaviour policy of its data.
        episodes_per_chunk: that are drawn from one stream of random numbers, and kept at once.
        most_states: of the graph; where there are more, distances are bounds.
    """

    name: str
    layout_seed: int
    world: ObjectWorld
    mission_cells: np.ndarray
    mission_look: int
    wanderer: ObjectWanderer = field(default_factory=ObjectWanderer)
    episodes_per_chunk: int = EPISODES_PER_CHUNK
    most_states: int = MOST_STATES
    success_rule: ClassVar[str] = "the agent is in the goal's cell and carries what it does there"

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the attributes alone: graph and routes are quick to make again."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @property
    def spec(self) -> ObservationSpec:
        """What observations and actions look like."""
        return ObservationSpec(
            shape=self.world.background.shape,
            num_values=MINIGRID_VALUES,
            num_actions=len(self.world.actions),
        )

    @cached_property
    def _graph_and_bound(self) -> tuple[ObjectGraph, str]:
        graph, bound = build_graph(self.world.still, most=self.most_states)
        return graph, _IGNORES_BALLS if self.world.moving else bound

    @property
    def graph(self) -> ObjectGraph:
        """The states and moves that distances are of, without balls that move by themselves."""
        return self._graph_and_bound[0]

    @property
    def optimal_is_exact(self) -> bool:
        """`optimal_steps` are the fewest possible."""
        return not self._graph_and_bound[1]

    @property
    def reference(self) -> str:
        """What `optimal_steps` are the length of."""
        return self._graph_and_bound[1] or "exact"

    @property
    def reachable_states(self) -> np.ndarray | None:
        """(S, R) int64: all that an agent can come to be in; None where they are too many."""
        return self.graph.states if self.optimal_is_exact else None

    @cached_property
    def fresh_states(self) -> np.ndarray:
        """(N, R) int64: the agent has walked about, nothing else has changed; first the start."""
        still = self.world.still

        def nothing_moved(after: np.ndarray, before: np.ndarray) -> np.ndarray:
            return (after[:, POSE:] == before[:, POSE:]).all(1) & ~still.has_ended(after)

        graph = explore(still, most=still.floor.size * 4, rule=nothing_moved)
        assert graph is not None, "more poses than cells and headings"
        return graph.states

    @cached_property
    def _goals(self) -> list[drawing.Goal]:
        return drawing.goals_of(self.graph, stream_generator(Stream.VALIDATION, self.layout_seed))

    @cached_property
    def _mission(self) -> drawing.Mission | None:
        return drawing.mission_of(
            self.graph, self.fresh_states, self.mission_cells, self.mission_look
        )

    @cached_property
    def bins(self) -> Bins:
        """(name, low, high) of the suite, in env steps."""
        bins = drawing.fitting_bins(self.graph, self._goals, LADDER)
        if self._mission is not None:
            steps = self.graph.steps_to_any(self._mission.states)[self._mission.starts]
            bins += ((MISSION, int(steps.min()) - 1, int(steps.max())),)
        if not bins:
            raise ValueError(f"task '{self.name}' has no states 6 env steps apart; take another.")
        return bins

    @property
    def behaviour(self) -> dict[str, Any]:
        """The behaviour policy's name and parameters."""
        return behaviour_of(self.wanderer)

    @cached_property
    def _routes(self) -> np.ndarray:
        return routes_of(self.world)

    def wander(
        self,
        num_episodes: int,
        episode_length: int,
        generator: np.random.Generator,
        policy: ObjectWanderer | None = None,
    ) -> EpisodeStore:
        """Draw reward-free episodes; a `policy` takes the place of the task's own wanderer."""
        policy = wanderer_of(self.name, policy, self.wanderer)
        states, actions = self.walks(num_episodes, episode_length, generator, policy)
        flat = states.reshape(-1, states.shape[2])
        first, number = distinct(keys_of(flat))
        frames = self.observe(flat[first])
        # Two states may look alike: what is in a box is hidden.
        shown, look = distinct(frames.reshape(len(frames), -1))
        return EpisodeStore(
            frames=frames[shown],
            frame_index=look[number].reshape(states.shape[:2]).astype(np.int32),
            actions=actions,
            lengths=np.full(num_episodes, episode_length),
            spec=self.spec,
        )

    def walks(
        self,
        num_episodes: int,
        episode_length: int,
        generator: np.random.Generator,
        policy: ObjectWanderer | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The episodes of `wander` as states, (E, T + 1, R) int64, and actions, (E, T) int8."""
        fresh = generator.choice(self.fresh_states, size=num_episodes)
        return wander(
            self.world,
            self._routes,
            populate(self.world, fresh, generator),
            num_steps=episode_length,
            wanderer=policy or self.wanderer,
            generator=generator,
        )

    def suite(self, *, episodes_per_bin: int, seed: int) -> Suite:
        """Draw the start-goal pairs that methods are compared on.

        A goal is the state in which a shortest path from its start arrives, turned to any heading.
        """
        check_episodes_per_bin(episodes_per_bin)
        parts = []
        for index, bin_ in enumerate(self.bins):
            generator = stream_generator(Stream.SUITE, seed, index)
            goals = (bin_[0] == MISSION and self._mission) or self._goals
            part = drawing.draw_bin(
                self.graph, goals, bin_, index == 0, episodes_per_bin, generator
            )
            parts.append(self._populated(part, generator))
        return Suite(
            name=self.name,
            bins=self.bins,
            starts=np.concatenate([part.starts for part in parts]),
            goals=np.concatenate([part.goals for part in parts]),
            optimal_steps=np.concatenate([part.optimal_steps for part in parts]),
            bin_index=np.repeat(np.arange(len(self.bins)), episodes_per_bin),
        )

    def validation_pairs(self, num_pairs: int, *, seed: int) -> Pairs:
        """Draw start-goal pairs, spread over distances, to judge energies with during training."""
        if num_pairs < 1:
            raise ValueError(f"num_pairs = {num_pairs} must be 1 or more; give a positive integer.")
        generator = stream_generator(Stream.VALIDATION, seed)
        drawn = drawing.draw_spread(self.graph, self._goals, num_pairs, generator)
        return self._populated(drawn, generator)

    def _populated(self, drawn: Pairs, generator: np.random.Generator) -> Pairs:
        """With balls that move by themselves, where the world has some."""
        return Pairs(
            starts=populate(self.world, drawn.starts, generator),
            goals=populate(self.world, drawn.goals, generator),
            optimal_steps=drawn.optimal_steps,
        )

    def distances_to_a_goal(self, num_states: int) -> tuple[np.ndarray, np.ndarray]:
        """Observations of up to `num_states` states, and their env steps to one goal of the world.

        Returns:
            (M, *spec.shape) uint8, and (M,) int64; the same at every call.
        """
        generator = stream_generator(Stream.VALIDATION, self.layout_seed)
        steps = self.graph.steps_to(*self._goals[0])
        indices = generator.permutation(np.flatnonzero(steps >= 0))[:num_states]
        states = populate(self.world, self.graph.states[indices], generator)
        return self.observe(states), steps[indices].astype(np.int64)

    def batch(self, starts: np.ndarray) -> ObjectBatch:
        """Place B agents at `starts`, (B, R) int, see `tasks.objects.world`."""
        return ObjectBatch(self.world, starts)

    def observe(self, states: np.ndarray) -> np.ndarray:
        """Encode states or goals, (B, R), as observations, (B, *spec.shape) uint8."""
        return self.world.observe(states)

    def goal_observations(self, goals: np.ndarray) -> np.ndarray:
        """(B, G, *spec.shape) uint8: goals (B, R), and with moving balls in other places too."""
        looks = [self.observe(goals)]
        if self.world.moving:
            generator = stream_generator(Stream.VALIDATION, self.layout_seed)
            poses = np.asarray(goals)[:, :POSE]
            for _ in range(_OTHER_LOOKS):
                looks.append(self.observe(populate(self.world, poses, generator)))
        return np.stack(looks, axis=1)

    def picture(self, obs: np.ndarray) -> np.ndarray:
        """Draw one observation, (*spec.shape), for a person: (height, width, 3) uint8."""
        return grid_picture(obs)

    def is_success(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) bool: the agent is in its goal's cell and carries what it does there, or nothing."""
        return self.world.is_success(np.asarray(states), np.asarray(goals))

    def is_unsafe(self, states: np.ndarray) -> np.ndarray:
        """(B,) bool: the agent, (B, R), is in lava or has hit an obstacle."""
        return self.world.has_ended(np.asarray(states))

    def optimal_actions(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) int64: the next action on a shortest path, see `reference`, from each state (B, R).

        Where balls move by themselves it waits for such as are in the way.
        """
        world, states = self.world, np.asarray(states)
        indices = self.graph.index_of(states[:, : self.graph.states.shape[1]])
        if (indices < 0).any():
            raise ValueError(
                f"task '{self.name}' knows no way from state {states[indices < 0][0].tolist()}: "
                f"{self.reference}; start from a state of the suite."
            )
        cells, looks = world.cell_of(np.asarray(goals)), world.look_carried(np.asarray(goals))
        actions = np.zeros(len(states), np.int64)
        for goal in {*zip(cells.tolist(), looks.tolist(), strict=True)}:
            rows = np.flatnonzero((cells == goal[0]) & (looks == goal[1]))
            steps = self.graph.steps_to(*goal)
            actions[rows] = self.graph.next_actions(indices[rows], steps)
            if world.moving:
                options = steps[self.graph.successors[indices[rows]]]
                actions[rows] = avoid(world, states[rows], actions[rows], options)
        return actions
