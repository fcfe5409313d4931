"""Doorways that may be shut, which nobody sees: `rooms` in which walking through one may fail.

A *state* is (x, y, heading, shut): the last number says which doorways are shut, doorway d by its
bit d. So a state alone tells the world it lies in, and a batch may hold as many worlds as agents.
A shut doorway cannot be entered, and is observed as if it were open.
"""

from dataclasses import dataclass
from functools import cached_property

import networkx as nx
import numpy as np

from tasks.layout import joined_parts
from tasks.simulator import (
    FORWARD,
    LEFT,
    NUM_ACTIONS,
    NUM_HEADINGS,
    RIGHT,
    GridWorld,
    check_actions,
)

MOST_DOORWAYS = 62  # bits of a state's last number, without its sign and the one that stays 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Doorways:
    """The doorways of a world of rooms, numbered from 0.

    Attributes:
        world: with every doorway open.
        cells: (D, 2) int64: x and y of each doorway.
    """

    world: GridWorld
    cells: np.ndarray

    def __post_init__(self) -> None:
        if len(self.cells) > MOST_DOORWAYS:
            raise ValueError(
                f"the world has {len(self.cells)} doorways; at most {MOST_DOORWAYS} can shut, "
                "choose a smaller one."
            )

    @classmethod
    def of_rooms(cls, world: GridWorld, room_size: int) -> "Doorways":
        """The openings in the walls of `tasks.layout.rooms_layout`."""
        x, y = world.cells.T
        pitch = room_size + 1
        return cls(world=world, cells=world.cells[(x % pitch == 0) | (y % pitch == 0)])

    @cached_property
    def _steps(self) -> dict[tuple[int, int, int], np.ndarray]:
        """(S,) env steps from every state, by goal's x and y and shut doorways, once asked for."""
        return {}

    @cached_property
    def of_cell(self) -> np.ndarray:
        """(width, height) int64: number of the doorway in each cell, MOST_DOORWAYS elsewhere."""
        numbers = np.full(self.world.walls.shape[::-1], MOST_DOORWAYS)
        numbers[tuple(self.cells.T)] = np.arange(len(self.cells))
        return numbers

    @cached_property
    def entered(self) -> np.ndarray:
        """(S,) int64: the doorway that forward leads into, MOST_DOORWAYS where into none."""
        world = self.world
        after = world.all_states[world.transitions[:, FORWARD]]
        numbers = self.of_cell[after[:, 0], after[:, 1]]
        return np.where(world.blocked, MOST_DOORWAYS, numbers)

    @cached_property
    def _ways(self) -> tuple[np.ndarray, nx.Graph]:
        """(width, height) int64 node of each cell, and the graph of rooms and doorways.

        A doorway is the node of its number, a room one of MOST_DOORWAYS or more.
        """
        open_cells = ~self.world.walls
        rooms = open_cells.copy()
        rooms[self.cells[:, 1], self.cells[:, 0]] = False
        node = joined_parts(rooms).T + MOST_DOORWAYS
        node[tuple(self.cells.T)] = np.arange(len(self.cells))
        graph = nx.Graph()
        for number, (x, y) in enumerate(self.cells):
            around = ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1))
            graph.add_edges_from((number, int(node[c])) for c in around if open_cells[c[::-1]])
        return node, graph

    def draw(
        self,
        start: tuple[int, int],
        goal: tuple[int, int],
        probability: float,
        generator: np.random.Generator,
    ) -> int:
        """Draw which doorways are shut in an episode from the cell `start` to the cell `goal`.

        Each doorway is to be shut with `probability`; in random order they are, as long as that
        leaves a way from start to goal. Those that the two lie in stay open.
        """
        node, graph = self._ways
        ways, ends = graph.copy(), [int(node[tuple(start)]), int(node[tuple(goal)])]
        shut = 0
        order = generator.permutation(len(self.cells))
        for number in order[generator.random(len(order)) < probability].tolist():
            if number in ends:
                continue
            joined = list(ways.neighbors(number))
            ways.remove_node(number)
            if nx.has_path(ways, *ends):
                shut |= 1 << number
            else:
                ways.add_edges_from((number, other) for other in joined)
        return shut

    def steps_to(self, goals: np.ndarray, shut: np.ndarray) -> np.ndarray:
        """Count the fewest env steps from every state to each goal's cell, doorways shut.

        Breadth first from all goals at once, backwards along the transitions.

        Args:
            goals: (E, >= 2) int: x, y, and what is of no matter here.
            shut: (E,) int, shut doorways of each episode, by bits.

        Returns:
            (E, S) int32, -1 where the goal cannot be reached.
        """
        world = self.world
        left, right, forward = world.transitions[:, [LEFT, RIGHT, FORWARD]].T
        passable = ~self._is_shut(self.entered[:, None], np.asarray(shut))
        cells = np.column_stack([np.asarray(goals)[:, :2], np.zeros(len(goals), int)])
        new = np.zeros((world.num_states, len(goals)), bool)
        at_goal = world.state_index(cells)[:, None] + np.arange(NUM_HEADINGS)
        new[at_goal, np.arange(len(goals))[:, None]] = True
        steps, seen, distance = np.full(new.shape, -1, np.int32), new.copy(), 0
        while new.any():
            steps[new] = distance
            distance += 1
            new = (new[left] | new[right] | (new[forward] & passable)) & ~seen
            seen |= new
        return np.ascontiguousarray(steps.T)

    def step(self, indices: np.ndarray, shut: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """(B,) state indices after one action each; forward into a shut doorway changes nothing."""
        against = (actions == FORWARD) & self._is_shut(self.entered[indices], shut)
        return np.where(against, indices, self.world.transitions[indices, actions])

    def paths(self, starts: np.ndarray, goals: np.ndarray) -> list[list[int]]:
        """Actions of a shortest path from each start, (E, 4), to its goal's cell, doorways shut."""
        starts = np.asarray(starts)
        all_steps = self.steps_to(goals, starts[:, 3])
        return [
            self._path(steps, state, shut)
            for steps, state, shut in zip(
                all_steps, self.world.state_index(starts[:, :3]), starts[:, 3], strict=True
            )
        ]

    def _path(self, steps: np.ndarray, state: int, shut: int) -> list[int]:
        if steps[state] < 0:
            raise ValueError(
                f"the goal cannot be reached from {tuple(self.world.all_states[state].tolist())} "
                "with these doorways shut; choose another pair."
            )
        actions, every = [], np.arange(NUM_ACTIONS)
        while steps[state] > 0:
            after = self.step(np.full(NUM_ACTIONS, state), np.full(NUM_ACTIONS, shut), every)
            action = int(np.flatnonzero(steps[after] == steps[state] - 1)[0])
            actions.append(action)
            state = int(after[action])
        return actions

    def optimal_actions(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) int64: the first action of a shortest path from each state, (B, 4), doorways shut.

        Who takes it knows what is shut. Where the goal is reached, it is 0.
        """
        states, goals = np.asarray(states), np.asarray(goals)
        keys = [
            (x, y, shut) for x, y, shut in np.column_stack([goals[:, :2], states[:, 3]]).tolist()
        ]
        new = np.array(sorted(set(keys) - self._steps.keys())).reshape(-1, 3)
        if len(new):
            self._steps.update(
                zip(map(tuple, new.tolist()), self.steps_to(new, new[:, 2]), strict=True)
            )
        indices = self.world.state_index(states[:, :3])
        after = np.stack(
            [self.step(indices, states[:, 3], np.full(len(indices), a)) for a in range(NUM_ACTIONS)]
        )
        left = np.stack([self._steps[key][after[:, b]] for b, key in enumerate(keys)])
        return np.where(left < 0, left.max() + 1, left).argmin(1)

    @staticmethod
    def _is_shut(doorway: np.ndarray, shut: np.ndarray) -> np.ndarray:
        return (shut >> doorway) & 1 == 1


class DoorsBatch:
    """B agents, each alone in its own copy of the rooms, with its own doorways shut."""

    def __init__(self, doorways: Doorways, states: np.ndarray) -> None:
        """Place the agents at `states`, (B, 4) int: x, y, heading, shut doorways."""
        states = np.asarray(states)
        num_doorways = len(doorways.cells)
        if states.shape[1:] != (4,) or ((states[:, 3] < 0) | (states[:, 3] >> num_doorways)).any():
            raise ValueError(
                f"states of shape {states.shape} are not (B, 4): x, y, heading, and which of the "
                f"{num_doorways} doorways are shut, by bits."
            )
        self.doorways = doorways
        self.indices = doorways.world.state_index(states[:, :3])
        self.shut = states[:, 3].astype(np.int64)

    @property
    def states(self) -> np.ndarray:
        """(B, 4) int64: x, y, heading of each agent, and its shut doorways."""
        return np.column_stack([self.doorways.world.all_states[self.indices], self.shut])

    def step(self, actions: np.ndarray) -> None:
        """Move every agent by one env step; `actions` is (B,) int: 0 left, 1 right, 2 forward."""
        actions = np.asarray(actions)
        check_actions(actions, len(self.indices))
        self.indices = self.doorways.step(self.indices, self.shut, actions)

    def observe(self) -> np.ndarray:
        """(B, width, height, 3) uint8: each agent's full symbolic grid, doorways as if open."""
        return self.doorways.world.observe(self.doorways.world.all_states[self.indices])
