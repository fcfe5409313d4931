"""The journey, many travellers at once in numpy: what happens in a step.

A *state* is a row of int64, see `Column`. It holds the episode's seed and the count of env steps,
from which all that is random is drawn (`tasks.chance`), so a state's future is its own.
"""

from enum import IntEnum

import numpy as np
from minigrid.core.constants import DIR_TO_VEC

from tasks.chance import uniform
from tasks.trip.districts import (
    CLOSURES,
    ENTRIES,
    HEIGHT,
    KINDS,
    NUM_BAYS,
    NUM_GATES,
    NUM_KINDS,
    NUM_LANES,
    NUM_ROADS,
    ROUTE,
    SIGHTS,
    TOP_FLOOR,
    WIDTH,
    District,
    Kind,
)

LEFT, RIGHT, FORWARD, PICKUP, WAIT, TOGGLE = range(6)  # MiniGrid's; its `drop` is to wait
NUM_ACTIONS = 6


class Column(IntEnum):
    """What a state says. All but `SEED`, `STEP` and `CLOSED` is seen; 0 where it does not apply.

    `SWITCH`: the office's door is open, the lift is called, is sent down, a taxi is hailed.
    `FLOOR`: of the lift, 0 to `TOP_FLOOR`. `BAY`, `GATE`: 0 while unknown, else 1 + which.
    `CLOSED`, `SEEN`: bits of roads that are closed, and known to be. `QUEUE`: people at security.
    `BOARDING`: the aeroplane takes passengers.
    """

    SEED = 0
    STEP = 1
    DISTRICT = 2
    X = 3
    Y = 4
    HEADING = 5
    PASSPORT = 6
    SWITCH = 7
    FLOOR = 8
    BAY = 9
    CLOSED = 10
    SEEN = 11
    GATE = 12
    QUEUE = 13
    BOARDING = 14


(SEED, STEP, DISTRICT, X, Y, HEADING, PASSPORT, SWITCH, FLOOR, BAY, CLOSED, SEEN, GATE, QUEUE,
 BOARDING) = Column  # fmt: skip
NUM_COLUMNS = len(Column)

# Chance in each step that what is waited for moves on.
DRIVES, LIFT_COMES, LIFT_DRIFTS, LIFT_SINKS = 0.75, 0.5, 0.2, 0.6
TAXI_COMES, QUEUE_MOVES, GATE_IS_CALLED = 0.12, 0.25, 0.1
BOARDING_OPENS, BOARDING_CLOSES, FLIES_ON = 0.08, 0.04, 0.6
_WHETHER, _WHICH = 0, 1  # purposes of chance

_VECTORS = np.array(DIR_TO_VEC)


def _conditions() -> np.ndarray:
    """(NUM_KINDS, 3) int64: a cell can be entered while a column is within [low, high]."""
    table = np.tile(np.array([STEP, 1, 0]), (NUM_KINDS, 1))  # never
    always = (STEP, 0, np.iinfo(np.int64).max)
    table[[Kind.FREE, Kind.EXIT]] = always
    table[Kind.ROADWORK :] = always  # closures are looked at apart
    table[Kind.OFFICE_DOOR] = SWITCH, 1, 1
    table[Kind.LIFT_DOOR] = FLOOR, TOP_FLOOR, TOP_FLOOR
    table[Kind.CABIN_DOOR] = FLOOR, 0, 0
    table[Kind.BOARDING_DOOR] = BOARDING, 1, 1
    for i in range(NUM_BAYS):
        table[Kind.BAY + i] = BAY, i + 1, i + 1
    for i in range(NUM_LANES):
        table[Kind.LANE + i] = QUEUE, 0, i
    for i in range(NUM_GATES):
        table[Kind.GATE + i] = GATE, i + 1, i + 1
    return table


_CONDITIONS = _conditions()
_IS_DOORWAY = np.isin(
    np.arange(NUM_KINDS),
    [Kind.EXIT, Kind.OFFICE_DOOR, Kind.LIFT_DOOR, Kind.CABIN_DOOR, Kind.BOARDING_DOOR]
    + [Kind.BAY + i for i in range(NUM_BAYS)]
    + [Kind.GATE + i for i in range(NUM_GATES)],
)
_NEXT_ON_ROUTE = np.zeros((WIDTH, HEIGHT, 3), np.int64)
_NEXT_ON_ROUTE[ROUTE[:-1, 0], ROUTE[:-1, 1]] = ROUTE[1:]


