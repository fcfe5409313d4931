"""Whose reward-free episodes the data is made of: travellers who mostly get somewhere.

They begin anywhere on the journey. Each has an intention for a while: to go on, as the oracle
would; to roam, that is to go to a random cell of the district; or to stroll, a random walk with
persistence. Whatever the intention, now and then they make a mistake, and often go on with it: to
toggle again and again where nothing is to toggle is what a planner will otherwise imagine wrongly.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from tasks.seeds import LARGEST_SEED
from tasks.trip.districts import (
    CLOSURES,
    HEIGHT,
    KINDS,
    LANE_CELLS,
    NUM_BAYS,
    NUM_GATES,
    NUM_LANES,
    ROUTE,
    SIGHTS,
    TOP_FLOOR,
    WIDTH,
    District,
    Kind,
)
from tasks.trip.oracle import onward, wait_where_shut, ways_to
from tasks.trip.world import (
    BAY,
    BOARDING,
    CLOSED,
    DISTRICT,
    FLOOR,
    FORWARD,
    GATE,
    HEADING,
    LEFT,
    NUM_ACTIONS,
    NUM_COLUMNS,
    PASSPORT,
    QUEUE,
    RIGHT,
    SEED,
    SEEN,
    SWITCH,
    WAIT,
    X,
    Y,
    at_desk,
    kinds_ahead,
    passable,
    step,
)
from tasks.wander import NOTHING, gone_on_with

_ONWARD, _ROAM, _STROLL = range(3)
# Datasets that were collected before these were written down lack them.
UNWRITTEN = {"into_walls": 0.15, "other_sense": 0.2}


@dataclass(frozen=True, kw_only=True)
class Travellers:
    """How travellers behave. Every step draws from these, independently for each.

    Attributes:
        onward, roam: share of the times that a traveller takes up this intention; he strolls in
            what is left.
        persistence: chance to keep an intention in a step; who has got where he wanted, in the
            district or to his seat in Paris, takes up another.
        mistake: chance to take a random action instead.
        repeat: chance to take it once more.
        forward, pause: chance of a stroller to walk on where the way is free, and to stand still.
        into_walls, other_sense: chance of a stroller to bump where the way is shut, and to turn
            the other way than last time.
        at_desk: share of the episodes that begin at the desk.
        starts: of the others, the share that begins in each district, in any cell of it.
    """

    onward: float = 0.4
    roam: float = 0.3
    persistence: float = 0.97
    mistake: float = 0.05
    repeat: float = 0.75
    forward: float = 0.65
    pause: float = 0.1
    into_walls: float = 0.15
    other_sense: float = 0.2
    at_desk: float = 0.25
    starts: tuple[float, ...] = (0.34, 0.14, 0.08, 0.12, 0.24, 0.03, 0.02, 0.01, 0.02, 0.0)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            for number in value if isinstance(value, tuple) else (value,):
                if not 0.0 <= number <= 1.0:
                    raise ValueError(
                        f"travellers.{name} = {value} is outside [0, 1]; give shares of 1."
                    )
        if self.onward + self.roam > 1.0 or len(self.starts) != len(District):
            raise ValueError(
                f"travellers.onward = {self.onward} and roam = {self.roam} must not exceed 1 "
                f"together, and starts = {self.starts} needs {len(District)} shares."
            )
        if abs(sum(self.starts) - 1.0) > 1e-6:
            raise ValueError(f"travellers.starts = {self.starts} must add up to 1.")


@cache
def _free_cells() -> list[np.ndarray]:
    """Of each district, (C, 2) int64: x and y of the cells that one may stand in."""
    kinds = (KINDS == Kind.FREE) | ((KINDS >= Kind.LANE) & (KINDS < Kind.GATE))
    cells = [np.argwhere(kinds[district]) for district in District]
    cells[District.FLIGHT] = ROUTE[:, :2]
    return cells


@cache
def _roaming() -> tuple[np.ndarray, np.ndarray]:
    """(N, WIDTH, HEIGHT, 4) int8: ways to every cell; and where each district's begin."""
    tables, first = [], []
    for district, cells in zip(District, _free_cells(), strict=True):
        first.append(len(tables))
        if district != District.FLIGHT:
            tables.extend(ways_to(district, (x, y)) for x, y in cells.tolist())
    return np.stack([*tables, np.zeros((WIDTH, HEIGHT, 4), np.int8)]), np.array(first)


def anywhere(
    count: int, generator: np.random.Generator, starts: tuple[float, ...] | None = None
) -> np.ndarray:
    """(count, NUM_COLUMNS) int64: states from the whole journey, such as one can come to be in.

    Args:
        starts: share of each district; None takes all alike.
    """
    states = at_desk(generator.integers(LARGEST_SEED, size=count))
    states[:, DISTRICT] = district = generator.choice(len(District), size=count, p=starts)
    for place, cells in zip(District, _free_cells(), strict=True):
        rows = np.flatnonzero(district == place)
        states[rows, X : Y + 1] = cells[generator.integers(len(cells), size=len(rows))]
    states[:, HEADING] = generator.integers(4, size=count)

    def among(size: int) -> np.ndarray:
        return generator.integers(size, size=count)

    # Few have their passport in the office: picking it up is rare enough.
    states[:, PASSPORT] = (district > District.OFFICE) | (among(4) == 0)
    switched = district <= District.STREET
    states[:, SWITCH] = np.where(switched, among(2) * states[:, PASSPORT], 0)
    pressed = states[:, SWITCH] == 1
    lift = np.where(pressed, among(TOP_FLOOR + 1), TOP_FLOOR)
    states[:, FLOOR] = np.where(district == District.LIFT, lift, 0)
    waiting = np.where(pressed, among(TOP_FLOOR + 1), among(TOP_FLOOR))
    states[:, FLOOR] += np.where(district == District.CORRIDOR, waiting, 0)
    hailed = (district == District.STREET) & pressed
    states[:, BAY] = np.where(hailed, among(NUM_BAYS + 1), 0)
    riding = district == District.RIDE
    states[:, CLOSED] = np.where(riding, CLOSURES[among(len(CLOSURES))], 0)
    states[:, SEEN] = states[:, CLOSED] & SIGHTS[states[:, X], states[:, Y]]
    flying = np.flatnonzero(district == District.FLIGHT)
    states[flying, X : HEADING + 1] = ROUTE[generator.integers(len(ROUTE), size=len(flying))]
    landed = district == District.AIRPORT
    queue = among(NUM_LANES + 1)
    for lane, (x, y) in enumerate(LANE_CELLS):
        inside = (states[:, X] == x) & (states[:, Y] == y)
        queue = np.where(inside, np.minimum(queue, lane), queue)
    states[:, QUEUE] = np.where(landed, queue, 0)
    states[:, GATE] = np.where(landed, among(NUM_GATES + 1), 0)
    states[:, BOARDING] = np.where(district == District.LOUNGE, among(2), 0)
    return states


