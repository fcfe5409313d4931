"""What travellers see: the district in full, as MiniGrid's symbolic grid, and their pocket."""

import numpy as np
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX

from tasks.trip.districts import (
    BAY_CELLS,
    DISPLAY_BOTTOM,
    DISPLAY_COLUMN,
    GATE_CELL,
    GATE_CELLS,
    LANE_CELLS,
    NUM_ROADS,
    PASSPORT_CELL,
    ROAD_CELLS,
    TOP_FLOOR,
    District,
    Kind,
    cell_of,
)
from tasks.trip.scenery import BACKGROUND, GATE_COLOURS, OPEN, symbol
from tasks.trip.world import (
    BAY,
    BOARDING,
    DISTRICT,
    FLOOR,
    GATE,
    HEADING,
    PASSPORT,
    QUEUE,
    SEEN,
    SIZES,
    SWITCH,
    X,
    Y,
    check_actions,
    check_states,
    step,
)

_TABLE_CELL = cell_of(District.OFFICE, Kind.TABLE)
_DOORS = tuple(
    (district, cell_of(district, kind), colour, column, value)
    for district, kind, colour, column, value in (
        (District.OFFICE, Kind.OFFICE_DOOR, "yellow", SWITCH, 1),
        (District.CORRIDOR, Kind.LIFT_DOOR, "purple", FLOOR, TOP_FLOOR),
        (District.LIFT, Kind.CABIN_DOOR, "purple", FLOOR, 0),
        (District.LOUNGE, Kind.BOARDING_DOOR, "blue", BOARDING, 1),
    )
)
_SWITCHES = {
    district: cell_of(district, Kind.SWITCH)
    for district in (District.CORRIDOR, District.LIFT, District.STREET)
}
_BOARDING_X, _BOARDING_Y = cell_of(District.LOUNGE, Kind.BOARDING_DOOR)
_BOARDING_LAMPS = [(_BOARDING_X + side, _BOARDING_Y) for side in (-1, 1)]  # dark, they are walls
_OPEN_GATES = np.array([symbol("door", colour, OPEN) for colour in GATE_COLOURS])
_CALLED_GATES = np.array([symbol("ball", colour) for colour in GATE_COLOURS])


def observe(states: np.ndarray) -> np.ndarray:
    """What is seen, (B, WIDTH, HEIGHT, 3) uint8, in states (B, NUM_COLUMNS)."""
    seen = without_agent(states)
    everyone, x, y = np.arange(len(states)), states[:, X], states[:, Y]
    seen[everyone, x, y, 0] = OBJECT_TO_IDX["agent"]
    seen[everyone, x, y, 1] = COLOR_TO_IDX["red"]
    seen[everyone, x, y, 2] = states[:, HEADING]
    return seen


def without_agent(states: np.ndarray) -> np.ndarray:
    """What is seen, (B, WIDTH, HEIGHT, 3) uint8, were the agent itself not there."""
    district = states[:, DISTRICT]
    seen = BACKGROUND[district]
    rows = np.flatnonzero(states[:, PASSPORT])
    seen[(rows, *PASSPORT_CELL)] = symbol("key", "yellow")
    rows = rows[district[rows] == District.OFFICE]
    seen[(rows, *_TABLE_CELL)] = symbol("box", "grey")
    for place, cell, colour, column, value in _DOORS:
        rows = np.flatnonzero((district == place) & (states[:, column] == value))
        seen[(rows, *cell)] = symbol("door", colour, OPEN)
    boarding = np.flatnonzero(states[:, BOARDING])
    for cell in _BOARDING_LAMPS:
        seen[(boarding, *cell)] = symbol("goal", "green")
    for place, cell in _SWITCHES.items():
        rows = np.flatnonzero((district == place) & (states[:, SWITCH] == 1))
        seen[(rows, *cell)] = symbol("goal", "green")  # lit: seen from afar
    rows = np.flatnonzero((district == District.CORRIDOR) | (district == District.LIFT))
    seen[rows, DISPLAY_COLUMN, DISPLAY_BOTTOM - states[rows, FLOOR]] = symbol("ball", "green")
    rows = np.flatnonzero(states[:, BAY])
    x, y = BAY_CELLS[states[rows, BAY] - 1].T
    seen[rows, x, y] = symbol("door", "yellow", OPEN)
    rows = np.flatnonzero(states[:, SEEN])
    known, road = np.nonzero((states[rows, SEEN][:, None] >> np.arange(NUM_ROADS)) & 1)
    seen[rows[known], ROAD_CELLS[road, 0], ROAD_CELLS[road, 1]] = symbol("lava")
    for lane, (x, y) in enumerate(LANE_CELLS):
        seen[np.flatnonzero(states[:, QUEUE] > lane), x, y] = symbol("ball", "blue")
    rows = np.flatnonzero(states[:, GATE])
    gate = states[rows, GATE] - 1
    seen[rows, GATE_CELLS[gate, 0], GATE_CELLS[gate, 1]] = _OPEN_GATES[gate]
    seen[(rows, *GATE_CELL)] = _CALLED_GATES[gate]
    return seen


def sight(states: np.ndarray) -> np.ndarray:
    """(B,) int64: a number that two states share if and only if they look the same."""
    return np.ravel_multi_index(tuple(states[:, c] for c in SIZES), tuple(SIZES.values()))


class TripBatch:
    """B travellers, each in a world of his own, stepped together."""

    def __init__(self, states: np.ndarray) -> None:
        """Place the travellers in `states`, (B, NUM_COLUMNS) int."""
        self.states = np.array(states, dtype=np.int64)
        check_states(self.states)

    def step(self, actions: np.ndarray) -> None:
        """Lets everyone take one action; `actions` is (B,) int, see `step`."""
        actions = np.asarray(actions)
        assert actions.shape == (len(self.states),), f"{actions.shape} != {(len(self.states),)}"
        check_actions(actions)
        self.states = step(self.states, actions)

    def observe(self) -> np.ndarray:
        """(B, WIDTH, HEIGHT, 3) uint8: what everyone sees."""
        return observe(self.states)