def passable(states: np.ndarray, kinds: np.ndarray, closed: np.ndarray) -> np.ndarray:
    """(B,) bool: in states (B, NUM_COLUMNS) a cell of each kind, (B,), can be entered.

    Args:
        closed: (B,) int64, bits of the roads that count as closed.
    """
    column, low, high = _CONDITIONS[kinds].T
    value = states[np.arange(len(states)), column]
    road = np.maximum(kinds - Kind.ROADWORK, 0)
    shut = (kinds >= Kind.ROADWORK) & ((closed >> road) & 1 == 1)
    return (value >= low) & (value <= high) & ~shut


def cells_ahead(states: np.ndarray) -> np.ndarray:
    """(2, B) int64: x and y of the cell in front of each traveller; in flight it may be outside."""
    return states[:, X : Y + 1].T + _VECTORS[states[:, HEADING]].T


def kinds_ahead(states: np.ndarray) -> np.ndarray:
    """(B,) int64: `Kind` of the cell in front of each traveller."""
    x, y = cells_ahead(states)
    return KINDS[states[:, DISTRICT], x, y]


def step(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """The states that follow.

    A traveller acts on what is; then chance changes the district. Who enters another district
    finds it as chance has drawn it.

    Args:
        states: (B, NUM_COLUMNS) int64.
        actions: (B,) int, of which each is MiniGrid's own: 0 left, 1 right, 2 forward, 3 pick up,
            4 wait, 5 toggle. In flight none has an effect.

    Returns:
        (B, NUM_COLUMNS) int64.
    """
    seed, count = states[:, SEED], states[:, STEP]
    whether, which = uniform(seed, count, _WHETHER), uniform(seed, count, _WHICH)
    after, leaving = _act(states, actions, whether)
    _let_happen(after, np.where(leaving, -1, after[:, DISTRICT]), whether, which)
    landing = (states[:, DISTRICT] == District.FLIGHT) & (whether < FLIES_ON)
    landing &= (states[:, X : HEADING + 1] == ROUTE[-1]).all(axis=1)
    _enter(after, np.flatnonzero(leaving | landing), which)
    riding = np.flatnonzero(after[:, DISTRICT] == District.RIDE)
    if len(riding):
        x, y, closed = after[riding][:, [X, Y, CLOSED]].T
        after[riding, SEEN] |= closed & SIGHTS[x, y]
    after[:, STEP] += 1
    return after


def _act(
    states: np.ndarray, actions: np.ndarray, whether: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The states after the actions alone, and (B,) bool, who steps through a doorway."""
    after, kinds = states.copy(), kinds_ahead(states)
    district = states[:, DISTRICT]
    free = district != District.FLIGHT
    turn = np.where(actions == RIGHT, 1, np.where(actions == LEFT, -1, 0)) * free
    after[:, HEADING] = (states[:, HEADING] + turn) % 4
    moving = free & (actions == FORWARD) & passable(states, kinds, states[:, CLOSED])
    moving &= (district != District.RIDE) | (whether < DRIVES)
    leaving = moving & _IS_DOORWAY[kinds]
    after[:, X : Y + 1] += _VECTORS[states[:, HEADING]] * (moving & ~leaving)[:, None]
    after[(actions == PICKUP) & (kinds == Kind.TABLE), PASSPORT] = 1
    toggling = actions == TOGGLE
    after[toggling & (kinds == Kind.SWITCH), SWITCH] = 1
    # The badge that opens the office's door lies with the passport: nobody leaves without it.
    at_door = toggling & (kinds == Kind.OFFICE_DOOR) & (states[:, PASSPORT] == 1)
    after[at_door, SWITCH] ^= 1
    return after, leaving


def _let_happen(
    after: np.ndarray, district: np.ndarray, whether: np.ndarray, which: np.ndarray
) -> None:
    """Changes what is random in the districts, (B,), of travellers, -1 for nothing; in place."""
    rows = np.flatnonzero(district == District.CORRIDOR)
    if len(rows):
        u, floor, called = whether[rows], after[rows, FLOOR], after[rows, SWITCH] == 1
        drift = (u < LIFT_DRIFTS / 2).astype(np.int64) - (u >= 1.0 - LIFT_DRIFTS / 2)
        idle = np.clip(floor + drift, 0, TOP_FLOOR - 1)
        after[rows, FLOOR] = np.where(called, np.minimum(floor + (u < LIFT_COMES), TOP_FLOOR), idle)
    rows = np.flatnonzero(district == District.LIFT)
    if len(rows):
        sinking = (after[rows, SWITCH] == 1) & (whether[rows] < LIFT_SINKS)
        after[rows, FLOOR] = np.maximum(after[rows, FLOOR] - sinking, 0)
    hailed = (district == District.STREET) & (after[:, SWITCH] == 1) & (after[:, BAY] == 0)
    rows = np.flatnonzero(hailed & (whether < TAXI_COMES))
    after[rows, BAY] = 1 + (which[rows] * NUM_BAYS).astype(np.int64)
    rows = np.flatnonzero(district == District.AIRPORT)
    if len(rows):
        after[rows, QUEUE] = np.maximum(after[rows, QUEUE] - (whether[rows] < QUEUE_MOVES), 0)
        called = (after[rows, GATE] == 0) & (which[rows] < GATE_IS_CALLED)
        gate = 1 + (which[rows] * (NUM_GATES / GATE_IS_CALLED)).astype(np.int64)
        after[rows, GATE] = np.where(called, gate, after[rows, GATE])
    rows = np.flatnonzero(district == District.LOUNGE)
    if len(rows):
        chance = np.where(after[rows, BOARDING] == 1, BOARDING_CLOSES, BOARDING_OPENS)
        after[rows, BOARDING] ^= whether[rows] < chance
    rows = np.flatnonzero((district == District.FLIGHT) & (whether < FLIES_ON))
    here = after[rows, X : HEADING + 1]
    after[rows, X : HEADING + 1] = np.where(
        (here == ROUTE[-1]).all(axis=1, keepdims=True), here, _NEXT_ON_ROUTE[here[:, 0], here[:, 1]]
    )


def _enter(after: np.ndarray, rows: np.ndarray, which: np.ndarray) -> None:
    """Moves travellers, rows of `after`, into their next district; what was, is forgotten."""
    if not len(rows):
        return
    new = np.zeros((len(rows), NUM_COLUMNS), np.int64)
    new[:, [SEED, STEP, PASSPORT]] = after[rows][:, [SEED, STEP, PASSPORT]]
    new[:, DISTRICT] = district = after[rows, DISTRICT] + 1
    new[:, X : HEADING + 1] = ENTRIES[district]
    u = which[rows]
    new[:, FLOOR] = np.where(district == District.CORRIDOR, (u * TOP_FLOOR).astype(np.int64), 0)
    new[district == District.LIFT, FLOOR] = TOP_FLOOR
    riding = district == District.RIDE
    new[riding, CLOSED] = CLOSURES[(u[riding] * len(CLOSURES)).astype(np.int64)]
    fullest = NUM_LANES - 2
    queue = fullest + (u * (NUM_LANES - fullest + 1)).astype(np.int64)
    new[:, QUEUE] = np.where(district == District.AIRPORT, queue, 0)
    after[rows] = new


def at_desk(seeds: np.ndarray) -> np.ndarray:
    """(B, NUM_COLUMNS) int64: the journey's beginning, in episodes of these seeds (B,)."""
    states = np.zeros((len(seeds), NUM_COLUMNS), np.int64)
    states[:, SEED] = seeds
    states[:, X : HEADING + 1] = ENTRIES[District.OFFICE]
    return states


# Of every column that is seen, how many values it can have.
SIZES = {
    DISTRICT: len(District), X: WIDTH, Y: HEIGHT, HEADING: 4, PASSPORT: 2, SWITCH: 2,
    FLOOR: TOP_FLOOR + 1, BAY: NUM_BAYS + 1, SEEN: 1 << NUM_ROADS, GATE: NUM_GATES + 1,
    QUEUE: NUM_LANES + 1, BOARDING: 2,
}  # fmt: skip


def check_actions(actions: np.ndarray) -> None:
    """Refuses actions, (B,) int, that are none of the six."""
    if ((actions < 0) | (actions >= NUM_ACTIONS)).any():
        raise ValueError(
            f"actions hold values from {actions.min()} to {actions.max()}; allowed are 0 "
            "(left), 1 (right), 2 (forward), 3 (pick up), 4 (wait) and 5 (toggle)."
        )


def check_states(states: np.ndarray) -> None:
    """Refuses rows that are no state."""
    if states.ndim != 2 or states.shape[1] != NUM_COLUMNS:
        raise ValueError(
            f"states have shape {states.shape}; a state of the trip is a row of {NUM_COLUMNS}: "
            f"{', '.join(c.name.lower() for c in Column)}."
        )
    sizes = {**SIZES, CLOSED: 1 << NUM_ROADS}
    for column, size in sizes.items():
        values = states[:, column]
        if (bad := (values < 0) | (values >= size)).any():
            raise ValueError(
                f"states hold {column.name.lower()} = {values[bad][0]}; allowed is 0 to {size - 1}."
            )
