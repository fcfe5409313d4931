"""The traveller who knows the map and what he has seen, and plans again in every step.

In each *situation* of a district (no passport yet; lift called; taxi at the second corner; these
roads known to be closed; ...) there is one place to go to, by the way that takes least time on a
networkx graph of cells and headings. What is not known is taken to be as one would wish: a road
that was not seen closed is open, a door that is shut will open. Where it is shut, he waits.
"""

from functools import cache

import networkx as nx
import numpy as np
from minigrid.core.constants import DIR_TO_VEC

from tasks.trip.districts import (
    CLOSURES,
    HEIGHT,
    KINDS,
    NUM_BAYS,
    NUM_GATES,
    NUM_ROADS,
    SEAT,
    WIDTH,
    District,
    Kind,
    cell_of,
)
from tasks.trip.world import (
    BAY,
    DISTRICT,
    DRIVES,
    FORWARD,
    GATE,
    HEADING,
    LEFT,
    NUM_COLUMNS,
    PASSPORT,
    PICKUP,
    RIGHT,
    SEEN,
    SWITCH,
    TOGGLE,
    WAIT,
    X,
    Y,
    kinds_ahead,
    passable,
    step,
)

Cell = tuple[int, int]
Place = tuple[int, int, int]  # x, y, heading

_WAIT_FOR_TAXI, _WAIT_FOR_GATE = (5, 5), (5, 2)
_VECTORS = np.array(DIR_TO_VEC).tolist()
LONGEST = 2000  # env steps; no journey of the oracle's takes so long


@cache
def _city(district: District, closed: int = 0) -> nx.DiGraph:
    """All places of a district, each with an edge to those from which it is one action away.

    Doors and queues are open, roads are but those of the bits `closed`; who steps through a
    doorway is in its cell for good. An edge has that `action`, and the `steps` that it takes.
    """
    kinds = KINDS[district]
    road = kinds - Kind.ROADWORK
    shut = (road >= 0) & ((closed >> np.maximum(road, 0)) & 1 == 1)
    solid = np.isin(kinds, [Kind.BLOCKED, Kind.TABLE, Kind.SWITCH]) | shut
    inside = (kinds == Kind.FREE) | ((kinds >= Kind.LANE) & (kinds < Kind.GATE)) | (road >= 0)
    pace = 1.0 / DRIVES if district == District.RIDE else 1.0
    edges = []
    for x, y in np.argwhere(inside & ~solid).tolist():
        for heading, (dx, dy) in enumerate(_VECTORS):
            here = (x, y, heading)
            edges.append(((x, y, (heading - 1) % 4), here, {"action": LEFT, "steps": 1.0}))
            edges.append(((x, y, (heading + 1) % 4), here, {"action": RIGHT, "steps": 1.0}))
            if not solid[x + dx, y + dy]:
                there = (x + dx, y + dy, heading)
                edges.append((there, here, {"action": FORWARD, "steps": pace}))
    return nx.DiGraph(edges)


def _ways(city: nx.DiGraph, ends: list[Place], last: int) -> np.ndarray:
    """(WIDTH, HEIGHT, 4) int8: the action in each place on a quickest way to the nearest end.

    Args:
        last: the action at an end.
    """
    ends = [place for place in ends if place in city]
    steps = nx.multi_source_dijkstra_path_length(city, ends, weight="steps")
    actions = np.full((WIDTH, HEIGHT, 4), WAIT, np.int8)
    for place in steps:
        choices = [
            (steps[there] + edge["steps"], edge["action"] != FORWARD, edge["action"])
            for there, edge in city.pred[place].items()
            if there in steps
        ]
        if choices:
            actions[place] = min(choices)[-1]
    for place in ends:
        actions[place] = last
    return actions


def _to_cell(district: District, cell: Cell, closed: int = 0) -> np.ndarray:
    """(WIDTH, HEIGHT, 4) int8: actions on a quickest way into a cell, and then to wait."""
    return _ways(_city(district, closed), [(*cell, heading) for heading in range(4)], WAIT)


def _to_face(district: District, kind: int, last: int) -> np.ndarray:
    """(WIDTH, HEIGHT, 4) int8: actions to face the cell of a kind; then `last`."""
    x, y = cell_of(district, kind)
    ends = [(x - dx, y - dy, heading) for heading, (dx, dy) in enumerate(_VECTORS)]
    return _ways(_city(district), ends, last)


def _to_doorway(district: District, kind: int, closed: int = 0) -> np.ndarray:
    return _to_cell(district, cell_of(district, kind), closed)


@cache
def _tables() -> tuple[np.ndarray, dict[District, int]]:
    """(M, WIDTH, HEIGHT, 4) int8: actions in each situation, and where a district's begin."""
    office, street, airport = District.OFFICE, District.STREET, District.AIRPORT
    situations = {
        office: [
            _to_face(office, Kind.TABLE, PICKUP), _to_face(office, Kind.OFFICE_DOOR, TOGGLE),
            _to_doorway(office, Kind.OFFICE_DOOR),
        ],
        District.CORRIDOR: _call_and_go(District.CORRIDOR, Kind.LIFT_DOOR),
        District.LIFT: _call_and_go(District.LIFT, Kind.CABIN_DOOR),
        street: [
            _to_face(street, Kind.SWITCH, TOGGLE), _to_cell(street, _WAIT_FOR_TAXI),
            *(_to_doorway(street, Kind.BAY + i) for i in range(NUM_BAYS)),
        ],
        airport: [
            _to_cell(airport, _WAIT_FOR_GATE),
            *(_to_doorway(airport, Kind.GATE + i) for i in range(NUM_GATES)),
        ],
        District.LOUNGE: [_to_doorway(District.LOUNGE, Kind.BOARDING_DOOR)],
        District.FLIGHT: [np.full((WIDTH, HEIGHT, 4), WAIT, np.int8)],
        District.PARIS: [_to_doorway(District.PARIS, Kind.EXIT)],
        District.CAFE: [_to_cell(District.CAFE, SEAT)],
        District.RIDE: [
            _to_doorway(District.RIDE, Kind.EXIT, closed) for closed in _what_may_be_seen()
        ],
    }  # fmt: skip
    first, count = {}, 0
    for district, tables in situations.items():
        first[district] = count
        count += len(tables)
    return np.concatenate([np.stack(tables) for tables in situations.values()]), first


