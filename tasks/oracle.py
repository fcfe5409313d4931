"""The exact optimum: shortest paths over all states, by networkx."""

from weakref import WeakKeyDictionary

import networkx as nx
import numpy as np

from tasks.simulator import NUM_ACTIONS, NUM_HEADINGS, GridWorld

_graphs: "WeakKeyDictionary[GridWorld, nx.DiGraph]" = WeakKeyDictionary()
_steps_to_every_cell: "WeakKeyDictionary[GridWorld, np.ndarray]" = WeakKeyDictionary()
_steps: "WeakKeyDictionary[GridWorld, dict[tuple[int, int], np.ndarray]]" = WeakKeyDictionary()


def state_graph(world: GridWorld) -> nx.DiGraph:
    """The world as a graph: a node per state index, an edge with its `action` per real move."""
    if world not in _graphs:
        graph = nx.DiGraph()
        graph.add_nodes_from(range(world.num_states))
        graph.add_edges_from(
            (state, int(world.transitions[state, action]), {"action": action})
            for state in range(world.num_states)
            for action in range(NUM_ACTIONS)
            if world.transitions[state, action] != state
        )
        _graphs[world] = graph
    return _graphs[world]


def optimal_steps_to_cell(world: GridWorld, goal_cell: tuple[int, int]) -> np.ndarray:
    """Count the fewest env steps from every state to a cell, whatever the heading there.

    Args:
        goal_cell: x, y of a cell.

    Returns:
        (S,) int32, read-only, by state index; -1 where the cell cannot be reached, as from lava.
    """
    x, y = int(goal_cell[0]), int(goal_cell[1])
    cached = _steps.setdefault(world, {})
    if (x, y) not in cached:
        first = int(world.state_index(np.array([x, y, 0])))
        backwards = state_graph(world).reverse(copy=False)
        steps = np.full(world.num_states, -1, np.int32)
        for distance, layer in enumerate(
            nx.bfs_layers(backwards, range(first, first + NUM_HEADINGS))
        ):
            steps[layer] = distance
        steps.flags.writeable = False
        cached[x, y] = steps
    return cached[x, y]


def optimal_steps_to_every_cell(world: GridWorld) -> np.ndarray:
    """(C, S) int32, read-only: what `optimal_steps_to_cell` says of each cell of land, in order.

    All at once: a bit says whether a state has a way to a cell that is no longer than so many
    steps, and one step more is an `or` with the states after it.
    """
    if world not in _steps_to_every_cell:
        _steps_to_every_cell[world] = _searched_backwards(world)
    return _steps_to_every_cell[world]


def _searched_backwards(world: GridWorld) -> np.ndarray:
    count = world.num_land_cells
    cell = np.arange(world.num_states) // NUM_HEADINGS
    within = np.packbits(cell[:, None] == np.arange(count), axis=1)
    steps = np.zeros((world.num_states, count), np.int32)
    while True:
        farther = np.unpackbits(~within, axis=1, count=count)
        grown = within | np.bitwise_or.reduce(within[world.transitions], axis=1)
        if np.array_equal(grown, within):
            steps[farther.astype(bool)] = -1
            steps = np.ascontiguousarray(steps.T)
            steps.flags.writeable = False
            return steps
        steps += farther
        within = grown


def optimal_steps(world: GridWorld, starts: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """(E,) int64: fewest env steps from each start, (E, 3), to its goal's cell, (E, 3)."""
    indices = world.state_index(starts)
    pairs = zip(indices, np.asarray(goals)[:, :2], strict=True)
    steps = [optimal_steps_to_cell(world, tuple(cell))[state] for state, cell in pairs]
    return np.array(steps, np.int64)


def optimal_actions(world: GridWorld, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """(B,) int64: the first action of a shortest path from states (B, 3) to goals' cells (B, 3).

    Where the cell is reached, or cannot be, it is 0.
    """
    after = world.transitions[world.state_index(states)]
    cells = np.asarray(goals)[:, :2].tolist()
    left = np.stack(
        [
            optimal_steps_to_cell(world, (x, y))[row]
            for (x, y), row in zip(cells, after, strict=True)
        ]
    )
    return np.where(left < 0, left.max() + 1, left).argmin(1)


def optimal_path(
    world: GridWorld, start: tuple[int, int, int], goal_cell: tuple[int, int]
) -> list[int]:
    """The actions of one shortest path from x, y, heading to a cell; [] if already there."""
    steps = optimal_steps_to_cell(world, goal_cell)
    state = int(world.state_index(np.array(start)))
    if steps[state] < 0:
        raise ValueError(
            f"cell {tuple(goal_cell)} cannot be reached from {tuple(start)}; choose another pair."
        )
    actions = []
    while steps[state] > 0:
        action = int(np.flatnonzero(steps[world.transitions[state]] == steps[state] - 1)[0])
        actions.append(action)
        state = int(world.transitions[state, action])
    return actions
