"""The map: ten districts of one size, drawn in characters, and what each cell is.

A district is left through a doorway, for good, and the next one is entered at its own cell. The
last row of every grid belongs to no place: it is the traveller's pocket.
"""

from enum import IntEnum
from itertools import combinations

import networkx as nx
import numpy as np

WIDTH, HEIGHT = 11, 12
POCKET_ROW = HEIGHT - 1
PASSPORT_CELL, TICKET_CELL, GATE_CELL = (1, POCKET_ROW), (2, POCKET_ROW), (3, POCKET_ROW)


class District(IntEnum):
    """In the order of the journey."""

    OFFICE = 0
    CORRIDOR = 1
    LIFT = 2
    STREET = 3
    RIDE = 4
    AIRPORT = 5
    LOUNGE = 6
    FLIGHT = 7
    PARIS = 8
    CAFE = 9


class Kind(IntEnum):
    """What a cell is to one who wants to enter it; see `tasks.trip.world.passable`."""

    BLOCKED = 0
    FREE = 1
    EXIT = 2  # a doorway that is never shut
    OFFICE_DOOR = 3
    LIFT_DOOR = 4
    CABIN_DOOR = 5
    BOARDING_DOOR = 6
    TABLE = 7  # on which the passport lies
    SWITCH = 8  # what calls the lift, sends it down, hails a taxi
    BAY = 10  # and three more: where a taxi may come to stand
    LANE = 20  # and three more: the queue, from its head
    GATE = 30  # and two more
    ROADWORK = 40  # and eleven more: where a road may be closed


NUM_BAYS, NUM_LANES, NUM_GATES, NUM_ROADS = 4, 4, 3, 12
NUM_KINDS = Kind.ROADWORK + NUM_ROADS
TOP_FLOOR = 4

# `#` wall, `.` floor, `o` furniture, `~` water, `=` air route, `f` the lift's display, `*` the seat
# in the cafe. Others: `_LEGEND`.
_MAPS = {
    District.OFFICE: """
        ###########
        #...#.....#
        #.o.#..T..#
        #...#.....#
        #...#.....#
        #......####
        #...#.....#
        #.o.#.....#
        #.o.#.....#
        #.........D
        ###########""",
    District.CORRIDOR: """
        ####L######
        #......S#f#
        #.......#f#
        #.####..#f#
        #.####..#f#
        #.####..#f#
        #.####..###
        #.........#
        #.........#
        ###########
        ###########""",
    District.LIFT: """
        ###########
        #########f#
        #########f#
        ###...###f#
        ###...S##f#
        ###...###f#
        ####C######
        ###########
        ###########
        ###########
        ###########""",
    District.STREET: """
        ###########
        #0.......1#
        #.........#
        #..o...o..#
        #..o.S.o..#
        #.........#
        #..o...o..#
        #..o...o..#
        #.........#
        #2.......3#
        ###########""",
    District.RIDE: """
        ###########
        #.........X
        #.###.###.#
        #.###.###.#
        #.###.###.#
        #.........#
        #.###.###.#
        #.###.###.#
        #.###.###.#
        #.........#
        #.#########""",
    District.AIRPORT: """
        #g###h###i#
        #.........#
        #.........#
        #####4#####
        #####5#####
        #####6#####
        #####7#####
        #.........#
        #..o...o..#
        #.........#
        ###########""",
    District.LOUNGE: """
        ####B######
        #.........#
        #.oo...oo.#
        #.........#
        #.oo...oo.#
        #.........#
        #.oo...oo.#
        #.........#
        #.oo...oo.#
        #.........#
        ###########""",
    District.FLIGHT: """
        ~~~~~~~~~~~
        ~=========~
        ~=~~~~~~~=~
        ~=~~~~~~~=~
        ~=~~~~~~~=~
        ~=~~~~~~~=~
        ~=~~~~~~~=~
        ~=~~~~~~~=~
        ~=~~~~~~~=~
        ~=~~~~~~~=~
        ~~~~~~~~~~~""",
    District.PARIS: """
        #########X#
        #.........#
        #.##.###..#
        #.##.###..#
        #.........#
        ~~~~~~.~~~~
        #.........#
        #.##.##.#.#
        #.##.##.#.#
        #.........#
        ###########""",
    District.CAFE: """
        ###########
        #ooooooo..#
        #.........#
        #*o.o..o..#
        #.........#
        #.o.o..o..#
        #.........#
        #.o.o..o..#
        #.........#
        #.........#
        ###########""",
}
_LEGEND = {
    ".": Kind.FREE, "*": Kind.FREE, "T": Kind.TABLE, "S": Kind.SWITCH,
    "D": Kind.OFFICE_DOOR, "L": Kind.LIFT_DOOR, "C": Kind.CABIN_DOOR, "B": Kind.BOARDING_DOOR,
    "X": Kind.EXIT,
    **{str(i): Kind.BAY + i for i in range(NUM_BAYS)},
    **{str(4 + i): Kind.LANE + i for i in range(NUM_LANES)},
    **{letter: Kind.GATE + i for i, letter in enumerate("ghi")},
}  # fmt: skip

