"""The way to a goal: exact shortest paths over cells, and a controller that drives along them.

Distances between cells are exact (networkx, breadth first). Env steps are not: how long a point
mass takes is a bound, the steps that the controller itself needs.
"""

from dataclasses import dataclass
from functools import cached_property

import networkx as nx
import numpy as np

from tasks.point_rooms.world import ACCELERATION, FRICTION, MAX_SPEED, PointWorld

SUCCESS_RADIUS = 0.5  # cells
# Env steps that bound the controller's: it needed fewer on 135,000 pairs in 150 layouts.
STEPS_PER_CELL, FURTHER_STEPS = 6, 15
APPROACH = 0.5  # speed aimed at, in cells a step, for each cell still to go


@dataclass(frozen=True, kw_only=True, eq=False)
class CellPaths:
    """Shortest paths between the N free cells of a world.

    Attributes:
        world: whose.
    """

    world: PointWorld

    @cached_property
    def _paths(self) -> list[dict[int, list[int]]]:
        """Per goal cell, a shortest path from it to every cell, as rows of `world.cells`."""
        grid = nx.grid_2d_graph(*self.world.walls.shape[::-1])
        graph = grid.subgraph(map(tuple, self.world.cells.tolist()))
        number = {tuple(cell): row for row, cell in enumerate(self.world.cells.tolist())}
        graph = nx.relabel_nodes(graph, number)
        return [nx.single_source_shortest_path(graph, goal) for goal in range(len(number))]

    @cached_property
    def lengths(self) -> np.ndarray:
        """(N, N) int64: moves from cell to neighbouring cell on a shortest path."""
        num_cells = len(self._paths)
        lengths = np.empty((num_cells, num_cells), np.int64)
        for goal, paths in enumerate(self._paths):
            for cell, path in paths.items():
                lengths[cell, goal] = len(path) - 1
        return lengths

    @cached_property
    def waypoints(self) -> np.ndarray:
        """(N, N) int64: from a cell, the farthest cell on the path to a goal that is in view.

        In view is what no wall can hide or hold up: the whole rectangle between two cells is free.
        """
        in_view = _free_rectangles(self.world)
        waypoints = np.empty_like(self.lengths)
        for goal, paths in enumerate(self._paths):
            for cell, path in paths.items():
                waypoints[cell, goal] = next(step for step in path if in_view[cell, step])
        return waypoints

    def optimal_actions(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B, 2) the accelerations that head, at full speed, for the next waypoint.

        Args:
            states, goals: (B, 4); of a goal only the place counts.
        """
        aim = self.world.cells_of(goals)
        waypoint = self.waypoints[self.world.cells_of(states), aim]
        place = np.where((waypoint == aim)[:, None], goals[:, :2], self.world.cells[waypoint] + 0.5)
        speed = np.clip(APPROACH * (place - states[:, :2]), -MAX_SPEED, MAX_SPEED)
        return np.clip((speed - FRICTION * states[:, 2:]) / ACCELERATION, -1.0, 1.0)

    def steps(self, starts: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) int64: env steps in which the controller brings `starts` to `goals`, (B, 4) each."""
        longest = self.lengths.max()
        steps = np.zeros(len(starts), np.int64)
        states, left = starts, ~at_goal(starts, goals)
        while left.any():
            if steps.max() > 10 * steps_bound(longest):
                raise AssertionError(f"stuck on the way from {starts[left][0]} to {goals[left][0]}")
            steps += left
            states = self.world.step(states, self.optimal_actions(states, goals))
            left &= ~at_goal(states, goals)
        return steps


def steps_bound(length: np.ndarray) -> np.ndarray:
    """Env steps (...) within which the controller covers paths of `length` cells (...)."""
    return STEPS_PER_CELL * length + FURTHER_STEPS


def at_goal(states: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """(B,) bool: the point is within `SUCCESS_RADIUS` of its goal, whatever the velocity."""
    return np.hypot(*(states[:, :2] - goals[:, :2]).T) <= SUCCESS_RADIUS


def _free_rectangles(world: PointWorld) -> np.ndarray:
    """(N, N) bool: no wall in the rectangle that has two free cells as corners."""
    counts = np.pad(world.walls.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    x, y = world.cells.T
    left, right = np.minimum.outer(x, x), np.maximum.outer(x, x) + 1
    top, bottom = np.minimum.outer(y, y), np.maximum.outer(y, y) + 1
    inside = counts[bottom, right] - counts[top, right] - counts[bottom, left] + counts[top, left]
    return inside == 0
