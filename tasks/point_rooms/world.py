"""A point mass with momentum among walls: its physics, many agents at once in numpy.

Lengths are in cells, times in env steps; x points right, y down. A *state* is (x, y, vx, vy),
float64. One env step multiplies the velocity by `FRICTION`, adds `ACCELERATION` times the action,
and moves the point, first along x, then along y. The point is a square of half side `RADIUS`; along
an axis on which it meets a wall it stops there, and loses that part of its velocity.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tasks.layout import joined_parts, rooms_layout

ROOMS_PER_SIDE, ROOM_SIZE, LOOP_FRACTION = 3, 3, 0.25
FRICTION = 0.85  # what is left of a velocity after one env step
ACCELERATION = 0.03
MAX_SPEED = ACCELERATION / (1 - FRICTION)  # along each axis, where it would get in the end
RADIUS = 0.2
LEEWAY = 0.5 - RADIUS  # a point so far from the middle of a free cell touches no wall
_SKIN = 1e-6  # a wall that the point lies against does not hold it back along the other axis
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class PointWorld:
    """A fixed world of walls in which point masses move.

    Attributes:
        walls: (height, width) bool, indexed [y, x]; closed all round, all free cells joined.
    """

    walls: np.ndarray

    def __post_init__(self) -> None:
        border = np.ones_like(self.walls)
        border[1:-1, 1:-1] = False
        if not self.walls[border].all() or joined_parts(~self.walls).max() != 0:
            raise ValueError(
                f"walls {self.walls.shape}: a world of points needs free cells that are all "
                "joined, with walls all round."
            )

    @classmethod
    def of_rooms(cls, layout_seed: int) -> "PointWorld":
        """3 x 3 rooms of 3 x 3 cells; the same seed gives the same doorways."""
        return cls(walls=rooms_layout(ROOMS_PER_SIDE, ROOM_SIZE, layout_seed, LOOP_FRACTION))

    @cached_property
    def cells(self) -> np.ndarray:
        """(N, 2) int64: x, y of every free cell."""
        return np.argwhere(~self.walls)[:, ::-1]

    @cached_property
    def cell_number(self) -> np.ndarray:
        """(height, width) int64: row of a free cell in `cells`, -1 of a wall; indexed [y, x]."""
        numbers = np.full(self.walls.shape, -1)
        numbers[~self.walls] = np.arange(len(self.cells))
        return numbers

    @cached_property
    def _walls_by_axis(self) -> tuple[np.ndarray, np.ndarray]:
        """Walls indexed [x, y], and [y, x]."""
        return np.ascontiguousarray(self.walls.T), self.walls

    def cells_of(self, states: np.ndarray) -> np.ndarray:
        """(B,) int64: the cell, a row of `cells`, that each of (B, 4) or (B, 2) is in."""
        x, y = np.floor(states[:, :2]).astype(np.int64).T
        return self.cell_number[y, x]

    def check_states(self, states: np.ndarray) -> None:
        """Refuses states, (B, 4), that no point can be in."""
        if states.ndim != 2 or states.shape[1] != 4 or not np.isfinite(states).all():
            raise ValueError(
                f"states of shape {states.shape} are not (B, 4) finite numbers: x, y, vx, vy."
            )
        height, width = self.walls.shape
        half = RADIUS - _SKIN
        corners = states[:, None, :2] + np.array([[-half, -half], [half, -half]] * 2)
        corners[:, 2:, 1] += 2 * half
        inside = ((corners >= 0) & (corners < (width, height))).all((1, 2))
        x, y = np.floor(np.where(inside[:, None, None], corners, 0.5)).astype(np.int64).T
        wrong = self.walls[y, x].any(0) | ~inside
        wrong |= (np.abs(states[:, 2:]) > MAX_SPEED + _ROUNDING).any(1)
        if wrong.any():
            raise ValueError(
                f"state {states[wrong][0].tolist()} is in a wall or faster than {MAX_SPEED:g} "
                f"cells a step; give a point {RADIUS} cells from every wall at least."
            )

    def step(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """The states (B, 4) one env step after `states` under `actions`, (B, 2) in [-1, 1]."""
        vx, vy = FRICTION * states[:, 2:].T + ACCELERATION * actions.T
        x, y = states[:, 0], states[:, 1]
        by_x, by_y = self._walls_by_axis
        x, vx = _moved(x, vx, y, by_x)
        y, vy = _moved(y, vy, x, by_y)
        return np.stack([x, y, vx, vy], axis=1)

    def random_states(
        self, cells: np.ndarray, generator: np.random.Generator, *, speed: float = 0.0
    ) -> np.ndarray:
        """(B, 4): anywhere in the given free cells, (B,), clear of walls.

        Args:
            speed: up to which velocities are drawn along each axis.
        """
        offset = generator.uniform(-LEEWAY, LEEWAY, size=(len(cells), 2))
        velocity = speed * generator.uniform(-1.0, 1.0, size=(len(cells), 2))
        return np.hstack([self.cells[cells] + 0.5 + offset, velocity])


def _moved(
    along: np.ndarray, speed: np.ndarray, across: np.ndarray, walls: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (B,) and speeds (B,) after a move along one axis.

    Args:
        along, across: (B,) coordinates on that axis and on the other.
        walls: indexed [cell along, cell across].
    """
    forward = speed > 0
    moved = along + speed
    front = np.floor(moved + np.where(forward, RADIUS, -RADIUS)).astype(np.int64)
    low = np.floor(across - (RADIUS - _SKIN)).astype(np.int64)
    high = np.floor(across + (RADIUS - _SKIN)).astype(np.int64)
    stopped = walls[front, low] | walls[front, high]
    contact = front + np.where(forward, -RADIUS, 1 + RADIUS)
    return np.where(stopped, contact, moved), np.where(stopped, 0.0, speed)


def check_actions(actions: np.ndarray, num_agents: int) -> None:
    """Refuses actions, (B, 2), that are not within [-1, 1] for each of B agents."""
    assert actions.shape == (num_agents, 2), f"{actions.shape} != {(num_agents, 2)}"
    allowed = np.abs(actions) <= 1.0 + _ROUNDING  # False of NaN
    if not allowed.all():
        agent = int(np.flatnonzero(~allowed.all(axis=1))[0])
        raise ValueError(
            f"action {actions[agent].tolist()} of agent {agent}; allowed are accelerations "
            "(ax, ay) from -1 to 1."
        )
