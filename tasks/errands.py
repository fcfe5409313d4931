"""A behaviour policy that gets about: in a large world a random walk stays where it begins."""

from dataclasses import dataclass

import numpy as np

from tasks.oracle import optimal_steps_to_every_cell
from tasks.simulator import GridWorld
from tasks.wander import Lead, Wanderer


@dataclass(frozen=True, kw_only=True)
class ErrandRunner(Wanderer):
    """A wanderer who at times heads for a random cell by a shortest path, with mistakes.

    Attributes:
        errand_share: chance that an errand comes next, rather than wandering for a while.
        end_probability: chance in each step to give up what one is about; an errand also ends
            where it leads.
        slip_probability: chance in each step of an errand to take a wanderer's action instead.
        bump_probability: as a wanderer's; higher, for who knows the way rarely has a wall in front.
    """

    errand_share: float = 0.7
    end_probability: float = 0.02
    slip_probability: float = 0.25
    bump_probability: float = 0.7

    def leads(self, world: GridWorld) -> Lead:
        """The errands of a batch of agents, of whom nobody has one yet."""
        return Errands(self, world).lead


class Errands:
    """The errands of B agents in one world, which end and begin as they walk."""

    def __init__(self, runner: ErrandRunner, world: GridWorld) -> None:
        """Nobody has decided yet what to do."""
        self.runner, self.transitions = runner, world.transitions
        steps = optimal_steps_to_every_cell(world)
        self.steps = np.where(steps < 0, world.num_states, steps)  # (C, S)
        self.goal: np.ndarray | None = None  # (B,) cell, -1 of those who wander

    def lead(
        self, states: np.ndarray, actions: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """The actions (B,) of agents in `states` (B,), who would wander by `actions` (B,)."""
        runner, count = self.runner, len(states)
        if self.goal is None:
            goal, ends = np.full(count, -1), np.full(count, True)
        else:
            goal = self.goal
            arrived = (goal >= 0) & (self.steps[goal, states] == 0)
            ends = arrived | (generator.random(count) < runner.end_probability)
        cells = generator.integers(len(self.steps), size=count)
        fresh = np.where(generator.random(count) < runner.errand_share, cells, -1)
        self.goal = goal = np.where(ends, fresh, goal)
        walks = (goal >= 0) & (generator.random(count) >= runner.slip_probability)
        nearest = self.steps[goal[:, None], self.transitions[states]].argmin(1)
        return np.where(walks, nearest, actions)
