"""Many MiniGrid agents at once in numpy: one static transition table, so that a step is one gather.

A *state* is (x, y, heading): the agent's cell and MiniGrid's direction (0 right, 1 down, 2 left,
3 up). State, step and observation equal MiniGrid's own, cell for cell (`test_simulator.py`).
Where MiniGrid ends an episode in lava, the agent here stays in it for good: no action moves it.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from minigrid.core.constants import COLOR_TO_IDX, DIR_TO_VEC, OBJECT_TO_IDX

from tasks.layout import joined_parts

LEFT, RIGHT, FORWARD = 0, 1, 2
NUM_ACTIONS = 3
NUM_HEADINGS = len(DIR_TO_VEC)

EMPTY = (OBJECT_TO_IDX["empty"], 0, 0)
WALL = (OBJECT_TO_IDX["wall"], COLOR_TO_IDX["grey"], 0)
_LAVA = (OBJECT_TO_IDX["lava"], COLOR_TO_IDX["red"], 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class GridWorld:
    """A fixed world of walls, free cells and lava in which one agent turns and walks.

    Attributes:
        walls: (height, width) bool, indexed [y, x].
        background: (width, height, 3) uint8, MiniGrid's symbolic grid without the agent.
        home: x, y of a free cell; where lava cuts the world into parts, episodes keep to the part
            of that cell. None is the largest part.
    """

    walls: np.ndarray
    background: np.ndarray
    home: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        assert self.background.shape == (*self.walls.shape[::-1], 3), (
            f"background {self.background.shape} does not fit walls {self.walls.shape}"
        )
        inner = self.walls[1:-1, 1:-1]
        if (inner | self.lava[1:-1, 1:-1]).all() or inner.sum() != self.walls.sum() - (
            self.walls.size - inner.size
        ):
            raise ValueError(
                "the world has no free cell or its border is open; "
                "surround at least one free cell with walls."
            )

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the attributes alone: the tables are quick to make again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_walls(cls, walls: np.ndarray, lava: np.ndarray | None = None) -> "GridWorld":
        """A world from (height, width) bool walls and lava, drawn as MiniGrid draws them."""
        background = np.where(walls.T[:, :, None], WALL, EMPTY).astype(np.uint8)
        if lava is not None:
            background[lava.T & ~walls.T] = _LAVA
        return cls(walls=walls, background=background)

    @classmethod
    def from_background(
        cls, background: np.ndarray, *, home: tuple[int, int] | None = None
    ) -> "GridWorld":
        """A world from MiniGrid's (width, height, 3) symbolic grid, of walls and lava alone.

        `home` is as in the attributes.
        """
        kinds = background[:, :, 0]
        walls = kinds == OBJECT_TO_IDX["wall"]
        others = ~walls & (kinds != OBJECT_TO_IDX["empty"]) & (kinds != OBJECT_TO_IDX["lava"])
        if others.any():
            x, y = np.argwhere(others)[0]
            raise ValueError(
                f"the grid holds an object (index {kinds[x, y]}) at ({x}, {y}); only walls, "
                "lava and empty cells are simulated; choose a world without doors and keys."
            )
        return cls(walls=walls.T.copy(), background=background.copy(), home=home)

    @cached_property
    def lava(self) -> np.ndarray:
        """(height, width) bool: where there is lava, as the background shows it."""
        return self.background[:, :, 0].T == OBJECT_TO_IDX["lava"]

    @cached_property
    def land(self) -> np.ndarray:
        """(height, width) bool: where episodes start and goals lie.

        All free cells; in a world with lava those that can be walked from `home` without stepping
        into it, for rivers of lava may cut off the rest.
        """
        free = ~self.walls & ~self.lava
        if not self.lava.any() or not free.any():
            return free
        parts = joined_parts(free)
        if self.home is not None:
            return free & (parts == parts[self.home[::-1]])
        return parts == np.bincount(parts[free]).argmax()

    @cached_property
    def cells(self) -> np.ndarray:
        """(C, 2) int64: x and y of each cell without a wall: first the land, then the others."""
        return np.concatenate([np.argwhere(self.land.T), np.argwhere((~self.walls & ~self.land).T)])

    @property
    def num_land_cells(self) -> int:
        """How many of `cells`, the first, are land."""
        return int(self.land.sum())

    @property
    def num_land_states(self) -> int:
        """How many of `all_states`, the first, are on land."""
        return NUM_HEADINGS * self.num_land_cells

    @cached_property
    def all_states(self) -> np.ndarray:
        """(S, 3) int64: x, y, heading of each state, numbered `4 * cell + heading`."""
        cells = np.repeat(self.cells, NUM_HEADINGS, axis=0)
        headings = np.tile(np.arange(NUM_HEADINGS), len(self.cells))
        return np.column_stack([cells, headings])

    @property
    def num_states(self) -> int:
        """S: cells times headings."""
        return NUM_HEADINGS * len(self.cells)

    @cached_property
    def _cell_index(self) -> np.ndarray:
        """(width, height) int64: index of each cell, -1 at walls."""
        index = np.full(self.walls.shape[::-1], -1)
        index[tuple(self.cells.T)] = np.arange(len(self.cells))
        return index

    @cached_property
    def transitions(self) -> np.ndarray:
        """(S, 3) int64: state that follows each state under left, right, forward."""
        cell, heading = np.divmod(np.arange(self.num_states), NUM_HEADINGS)
        ahead = self.cells[cell] + np.array(DIR_TO_VEC)[heading]
        next_cell = self._cell_index[tuple(ahead.T)]
        next_cell = np.where(next_cell < 0, cell, next_cell)
        table = np.column_stack(
            [
                NUM_HEADINGS * cell + (heading - 1) % NUM_HEADINGS,
                NUM_HEADINGS * cell + (heading + 1) % NUM_HEADINGS,
                NUM_HEADINGS * next_cell + heading,
            ]
        )
        table[self.in_lava] = np.flatnonzero(self.in_lava)[:, None]
        return table

    @cached_property
    def blocked(self) -> np.ndarray:
        """(S,) bool: forward changes nothing: a wall is just in front, or the agent is in lava."""
        return self.transitions[:, FORWARD] == np.arange(self.num_states)

    @cached_property
    def in_lava(self) -> np.ndarray:
        """(S,) bool: the agent stands in lava, where no action changes anything."""
        x, y, _ = self.all_states.T
        return self.lava[y, x]

    @cached_property
    def reachable(self) -> np.ndarray:
        """(S,) bool: an agent that starts on land can come to be in the state."""
        # One step from land leads to land, or into lava, which has no way out.
        reachable = np.zeros(self.num_states, bool)
        reachable[self.transitions[: self.num_land_states]] = True
        return reachable

    def state_index(self, states: np.ndarray) -> np.ndarray:
        """Number the states.

        Args:
            states: (..., 3) int, x, y, heading.

        Returns:
            (...,) int64 in [0, S).
        """
        states = np.asarray(states)
        width, height = self.background.shape[:2]
        x, y, heading = states[..., 0], states[..., 1], states[..., 2]
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        inside &= (heading >= 0) & (heading < NUM_HEADINGS)
        cell = self._cell_index[np.where(inside, x, 0), np.where(inside, y, 0)]
        if (cell < 0).any():
            bad = states.reshape(-1, 3)[np.flatnonzero(cell.reshape(-1) < 0)[0]].tolist()
            raise ValueError(
                f"state {tuple(bad)} is in a wall or outside the {width} x {height} grid; "
                "give (x, y, heading) of a cell without a wall with a heading from 0 to 3."
            )
        return NUM_HEADINGS * cell + heading

    def observe(self, states: np.ndarray) -> np.ndarray:
        """Encode as MiniGrid's FullyObsWrapper does: (B, 3) int -> (B, width, height, 3) uint8."""
        x, y, heading = np.asarray(states).T
        images = np.repeat(self.background[None], len(x), axis=0)
        rows = np.arange(len(x))
        images[rows, x, y, 0] = OBJECT_TO_IDX["agent"]
        images[rows, x, y, 1] = COLOR_TO_IDX["red"]
        images[rows, x, y, 2] = heading
        return images

    def frames(self) -> np.ndarray:
        """(S, width, height, 3) uint8: the observation of each of `all_states`."""
        return self.observe(self.all_states)


