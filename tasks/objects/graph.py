"""The states of a world of objects as a graph, found by breadth-first search; exact distances.

The search steps whole layers of states at once. Worlds in which things can lie anywhere have very
many states; then a smaller graph is made of fewer moves, whose paths are real but maybe not the
shortest: their lengths are upper bounds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import networkx as nx
import numpy as np

from tasks.objects.moves import step
from tasks.objects.world import HEADING, ObjectWorld

UNREACHABLE = -1
# Of states after a move and before it, (B, R) each: is the move one of the graph's, (B,) bool?
Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectGraph:
    """S states and the moves between them.

    Attributes:
        world: whose states they are.
        states: (S, R) int64, in order of their number of steps from the first, `world.start`.
        successors: (S, A) int32, the state after each action; the state itself where the action
            changes nothing or is no move of this graph.
    """

    world: ObjectWorld
    states: np.ndarray
    successors: np.ndarray
    _steps: dict[tuple[int, int], np.ndarray] = field(default_factory=dict, repr=False)

    @cached_property
    def _sorted_keys(self) -> tuple[np.ndarray, np.ndarray]:
        keys = keys_of(self.states)
        order = np.argsort(keys)
        return keys[order], order

    def index_of(self, states: np.ndarray) -> np.ndarray:
        """(B,) int64: the numbers of states (B, R); -1 of such as are not in the graph."""
        keys, order = self._sorted_keys
        at = np.minimum(np.searchsorted(keys, keys_of(states)), len(keys) - 1)
        found = order[at]
        return np.where((self.states[found] == states).all(1), found, -1)

    @cached_property
    def cells(self) -> np.ndarray:
        """(S,) int64: where the agent is."""
        return self.world.cell_of(self.states)

    @cached_property
    def looks(self) -> np.ndarray:
        """(S,) int64: what it carries, see `ObjectWorld.look_carried`."""
        return self.world.look_carried(self.states)

    @cached_property
    def _predecessors(self) -> tuple[np.ndarray, np.ndarray]:
        """(S + 1,) and (edges,): the states before state s are edges[begin[s] : begin[s + 1]]."""
        after, num_actions = self.successors.ravel(), self.successors.shape[1]
        before = np.repeat(np.arange(len(self.states), dtype=np.int32), num_actions)
        real = after != before
        order = np.argsort(after[real], kind="stable")
        counts = np.bincount(after[real], minlength=len(self.states))
        return np.concatenate([[0], np.cumsum(counts)]), before[real][order]

    def steps_to(self, cell: int, look: int) -> np.ndarray:
        """Fewest env steps from every state until the agent is in a cell and carries that look.

        Returns:
            (S,) int16, read-only; -1 where that never comes to be.
        """
        if (cell, look) not in self._steps:
            goals = np.flatnonzero((self.cells == cell) & (self.looks == look))
            self._steps[cell, look] = self.steps_to_any(goals)
        return self._steps[cell, look]

    def steps_to_any(self, goals: np.ndarray) -> np.ndarray:
        """(S,) int16 as in `steps_to`, to the nearest of some states, given by number."""
        begin, before = self._predecessors
        steps = np.full(len(self.states), UNREACHABLE, np.int16)
        layer, distance = goals, 0
        while len(layer):
            steps[layer] = distance
            distance += 1
            counts = begin[layer + 1] - begin[layer]
            ends = np.cumsum(counts)
            edges = np.arange(ends[-1]) + np.repeat(begin[layer] - ends + counts, counts)
            reached = before[edges]
            layer = np.unique(reached[steps[reached] == UNREACHABLE])
        steps.flags.writeable = False
        return steps

    def next_actions(self, indices: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """(B,) int64: an action that brings each state, (B,), one step nearer by `steps`, (S,).

        Left, 0, where the goal is reached, or never can be.
        """
        after = steps[self.successors[indices]]
        return (after == steps[indices, None] - 1).argmax(1) * (steps[indices] > 0)

    def arrivals(self, indices: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """(B,) int64: the states in which shortest paths from states (B,) end."""
        indices, rows = indices.copy(), np.arange(len(indices))
        while (steps[indices] > 0).any():
            after = self.successors[indices, self.next_actions(indices, steps)]
            indices[rows] = np.where(steps[indices] > 0, after, indices)
        return indices

    def networkx(self) -> nx.DiGraph:
        """The same as a networkx graph: a node per state number, an edge with its `action`."""
        graph = nx.DiGraph()
        graph.add_nodes_from(range(len(self.states)))
        state, action = np.nonzero(self.successors != np.arange(len(self.states))[:, None])
        after = self.successors[state, action]
        graph.add_edges_from(
            (s, t, {"action": a})
            for s, t, a in zip(state.tolist(), after.tolist(), action.tolist(), strict=True)
        )
        return graph


def keys_of(states: np.ndarray) -> np.ndarray:
    """(B,) uint64: a number for each state (B, R).

    A linear hash with fixed random coefficients: that any two of half a million states share one
    has odds of one in a hundred million.
    """
    coefficients = np.random.default_rng(0).integers(0, 2**64, states.shape[1], dtype=np.uint64)
    with np.errstate(over="ignore"):
        return states.astype(np.uint64) @ (coefficients | np.uint64(1))


def explore(
    world: ObjectWorld, *, most: int, rule: Rule | None = None, cut: bool = False
) -> ObjectGraph | None:
    """All states that can be reached from the world's start; None if there are more than `most`.

    Args:
        rule: of all moves, takes only those for which it returns True, (B,) bool.
        cut: where there are more, take the nearest to the start instead, in whole layers.
    """
    num_actions, width = len(world.actions), len(world.start)
    layers, followers = [world.start[None]], []
    known = keys_of(layers[0])
    while len(layers[-1]):
        after = np.stack([follow(world, layers[-1], a, rule) for a in range(num_actions)], axis=1)
        after = after.reshape(-1, width)
        keys = keys_of(after)
        followers.append(keys)
        fresh, first = np.unique(keys, return_index=True)
        at = np.minimum(np.searchsorted(known, fresh), len(known) - 1)
        new = known[at] != fresh
        if len(known) + int(new.sum()) > most:
            if not cut:
                return None
            break
        # Timsort merges the two sorted runs in one pass.
        known = np.sort(np.concatenate([known, fresh[new]]), kind="stable")
        layers.append(after[first[new]])
    states = np.concatenate(layers)
    keys = keys_of(states)
    order = np.argsort(keys)
    followed = np.concatenate(followers)
    at = np.minimum(np.searchsorted(keys[order], followed), len(keys) - 1)
    own = np.repeat(np.arange(len(states)), num_actions)
    successors = np.where(keys[order][at] == followed, order[at], own)
    successors = successors.reshape(-1, num_actions).astype(np.int32)
    return ObjectGraph(world=world, states=states, successors=successors)


def follow(world: ObjectWorld, states: np.ndarray, action: int, rule: Rule | None) -> np.ndarray:
    """(B, R): the states after one action; unchanged where a rule forbids the move."""
    after = step(world, states, np.full(len(states), action))
    if rule is None:
        return after
    return np.where(rule(after, states)[:, None], after, states)


def with_heading(states: np.ndarray, headings: np.ndarray) -> np.ndarray:
    """States (B, R) turned to headings (B,)."""
    turned = states.copy()
    turned[:, HEADING] = headings
    return turned
