"""Plans of the `rooms` worlds: doorways along a random spanning tree, a few loops, lava pools."""

from typing import Literal, NamedTuple

import networkx as nx
import numpy as np

Tree = Literal["bushy", "winding"]
Room = tuple[int, int]
_POOLS = 1  # their stream of random numbers, apart from that of the walls


class SharedWall(NamedTuple):
    """The wall between two neighbouring rooms, each named (row, column)."""

    room: Room
    neighbour: Room


def rooms_layout(
    rooms_per_side: int,
    room_size: int,
    layout_seed: int,
    loop_fraction: float,
    *,
    tree: Tree = "bushy",
) -> np.ndarray:
    """Draw the walls of a square of square rooms; the same seed gives the same walls.

    Args:
        rooms_per_side: R, rooms along each side, at least 1.
        room_size: free cells along each side of a room, at least 1.
        layout_seed: fixes doorways and loops, at least 0.
        loop_fraction: share in [0, 1] of the walls that the tree leaves closed which get a doorway
            too, and so close loops.
        tree: "bushy" joins rooms in random order (Kruskal's algorithm), which keeps all rooms near
            each other; "winding" walks depth first, which gives long ways round.

    Returns:
        (height, width) bool, indexed [y, x], True where there is a wall;
        both sides are `rooms_per_side * (room_size + 1) + 1` cells.
    """
    _check_layout(rooms_per_side, room_size, layout_seed, loop_fraction)
    generator = np.random.default_rng(layout_seed)
    pitch = room_size + 1
    lines = np.arange(rooms_per_side * pitch + 1) % pitch == 0
    walls = lines[:, None] | lines[None, :]
    for shared in _opened_walls(rooms_per_side, loop_fraction, tree, generator):
        x, y = _doorway(shared, pitch, int(generator.integers(1, pitch)))
        walls[y, x] = False
    return walls


def lava_pools(rooms_per_side: int, room_size: int, layout_seed: int) -> np.ndarray:
    """Draw one rectangle of lava in the middle of every room, never at a wall.

    The ring of cells along the walls stays free, so one can walk round every pool.

    Args:
        rooms_per_side, layout_seed: as in `rooms_layout`.
        room_size: free cells along each side of a room, at least 3.

    Returns:
        (height, width) bool, indexed [y, x], as large as `rooms_layout`.
    """
    if room_size < 3:
        raise ValueError(f"room_size = {room_size}: a pool of lava needs rooms of 3 or more cells.")
    generator = np.random.default_rng((layout_seed, _POOLS))
    pitch, inner = room_size + 1, room_size - 2
    lava = np.zeros((rooms_per_side * pitch + 1,) * 2, bool)
    for y, x in np.ndindex(rooms_per_side, rooms_per_side):
        sides = generator.integers(1, inner + 1, size=2)
        top, left = np.array([y, x]) * pitch + 2 + generator.integers(inner - sides + 1)
        lava[top : top + sides[0], left : left + sides[1]] = True
    return lava


def joined_parts(free: np.ndarray) -> np.ndarray:
    """Number the parts of free cells that one can walk between, side by side, from 0.

    Args:
        free: (height, width) bool.

    Returns:
        (height, width) int64, -1 where not free.
    """
    graph = nx.grid_2d_graph(*free.shape).subgraph(map(tuple, np.argwhere(free).tolist()))
    parts = np.full(free.shape, -1)
    for number, cells in enumerate(sorted(nx.connected_components(graph), key=min)):
        parts[tuple(np.array(list(cells)).T)] = number
    return parts


def _check_layout(
    rooms_per_side: int, room_size: int, layout_seed: int, loop_fraction: float
) -> None:
    if rooms_per_side < 1 or room_size < 1:
        raise ValueError(
            f"rooms_per_side = {rooms_per_side}, room_size = {room_size}: both must be at least 1; "
            "give positive integers."
        )
    if layout_seed < 0:
        raise ValueError(f"layout_seed = {layout_seed} must be 0 or more; give another seed.")
    if not 0.0 <= loop_fraction <= 1.0:
        raise ValueError(
            f"loop_fraction = {loop_fraction} is outside [0, 1]; give the share of closed walls to "
            "open."
        )


def _opened_walls(
    rooms_per_side: int, loop_fraction: float, tree: Tree, generator: np.random.Generator
) -> list[SharedWall]:
    """Choose the walls that get a doorway: those of a spanning tree, then some of the rest."""
    rooms = [(row, column) for row in range(rooms_per_side) for column in range(rooms_per_side)]
    shared_walls = [
        SharedWall((row, column), neighbour)
        for row, column in rooms
        for neighbour in ((row, column + 1), (row + 1, column))
        if max(neighbour) < rooms_per_side
    ]
    shared_walls = [shared_walls[i] for i in generator.permutation(len(shared_walls))]
    if tree == "bushy":
        opened = _bushy_tree(rooms, shared_walls)
    elif tree == "winding":
        opened = _winding_tree(rooms[int(generator.integers(len(rooms)))], shared_walls)
    else:
        raise ValueError(f"tree = {tree!r} is unknown; give 'bushy' or 'winding'.")
    closed = [shared for shared in shared_walls if shared not in set(opened)]
    return opened + closed[: round(loop_fraction * len(closed))]


def _bushy_tree(rooms: list[Room], shared_walls: list[SharedWall]) -> list[SharedWall]:
    """Kruskal's algorithm: open each wall, in the order given, that joins two groups of rooms."""
    group = {room: index for index, room in enumerate(rooms)}
    opened = []
    for shared in shared_walls:
        kept, merged = group[shared.room], group[shared.neighbour]
        if kept != merged:
            opened.append(shared)
            group = {room: kept if label == merged else label for room, label in group.items()}
    return opened


def _winding_tree(start: Room, shared_walls: list[SharedWall]) -> list[SharedWall]:
    """Depth first: open the first wall given that leads on to a new room, else go back a room."""
    opened, seen, trail = [], {start}, [start]
    while trail:
        onward = [
            shared for shared in shared_walls if trail[-1] in shared and not seen.issuperset(shared)
        ]
        if onward:
            opened.append(onward[0])
            trail.extend(set(onward[0]) - seen)
            seen.update(onward[0])
        else:
            trail.pop()
    return opened


def _doorway(shared: SharedWall, pitch: int, offset: int) -> tuple[int, int]:
    """The cell (x, y) of a doorway `offset` cells along the wall between two rooms."""
    row, column = shared.room
    if shared.neighbour[0] == row:
        return (column + 1) * pitch, row * pitch + offset
    return column * pitch + offset, (row + 1) * pitch
