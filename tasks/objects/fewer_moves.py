"""The graph of a world of objects that is small enough: of all moves, or else of fewer of them."""

import numpy as np

from tasks.objects.graph import ObjectGraph, Rule, explore
from tasks.objects.world import CARRIED, EMPTY, LOCKED, ObjectWorld

MOST_STATES = 400_000
TIDY = "the shortest way on which doors stay open and things are put down in {} places a room"
NEAR = "; of {} states, those nearest to the start"
_RESTING = (4, 2, 1)


def build_graph(world: ObjectWorld, *, most: int) -> tuple[ObjectGraph, str]:
    """Of all states of the world, or if these are more than `most`, those of fewer moves.

    Returns:
        the graph, and "" where its distances are exact, else what kind of way they are those of.
    """
    graph, bound = explore(world, most=most), ""
    for per_room in _RESTING:
        if graph is None:
            rule, bound = tidy_rule(world, per_room), TIDY.format(per_room)
            graph = explore(world, most=most, rule=rule)
    if graph is None:
        bound += NEAR.format(most)
        graph = explore(world, most=most, rule=tidy_rule(world, 1), cut=True)
    assert graph is not None
    return graph, bound


def tidy_rule(world: ObjectWorld, per_room: int) -> Rule:
    """No door is shut again, and things are put down in `resting_cells` only."""
    resting = resting_cells(world, per_room)

    def allows(after: np.ndarray, before: np.ndarray) -> np.ndarray:
        old, new = world.places(before), world.places(after)
        # What comes out of a box lies where the box was.
        put_down = (old == CARRIED) & (new >= 0)
        return _stay_open(world, after, before) & (~put_down | np.isin(new, resting)).all(1)

    return allows


def _stay_open(world: ObjectWorld, after: np.ndarray, before: np.ndarray) -> np.ndarray:
    return (world.doors(after) <= world.doors(before)).all(1)


def resting_cells(world: ObjectWorld, per_room: int) -> np.ndarray:
    """(N,) int64: so many cells of each room with a locked door that is reached without a key.

    There keys have served their turn. First come cells that are away from doors, cut no room in
    two, and are empty at the start.
    """
    locked = world.door_cells[world.doors(world.start[None])[0] == LOCKED]
    here = _joined(
        world, int(world.cell_of(world.start[None])[0]), np.setdiff1d(world.ground, locked)
    )
    left, chosen = np.setdiff1d(here, world.door_cells), []
    while len(left):
        room = _joined(world, int(left[0]), left)
        left = np.setdiff1d(left, room)
        if np.isin(world.ahead[room], locked).any():
            chosen.extend(_out_of_the_way(world, room)[:per_room])
    return np.array(chosen, np.int64)


def _out_of_the_way(world: ObjectWorld, room: np.ndarray) -> np.ndarray:
    """(C,) int64: the cells of a room, (C,), the best to put things down in first."""
    empty = room[world.floor[room] == EMPTY]
    at_door = np.isin(world.ahead[empty], world.door_cells).any(1)
    taken = np.isin(empty, world.places(world.start[None]))
    cuts = np.array([_cuts(world, cell, room) for cell in empty])
    return empty[np.lexsort((empty, taken, cuts, at_door))]


def _cuts(world: ObjectWorld, cell: int, room: np.ndarray) -> bool:
    rest = room[room != cell]
    return len(rest) > 0 and len(_joined(world, int(rest[0]), rest)) < len(rest)


def _joined(world: ObjectWorld, cell: int, cells: np.ndarray) -> np.ndarray:
    """The part of some cells that can be walked to from one of them, sorted."""
    part = np.array([cell])
    while True:
        larger = np.union1d(part, np.intersect1d(world.ahead[part], cells))
        if len(larger) == len(part):
            return part
        part = larger
