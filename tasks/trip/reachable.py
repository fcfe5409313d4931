"""All that a traveller can come to see, one state for each look.

Walks of the data may begin anywhere (`tasks.trip.travellers.anywhere`), so that a place and what
chance has brought there go together in every way, but for the queue and the roads.
"""

from functools import cache
from itertools import product

import numpy as np
from minigrid.core.constants import DIR_TO_VEC

from tasks.trip.districts import (
    CLOSURES,
    HEIGHT,
    KINDS,
    NUM_BAYS,
    NUM_GATES,
    NUM_LANES,
    NUM_ROADS,
    ROUTE,
    SIGHTS,
    TOP_FLOOR,
    WIDTH,
    District,
    Kind,
)
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
    SWITCH,
    Column,
    X,
    Y,
)

Values = dict[Column, int]
_RIDES = (len(CLOSURES), WIDTH, HEIGHT, 1 << NUM_ROADS)  # how they are numbered
# In each district, what may be the case in any of its places.
_CASES: dict[District, list[Values]] = {
    District.OFFICE: [{PASSPORT: 0}, *({PASSPORT: 1, SWITCH: is_open} for is_open in range(2))],
    District.CORRIDOR: [
        *({SWITCH: 0, FLOOR: floor} for floor in range(TOP_FLOOR)),
        *({SWITCH: 1, FLOOR: floor} for floor in range(TOP_FLOOR + 1)),
    ],
    District.LIFT: [
        {SWITCH: 0, FLOOR: TOP_FLOOR},
        *({SWITCH: 1, FLOOR: floor} for floor in range(TOP_FLOOR + 1)),
    ],
    District.STREET: [{SWITCH: 0}, *({SWITCH: 1, BAY: bay} for bay in range(NUM_BAYS + 1))],
    District.LOUNGE: [{BOARDING: 0}, {BOARDING: 1}],
    District.PARIS: [{}],
    District.CAFE: [{}],
}


@cache
def reachable_states() -> np.ndarray:
    """(S, NUM_COLUMNS) int64, read-only: no two look the same. What is not seen is 0."""
    rows: list[Values] = []
    for district, cases in _CASES.items():
        places = np.argwhere(KINDS[district] == Kind.FREE).tolist()
        rows += [_at(district, x, y, case) for (x, y), case in product(places, cases)]
    kinds = KINDS[District.AIRPORT]
    for x, y in np.argwhere((kinds == Kind.FREE) | _is_lane(kinds)).tolist():
        # Before one who stands in the queue are only as many as there is room for.
        most = kinds[x, y] - Kind.LANE if _is_lane(kinds[x, y]) else NUM_LANES
        for queue, gate in product(range(most + 1), range(NUM_GATES + 1)):
            rows.append(_at(District.AIRPORT, x, y, {QUEUE: queue, GATE: gate}))
    rows += [_at(District.RIDE, x, y, {SEEN: seen}) for x, y, seen in _rides()]
    flown = [{**_at(District.FLIGHT, x, y, {}), HEADING: heading} for x, y, heading in ROUTE]
    states = np.array([[row.get(column, 0) for column in Column] for row in rows + flown])
    turned = states[: len(rows)].repeat(4, axis=0)
    turned[:, HEADING] = np.tile(np.arange(4), len(rows))
    states = np.concatenate([turned, states[len(rows) :]])
    states.flags.writeable = False
    return states


def _at(district: District, x: int, y: int, case: Values) -> Values:
    return {PASSPORT: 1, DISTRICT: district, X: x, Y: y, **case}


def _is_lane(kinds: np.ndarray) -> np.ndarray:
    return (kinds >= Kind.LANE) & (kinds < Kind.GATE)


def _rides() -> np.ndarray:
    """(N, 3) int64: x, y, and bits of the closed roads that are known, of all rides."""
    x, y = np.argwhere(KINDS[District.RIDE] == Kind.FREE).T
    closure = np.arange(len(CLOSURES))[:, None]
    rides = _numbered(closure, x, y, CLOSURES[closure] & SIGHTS[x, y]).ravel()
    while True:
        longer = np.unique(np.concatenate([rides, *(_driven(rides, way) for way in DIR_TO_VEC)]))
        if len(longer) == len(rides):
            _, x, y, seen = np.unravel_index(rides, _RIDES)
            return np.unique(np.column_stack([x, y, seen]), axis=0)
        rides = longer


def _driven(rides: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Those that follow rides, by number, one step on; of them such as are not held up."""
    closure, x, y, seen = np.unravel_index(rides, _RIDES)
    closed, (x, y) = CLOSURES[closure], (x + way[0], y + way[1])
    kinds = KINDS[District.RIDE, x, y]
    road = kinds - Kind.ROADWORK
    is_open = (kinds == Kind.FREE) | ((road >= 0) & ((closed >> np.maximum(road, 0)) & 1 == 0))
    after = _numbered(closure, x, y, seen | closed & SIGHTS[x, y])
    return after[is_open]


def _numbered(closure: np.ndarray, x: np.ndarray, y: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return np.ravel_multi_index(np.broadcast_arrays(closure, x, y, seen), _RIDES)