# x, y, heading (0 right, 1 down, 2 left, 3 up) of who enters a district.
ENTRIES = np.array([
    (2, 3, 3), (1, 8, 0), (4, 5, 3), (5, 8, 3), (1, 10, 3),
    (1, 9, 0), (9, 9, 3), (1, 9, 3), (1, 9, 0), (9, 9, 3),
])  # fmt: skip
SEAT = (1, 3)  # in the cafe

NODES = [(x, y) for x in (1, 5, 9) for y in (1, 5, 9)]  # the crossroads
# Each road by its middle, and the two crossroads that it joins.
ROADS = [((x, y), (x - 2, y), (x + 2, y)) for y in (1, 5, 9) for x in (3, 7)] + [
    ((x, y), (x, y - 2), (x, y + 2)) for x in (1, 5, 9) for y in (3, 7)
]
NUM_CLOSED = 3  # of the twelve roads, in every episode


def letters_of_map() -> np.ndarray:
    """(districts, WIDTH, HEIGHT) of one character each, the pocket row walled."""
    rows = [_MAPS[district].split() + ["#" * WIDTH] for district in District]
    return np.array([[list(row) for row in grid] for grid in rows]).swapaxes(1, 2)


def _kinds() -> np.ndarray:
    """(districts, WIDTH, HEIGHT) int64 of `Kind`."""
    letters = letters_of_map()
    kinds = np.zeros(letters.shape, np.int64)
    for letter, kind in _LEGEND.items():
        kinds[letters == letter] = kind
    for index, ((x, y), _, _) in enumerate(ROADS):
        kinds[District.RIDE, x, y] = Kind.ROADWORK + index
    return kinds


KINDS = _kinds()


def cell_of(district: District, kind: int) -> tuple[int, int]:
    """x and y of the only cell of its kind in a district."""
    ((x, y),) = np.argwhere(KINDS[district] == kind).tolist()
    return x, y


BAY_CELLS = np.array([cell_of(District.STREET, Kind.BAY + i) for i in range(NUM_BAYS)])
LANE_CELLS = np.array([cell_of(District.AIRPORT, Kind.LANE + i) for i in range(NUM_LANES)])
GATE_CELLS = np.array([cell_of(District.AIRPORT, Kind.GATE + i) for i in range(NUM_GATES)])
ROAD_CELLS = np.array([middle for middle, _, _ in ROADS])
DISPLAY_COLUMN, DISPLAY_BOTTOM = 9, 5  # of the lift: its floor is so many cells above the bottom


def _sights() -> np.ndarray:
    """(WIDTH, HEIGHT) int64: bits of the roads that are seen from a cell of the ride.

    From a crossroads those that end there, and from within a road that road.
    """
    sights = np.zeros((WIDTH, HEIGHT), np.int64)
    for index, (_, (x0, y0), (x1, y1)) in enumerate(ROADS):
        sights[x0 : x1 + 1, y0 : y1 + 1] |= 1 << index
    return sights


SIGHTS = _sights()


def _closures() -> np.ndarray:
    """(C,) int64: bits of the closed roads, of all choices that cut off no crossroads."""
    closures = []
    for closed in combinations(range(NUM_ROADS), NUM_CLOSED):
        city = nx.Graph([ROADS[i][1:] for i in range(NUM_ROADS) if i not in closed])
        if len(city) == len(NODES) and nx.is_connected(city):
            closures.append(sum(1 << i for i in closed))
    return np.array(closures)


CLOSURES = _closures()


def _route() -> np.ndarray:
    """(F, 3) int64: x, y, heading of the aeroplane, from New York over the ocean to Paris."""
    up = [(1, y, 3) for y in range(9, 1, -1)]
    across = [(x, 1, 0) for x in range(1, 9)]
    return np.array(up + across + [(9, y, 1) for y in range(1, 10)])


ROUTE = _route()
