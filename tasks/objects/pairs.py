"""Start-goal pairs of a world of objects, by the distances of its graph."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks.objects.graph import ObjectGraph, with_heading
from tasks.objects.world import NUM_HEADINGS
from tasks.suite import Bins, Pairs

Goal = tuple[int, int]  # the agent's cell, and the look of what it carries
_MOST_ENTRIES = 4_000_000  # of all tables of distances, which take 0.1 to 0.4 s a million to make


@dataclass(frozen=True, kw_only=True, eq=False)
class Mission:
    """What MiniGrid itself asks for in a world.

    Attributes:
        states: (M,) int64, numbers of the graph's states in which it is done.
        starts: (N,) int64, numbers of the states before anything has been moved from which it can
            be done; the first is MiniGrid's own start.
    """

    states: np.ndarray
    starts: np.ndarray


def mission_of(
    graph: ObjectGraph, fresh: np.ndarray, cells: np.ndarray, look: int
) -> Mission | None:
    """The mission to be in one of some cells with a look in hand; None if it cannot be done.

    Args:
        fresh: (N, R) states in which nothing has been moved, first the world's start.
        cells: (M,) where the agent has to be; empty for anywhere.
        look: what it has to carry, see `ObjectWorld.look_carried`; 0 for anything.
    """
    if not len(cells) and not look:
        return None
    done = np.ones(len(graph.states), bool) if not len(cells) else np.isin(graph.cells, cells)
    states = np.flatnonzero(done & ((graph.looks == look) | (look == 0)))
    starts = graph.index_of(fresh)
    starts = starts[starts >= 0]
    starts = starts[graph.steps_to_any(states)[starts] > 0]
    # The graph's first state is the world's start.
    if not len(starts) or starts[0] != 0:
        return None
    return Mission(states=states, starts=starts)


def goals_of(graph: ObjectGraph, generator: np.random.Generator) -> list[Goal]:
    """Cells and what is carried there, in random order: all, or in large graphs some."""
    pairs = np.unique(np.column_stack([graph.cells, graph.looks]), axis=0)
    most = max(16, _MOST_ENTRIES // len(graph.states))
    return [(int(cell), int(look)) for cell, look in generator.permutation(pairs)[:most]]


def fitting_bins(graph: ObjectGraph, goals: list[Goal], ladder: Bins) -> Bins:
    """Of the ladder's bins those that some pair falls into."""
    longest = max(int(graph.steps_to(*goal).max()) for goal in goals)
    # A shortest path of that length holds one of every shorter length.
    return tuple((name, low, high) for name, low, high in ladder if low < longest)


def draw_bin(
    graph: ObjectGraph,
    goals: list[Goal] | Mission,
    bin_: tuple[str, int, int],
    is_first: bool,
    num_pairs: int,
    generator: np.random.Generator,
) -> Pairs:
    """Draw goals in turn, and for each a start as far away as the bin says; or the mission's."""
    if isinstance(goals, Mission):
        return draw_mission(graph, goals, num_pairs, generator)
    name, low, highest = bin_
    lowest = low if is_first else low + 1
    drawn: list[tuple[int, Goal]] = []
    order = [goals[index] for index in generator.permutation(len(goals))]
    while len(drawn) < num_pairs:
        before, fitting = len(drawn), []
        for goal in order:
            steps = graph.steps_to(*goal)
            starts = np.flatnonzero((steps >= lowest) & (steps <= highest))
            if len(starts) and len(drawn) < num_pairs:
                drawn.append((int(generator.choice(starts)), goal))
                fitting.append(goal)
        order = fitting
        if len(drawn) == before:
            raise ValueError(
                f"bin '{name}' of {lowest} to {highest} env steps cannot be filled: no pair of "
                "this world is that far apart; use another layout seed or a larger world."
            )
    return _pairs(graph, drawn, generator)


def draw_mission(
    graph: ObjectGraph, mission: Mission, num_pairs: int, generator: np.random.Generator
) -> Pairs:
    """From MiniGrid's start, then others where nothing has been moved, to the mission done."""
    starts = generator.choice(mission.starts, size=num_pairs)
    starts[0] = mission.starts[0]
    steps = graph.steps_to_any(mission.states)
    return _towards(graph, starts, graph.arrivals(starts, steps), steps, generator)


def draw_spread(
    graph: ObjectGraph, goals: list[Goal], num_pairs: int, generator: np.random.Generator
) -> Pairs:
    """Pairs spread evenly over all distances that each goal has, from 1 on."""
    drawn = []
    for index in generator.integers(len(goals), size=num_pairs):
        steps = graph.steps_to(*goals[index])
        distance = generator.integers(1, max(2, steps.max() + 1))
        starts = np.flatnonzero(steps == distance)
        drawn.append((int(generator.choice(starts)), goals[index]))
    return _pairs(graph, drawn, generator)


def _pairs(
    graph: ObjectGraph, drawn: list[tuple[int, Goal]], generator: np.random.Generator
) -> Pairs:
    """From the number of a start and its goal each, in that order."""
    starts = np.array([start for start, _ in drawn])
    parts = list(_by_goal(graph, drawn, generator))
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    goals = np.concatenate([pairs.goals for _, pairs in parts])[order]
    steps = np.concatenate([pairs.optimal_steps for _, pairs in parts])[order]
    return Pairs(starts=graph.states[starts], goals=goals, optimal_steps=steps)


def _by_goal(
    graph: ObjectGraph, drawn: list[tuple[int, Goal]], generator: np.random.Generator
) -> Iterator[tuple[np.ndarray, Pairs]]:
    """The rows of each distinct goal, and their pairs."""
    for goal in dict.fromkeys(goal for _, goal in drawn):
        rows = np.array([row for row, (_, other) in enumerate(drawn) if other == goal])
        starts, steps = np.array([drawn[row][0] for row in rows]), graph.steps_to(*goal)
        yield rows, _towards(graph, starts, graph.arrivals(starts, steps), steps, generator)


def _towards(
    graph: ObjectGraph,
    starts: np.ndarray,
    arrivals: np.ndarray,
    steps: np.ndarray,
    generator: np.random.Generator,
) -> Pairs:
    """A goal is the state in which a shortest path arrives, so its doors and things agree with it.

    The agent is then turned to any heading, which the rule of success leaves open.
    """
    headings = generator.integers(NUM_HEADINGS, size=len(starts))
    return Pairs(
        starts=graph.states[starts],
        goals=with_heading(graph.states[arrivals], headings),
        optimal_steps=steps[starts].astype(np.int64),
    )