def check_actions(actions: np.ndarray, num_agents: int) -> None:
    """Refuses actions, (B,) int, that are not one of the three for each of B agents."""
    assert actions.shape == (num_agents,), f"{actions.shape} != {(num_agents,)}"
    if ((actions < 0) | (actions >= NUM_ACTIONS)).any():
        raise ValueError(
            f"actions hold values from {actions.min()} to {actions.max()}; allowed are "
            "0 (left), 1 (right) and 2 (forward)."
        )


class GridBatch:
    """B agents, each alone in its own copy of the world, stepped together."""

    def __init__(self, world: GridWorld, states: np.ndarray) -> None:
        """Place the agents at `states`, (B, 3) int: x, y, heading."""
        self.world = world
        self.indices = world.state_index(states)

    @property
    def states(self) -> np.ndarray:
        """(B, 3) int64: x, y, heading of each agent."""
        return self.world.all_states[self.indices]

    def step(self, actions: np.ndarray) -> None:
        """Move every agent by one env step; `actions` is (B,) int: 0 left, 1 right, 2 forward."""
        actions = np.asarray(actions)
        check_actions(actions, len(self.indices))
        self.indices = self.world.transitions[self.indices, actions]

    def observe(self) -> np.ndarray:
        """(B, width, height, 3) uint8: each agent's full symbolic grid."""
        return self.world.observe(self.states)