class _Crowd:
    """What travellers have in mind, from one step to the next."""

    def __init__(
        self, states: np.ndarray, travellers: Travellers, generator: np.random.Generator
    ) -> None:
        self.travellers, self.generator = travellers, generator
        self.intention = np.zeros(len(states), np.int64)
        self.target = np.zeros(len(states), np.int64)  # row of `_roaming`
        self.turn = generator.choice([LEFT, RIGHT], size=len(states))
        self.district = states[:, DISTRICT].copy()
        self.mistake = np.full(len(states), NOTHING)
        self._take_up(np.arange(len(states)))

    def _take_up(self, rows: np.ndarray) -> None:
        """New intentions for these travellers."""
        bounds = np.cumsum([self.travellers.onward, self.travellers.roam])
        self.intention[rows] = np.searchsorted(bounds, self.generator.random(len(rows)), "right")
        self._choose_targets(rows)

    def _choose_targets(self, rows: np.ndarray) -> None:
        _, first = _roaming()
        sizes = np.array([len(cells) for cells in _free_cells()])
        district = self.district[rows]
        self.target[rows] = first[district] + self.generator.integers(sizes[district])

    def actions(self, states: np.ndarray) -> np.ndarray:
        """(B,) int64: what everybody does next."""
        mind, random = self.travellers, self.generator
        count = len(states)
        chance = random.random((4, count))
        moved = np.flatnonzero(states[:, DISTRICT] != self.district)
        self.district[:] = states[:, DISTRICT]
        self._choose_targets(moved)
        self._take_up(np.flatnonzero(chance[0] >= mind.persistence))
        roaming, onwards = self._roam(states), onward(states)
        seated = (states[:, DISTRICT] == District.CAFE) & (onwards == WAIT)
        arrived = np.where(self.intention == _ROAM, roaming == WAIT, seated)
        roaming = wait_where_shut(states, roaming)
        actions = np.choose(self.intention, [onwards, roaming, self._stroll(states, *chance[1:3])])
        self._take_up(np.flatnonzero(arrived))
        other = random.integers(NUM_ACTIONS, size=count)
        self.mistake = gone_on_with(
            self.mistake, other, chance[3], begin=mind.mistake, again=mind.repeat
        )
        return np.where(self.mistake == NOTHING, actions, self.mistake)

    def _roam(self, states: np.ndarray) -> np.ndarray:
        """(B,) int64: the way to everybody's random cell, and there to wait."""
        ways, _ = _roaming()
        flying = states[:, DISTRICT] == District.FLIGHT
        target = np.where(flying, len(ways) - 1, self.target)
        return ways[target, states[:, X], states[:, Y], states[:, HEADING]].astype(np.int64)

    def _stroll(self, states: np.ndarray, walk: np.ndarray, turn: np.ndarray) -> np.ndarray:
        """(B,) int64: a random walk's next actions, given two uniform numbers (B,) each."""
        mind = self.travellers
        is_open = passable(states, kinds_ahead(states), states[:, SEEN])
        walks_on = walk < np.where(is_open, mind.forward, mind.into_walls)
        # Mostly the last turn's rotating sense: else it would jitter.
        other = ~walks_on & (turn < mind.other_sense)
        self.turn = np.where(other, LEFT + RIGHT - self.turn, self.turn)
        stands = walk > 1.0 - mind.pause
        return np.where(walks_on, FORWARD, np.where(stands, WAIT, self.turn))


def travel(
    num_episodes: int, episode_length: int, generator: np.random.Generator, travellers: Travellers
) -> tuple[np.ndarray, np.ndarray]:
    """Lets travellers go about, from anywhere or from the desk.

    Args:
        num_episodes: E.
        episode_length: T, env steps.

    Returns:
        (E, T + 1, NUM_COLUMNS) int64 states, index 0 the start, and (E, T) int8 actions taken.
    """
    states = anywhere(num_episodes, generator, travellers.starts)
    first = generator.random(num_episodes) < travellers.at_desk
    states[first] = at_desk(states[first, SEED])
    crowd = _Crowd(states, travellers, generator)
    visited = np.empty((episode_length + 1, num_episodes, NUM_COLUMNS), np.int64)
    taken = np.empty((episode_length, num_episodes), np.int8)
    visited[0] = states
    for t in range(episode_length):
        taken[t] = actions = crowd.actions(states)
        visited[t + 1] = states = step(states, actions)
    return visited.swapaxes(0, 1), np.ascontiguousarray(taken.T)
