"""Environments of one world of objects, stepped together."""

import numpy as np

from tasks.objects.moves import step
from tasks.objects.world import ObjectWorld


class ObjectBatch:
    """B agents, each alone in its own copy of the world, stepped together."""

    def __init__(self, world: ObjectWorld, states: np.ndarray) -> None:
        """Start in `states`, (B, R) int."""
        self.world = world
        self.states = world.check_states(states)

    def step(self, actions: np.ndarray) -> None:
        """One env step each; `actions` is (B,) int, indices of the world's actions."""
        actions, most = np.asarray(actions), len(self.world.actions)
        assert actions.shape == (len(self.states),), f"{actions.shape} != {(len(self.states),)}"
        if ((actions < 0) | (actions >= most)).any():
            raise ValueError(
                f"actions hold values from {actions.min()} to {actions.max()}; this world has "
                f"actions 0 to {most - 1}."
            )
        self.states = step(self.world, self.states, actions)

    def observe(self) -> np.ndarray:
        """(B, width, height, 3) uint8: each agent's full symbolic grid."""
        return self.world.observe(self.states)