def _call_and_go(district: District, door: Kind) -> list[np.ndarray]:
    return [_to_face(district, Kind.SWITCH, TOGGLE), _to_doorway(district, door)]


@cache
def _what_may_be_seen() -> list[int]:
    """Every set of roads, as bits, that may be known to be closed."""
    seen = {0}
    for closed in CLOSURES.tolist():
        parts = [1 << i for i in range(NUM_ROADS) if closed >> i & 1]
        for choice in range(1 << len(parts)):
            seen.add(sum(part for i, part in enumerate(parts) if choice >> i & 1))
    return sorted(seen)


def _situations(states: np.ndarray) -> np.ndarray:
    """(B,) int64: which of `_tables` the states (B, NUM_COLUMNS) call for; of what is seen only."""
    district, switch = states[:, DISTRICT], states[:, SWITCH]
    _, first = _tables()
    within = np.zeros(len(states), np.int64)
    office = district == District.OFFICE
    within[office] = (states[:, PASSPORT] * (1 + switch))[office]
    called = (district == District.CORRIDOR) | (district == District.LIFT)
    within[called] = switch[called]
    street = district == District.STREET
    within[street] = (switch + states[:, BAY])[street]
    airport = district == District.AIRPORT
    within[airport] = states[airport, GATE]
    riding = district == District.RIDE
    within[riding] = np.searchsorted(_what_may_be_seen(), states[riding, SEEN])
    return np.array([first[d] for d in District])[district] + within


def onward(states: np.ndarray) -> np.ndarray:
    """(B,) int64: what takes travellers, (B, NUM_COLUMNS), one step nearer to their seat in Paris.

    It looks at nothing that they have not seen.
    """
    tables, _ = _tables()
    actions = tables[_situations(states), states[:, X], states[:, Y], states[:, HEADING]]
    return wait_where_shut(states, actions.astype(np.int64))


def wait_where_shut(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """(B,) int64: `actions`, but to wait where a step forward would be one against a shut door."""
    open_ahead = passable(states, kinds_ahead(states), states[:, SEEN])
    return np.where((actions == FORWARD) & ~open_ahead, WAIT, actions)


@cache
def ways_to(district: District, cell: Cell, closed: int = 0) -> np.ndarray:
    """(WIDTH, HEIGHT, 4) int8: actions on a quickest way to a cell of a district, then to wait."""
    return _to_cell(district, cell, closed)


def optimal_actions(states: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """(B,) int64: the next action on the way to the goal's cell, once in the goal's district.

    Args:
        states, goals: (B, NUM_COLUMNS) int64. Of a goal, district and cell count. Who is past its
            district cannot come back, and goes on to Paris.
    """
    actions = onward(states)
    there = states[:, DISTRICT] == goals[:, DISTRICT]
    # Whoever seeks the seat in the cafe is on the way already.
    there &= ~((goals[:, DISTRICT] == District.CAFE) & (goals[:, X : Y + 1] == SEAT).all(axis=1))
    for row in np.flatnonzero(there):
        district, x, y = goals[row, DISTRICT : Y + 1].tolist()
        ways = ways_to(District(district), (x, y), int(states[row, SEEN]))
        actions[row] = ways[tuple(states[row, X : HEADING + 1])]
    return wait_where_shut(states, actions)


def steps_to(states: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """(B,) int64: env steps that the oracle takes in these very episodes to the goals' cells."""
    steps = np.full(len(states), -1)
    for count in range(LONGEST):
        there = (states[:, DISTRICT : Y + 1] == goals[:, DISTRICT : Y + 1]).all(axis=1)
        steps[there & (steps < 0)] = count
        if (steps >= 0).all():
            return steps
        states = step(states, optimal_actions(states, goals))
    late = np.flatnonzero(steps < 0)[0]
    raise ValueError(
        f"the goal in district {District(goals[late, DISTRICT]).name}, cell "
        f"{goals[late, X : Y + 1].tolist()}, is not reached in {LONGEST} env steps; give one that "
        "lies ahead of the start."
    )


def hindsight_plan(state: np.ndarray, goal: np.ndarray) -> list[int]:
    """The actions that the oracle ends up taking from a state, (NUM_COLUMNS,), to a goal."""
    state, goal = np.reshape(state, (1, NUM_COLUMNS)), np.reshape(goal, (1, NUM_COLUMNS))
    plan: list[int] = []
    for _ in range(int(steps_to(state, goal)[0])):
        action = optimal_actions(state, goal)
        plan.append(int(action[0]))
        state = step(state, action)
    return plan
