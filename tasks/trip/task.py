"""The trip as a task: its data, its suites and its rule of success."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hplan.dataset import EpisodeStore, ObservationSpec
from tasks.collect import EPISODES_PER_CHUNK
from tasks.readings import MINIGRID_VALUES
from tasks.seeds import LARGEST_SEED, Stream, stream_generator
from tasks.suite import Bins, Pairs, Suite, check_episodes_per_bin
from tasks.trip.districts import (
    ENTRIES,
    GATE_CELL,
    HEIGHT,
    PASSPORT_CELL,
    SEAT,
    TICKET_CELL,
    WIDTH,
    District,
)
from tasks.trip.oracle import onward, optimal_actions, steps_to
from tasks.trip.picture import caption, trip_picture
from tasks.trip.reachable import reachable_states
from tasks.trip.sight import TripBatch, observe, sight
from tasks.trip.travellers import UNWRITTEN, Travellers, anywhere, travel
from tasks.trip.world import (
    DISTRICT,
    HEADING,
    NUM_ACTIONS,
    PASSPORT,
    X,
    Y,
    at_desk,
    check_states,
    step,
)
from tasks.wander import less_as_before, wanderer_of

BUDGET_FACTOR, BUDGET_EXTRA = 3, 20  # env steps allowed: so many times the bin's longest, and more
_LONGEST_PAIR = 350  # env steps between a validation pair's start and goal


@dataclass(frozen=True, kw_only=True)
class TripTask:
    """A journey from the desk in New York, or a part of it.

    Data, observations and actions are the same wherever it ends: a stack trained on one of these
    tasks can be evaluated on the others.

    Attributes:
        name: as given to `build_task`.
        layout_seed: of no effect, there is one map.
        destination: the district in which the journey ends: at its seat in the cafe, in any
            other on arriving there.
        bins: (name, low, high) of the suite, in env steps that the oracle takes.
        travellers: the behaviour policy of the data.
    """

    name: str
    layout_seed: int
    destination: District
    bins: Bins
    travellers: Travellers = Travellers()

    success_rule = "the agent is in the goal's cell of the goal's district"
    reference = "of an oracle in that draw, which replans with what it has seen"
    episodes_per_chunk = EPISODES_PER_CHUNK
    # In the order in which one comes by them: the last one tells that there are those before.
    pocket = (TICKET_CELL, PASSPORT_CELL, GATE_CELL)

    @property
    def spec(self) -> ObservationSpec:
        """What observations and actions look like."""
        return ObservationSpec(
            shape=(WIDTH, HEIGHT, 3),
            num_values=MINIGRID_VALUES,
            num_actions=NUM_ACTIONS,
        )

    @property
    def behaviour(self) -> dict[str, Any]:
        """The behaviour policy's name and parameters."""
        policy = {"policy": "tasks.trip.travellers.Travellers", **asdict(self.travellers)}
        return less_as_before(policy, UNWRITTEN)

    @property
    def goal(self) -> np.ndarray:
        """(NUM_COLUMNS,) int64: where the journey ends; it looks the same in every episode."""
        goal = at_desk(np.zeros(1, np.int64))[0]
        goal[DISTRICT] = self.destination
        goal[X : HEADING + 1] = ENTRIES[self.destination]
        goal[PASSPORT] = 1
        if self.destination == District.CAFE:
            goal[X : Y + 1] = SEAT
        return goal

    @property
    def budget(self) -> int:
        """Env steps that are allowed in the bin of the longest journeys."""
        return BUDGET_FACTOR * self.bins[-1][2] + BUDGET_EXTRA

    @property
    def reachable_states(self) -> np.ndarray:
        """(S, NUM_COLUMNS) int64: one for each look that a traveller can come to see."""
        return reachable_states()

    def wander(
        self,
        num_episodes: int,
        episode_length: int,
        generator: np.random.Generator,
        policy: Travellers | None = None,
    ) -> EpisodeStore:
        """Draw reward-free episodes; a `policy` takes the place of the task's own travellers."""
        states, actions = travel(
            num_episodes, episode_length, generator, wanderer_of(self.name, policy, self.travellers)
        )
        return _build_store(states, actions, self.spec)

    def suite(self, *, episodes_per_bin: int, seed: int) -> Suite:
        """Draw journeys, each with an episode's seed of its own, all from the desk."""
        check_episodes_per_bin(episodes_per_bin)
        drawn = [
            self._draw_bin(index, episodes_per_bin, stream_generator(Stream.SUITE, seed, index))
            for index in range(len(self.bins))
        ]
        bin_index = np.repeat(np.arange(len(self.bins)), episodes_per_bin)
        longest = np.array([high for _, _, high in self.bins])
        return Suite(
            name=self.name,
            bins=self.bins,
            starts=np.concatenate([starts for starts, _ in drawn]),
            goals=np.repeat(self.goal[None], len(bin_index), axis=0),
            optimal_steps=np.concatenate([steps for _, steps in drawn]),
            bin_index=bin_index,
            budgets=BUDGET_FACTOR * longest[bin_index] + BUDGET_EXTRA,
        )

    def _draw_bin(
        self, index: int, count: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """(count, NUM_COLUMNS) starts, and (count,) env steps of the oracle, both int64."""
        _, low, high = self.bins[index]
        lowest = low if index == 0 else low + 1
        starts, steps = at_desk(np.zeros(0, np.int64)), np.zeros(0, np.int64)
        while len(starts) < count:
            more = at_desk(generator.integers(LARGEST_SEED, size=count))
            taken = steps_to(more, np.repeat(self.goal[None], count, axis=0))
            fits = (taken >= lowest) & (taken <= high)
            starts, steps = np.vstack([starts, more[fits]]), np.append(steps, taken[fits])
        return starts[:count], steps[:count]

    def validation_pairs(self, num_pairs: int, *, seed: int) -> Pairs:
        """Draw pairs to judge energies with during training, from a stream of their own.

        A start is anywhere on the journey; the goal is what the oracle sees so many env steps
        later, drawn from all that is new to him up to his seat. `optimal_steps` are the oracle's
        in that episode, with its waiting and traffic: a reference, not the fewest there can be.
        """
        if num_pairs < 1:
            raise ValueError(
                f"num_pairs = {num_pairs} must be at least 1; give a positive integer."
            )
        # Who has his seat already sees nothing new: twice as many leave enough.
        states = anywhere(2 * num_pairs + 10, stream_generator(Stream.VALIDATION, seed))
        path = [states]
        for _ in range(_LONGEST_PAIR):
            path.append(step(path[-1], onward(path[-1])))
        return _pairs_along(np.stack(path), num_pairs, stream_generator(Stream.VALIDATION, seed, 1))

    def distances_to_a_goal(self, num_states: int) -> tuple[np.ndarray, np.ndarray]:
        """Observations of so many states, and the oracle's env steps to the seat in Paris.

        Returns:
            (M, *spec.shape) uint8, and (M,) int64; the same at every call.
        """
        states = anywhere(num_states, stream_generator(Stream.VALIDATION, 0, 2))
        seat = TripTask(name=self.name, layout_seed=0, destination=District.CAFE, bins=()).goal
        states[0] = seat
        return self.observe(states), steps_to(states, np.repeat(seat[None], num_states, axis=0))

    def batch(self, starts: np.ndarray) -> TripBatch:
        """Place B travellers in `starts`, (B, NUM_COLUMNS) int."""
        return TripBatch(starts)

    def observe(self, states: np.ndarray) -> np.ndarray:
        """Encode states or goals, (B, NUM_COLUMNS), as observations, (B, *spec.shape) uint8."""
        states = np.asarray(states)
        check_states(states)
        return observe(states)

    def picture(self, obs: np.ndarray) -> np.ndarray:
        """Draw one observation, (*spec.shape), for a person: (height, width, 3) uint8."""
        return trip_picture(obs)

    def caption(self, obs: np.ndarray) -> list[str]:
        """Say what one observation, (*spec.shape), shows: place, pocket, what there is to do."""
        return caption(obs)

    def is_success(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) bool: the agent is in its goal's district and cell, whatever the heading."""
        here, there = np.asarray(states), np.asarray(goals)
        return (here[:, DISTRICT : Y + 1] == there[:, DISTRICT : Y + 1]).all(axis=1)

    def optimal_actions(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) int64: the oracle's next actions; see `tasks.trip.oracle.optimal_actions`."""
        return optimal_actions(np.asarray(states), np.asarray(goals))


_DESTINATIONS: dict[str, tuple[District, Bins]] = {
    "trip": (District.CAFE, (("cafe", 195, 330),)),
    "trip-street": (District.RIDE, (("taxi", 60, 120),)),
    "trip-airport": (District.LOUNGE, (("gate", 100, 195),)),
    "trip-paris": (District.CAFE, (("cafe", 195, 330),)),
}


def trip_task(layout_seed: int, *, name: str) -> TripTask:
    """One of `TRIPS`: desk to taxi, to the announced gate, or to the cafe; `trip` is all of it."""
    destination, bins = _DESTINATIONS[name]
    return TripTask(name=name, layout_seed=layout_seed, destination=destination, bins=bins)


TRIPS = tuple(_DESTINATIONS)


def _pairs_along(path: np.ndarray, count: int, generator: np.random.Generator) -> Pairs:
    """Pairs of a start and what is seen on the way from it for the first time.

    Args:
        path: (T + 1, E, NUM_COLUMNS) states of E journeys.
        count: of pairs, at most one for each journey.
    """
    looks = np.stack([sight(states) for states in path])
    new = np.stack([(looks[:t] != looks[t]).all(axis=0) for t in range(len(looks))])
    new[0] = False
    rows = np.flatnonzero(new.any(axis=0))[:count]
    steps = np.where(new[:, rows], generator.random((len(path), len(rows))), -1.0).argmax(axis=0)
    return Pairs(starts=path[0, rows], goals=path[steps, rows], optimal_steps=steps)


def _build_store(states: np.ndarray, actions: np.ndarray, spec: ObservationSpec) -> EpisodeStore:
    """Keep each look once, in order of first occurrence, for (E, T + 1, NUM_COLUMNS) states."""
    flat = states.reshape(-1, states.shape[-1])
    _, first, inverse = np.unique(sight(flat), return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return EpisodeStore(
        frames=observe(flat[first[order]]),
        frame_index=rank[inverse].reshape(states.shape[:2]),
        actions=actions,
        lengths=np.full(len(actions), actions.shape[1]),
        spec=spec,
    )
