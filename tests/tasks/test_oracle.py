"""Shortest paths against a breadth-first search of our own, and their edges."""

from collections import deque

import numpy as np
import pytest

from tasks import GridWorld, build_task
from tasks.oracle import (
    optimal_path,
    optimal_steps,
    optimal_steps_to_cell,
    optimal_steps_to_every_cell,
)

LAYOUT_SEED = 5
MOVES = {0: (1, 0), 1: (0, 1), 2: (-1, 0), 3: (0, -1)}


def _search(walls: np.ndarray, start: tuple[int, int, int], goal: tuple[int, int]) -> int:
    """Forward search from the rules of the world, with neither tables nor graph."""
    front, seen = deque([(start, 0)]), {start}
    while front:
        (x, y, heading), steps = front.popleft()
        if (x, y) == goal:
            return steps
        dx, dy = MOVES[heading]
        ahead = (x, y) if walls[y + dy, x + dx] else (x + dx, y + dy)
        for state in ((x, y, (heading - 1) % 4), (x, y, (heading + 1) % 4), (*ahead, heading)):
            if state not in seen:
                seen.add(state)
                front.append((state, steps + 1))
    return -1


def test_steps_equal_a_search_by_the_rules():
    world = build_task("rooms-tiny", LAYOUT_SEED).world
    generator = np.random.default_rng(0)
    for cell in generator.choice(world.cells, size=11, replace=False):
        goal = tuple(cell.tolist())
        steps = optimal_steps_to_cell(world, goal)
        for index in generator.integers(world.num_states, size=13):
            start = tuple(world.all_states[index].tolist())
            assert steps[index] == _search(world.walls, start, goal)


@pytest.mark.parametrize("name", ["rooms", "rooms-lava"])
def test_steps_to_every_cell_are_those_to_each(name):
    world = build_task(name, 0).world
    cells = world.cells[: world.num_land_cells]
    each = [optimal_steps_to_cell(world, (x, y)) for x, y in cells.tolist()]
    assert np.array_equal(optimal_steps_to_every_cell(world), each)


def test_steps_fall_by_at_most_one_with_each_action():
    world = build_task("rooms", LAYOUT_SEED).world
    steps = optimal_steps_to_cell(world, tuple(world.cells[17]))
    best = steps[world.transitions].min(axis=1)
    assert np.array_equal(best[steps > 0], steps[steps > 0] - 1)
    assert (steps == 0).sum() == 4


def test_pairs_and_paths_agree():
    task = build_task("rooms-tiny", LAYOUT_SEED)
    pairs = task.validation_pairs(19, seed=0)
    assert np.array_equal(optimal_steps(task.world, pairs.starts, pairs.goals), pairs.optimal_steps)
    for start, goal, steps in zip(pairs.starts, pairs.goals, pairs.optimal_steps, strict=True):
        assert len(optimal_path(task.world, start, goal[:2])) == steps
    assert optimal_path(task.world, goal, goal[:2]) == []


def test_what_cannot_be_reached_is_said():
    walls = np.ones((5, 7), bool)
    walls[1:4, [1, 2, 4, 5]] = False
    world = GridWorld.from_walls(walls)
    steps = optimal_steps_to_cell(world, (1, 1))
    assert (steps[world.all_states[:, 0] > 3] == -1).all()
    assert (steps[world.all_states[:, 0] < 3] >= 0).all()
    with pytest.raises(ValueError, match="cannot be reached"):
        optimal_path(world, (5, 2, 0), (1, 1))
