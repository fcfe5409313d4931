"""B real gymnasium environments, stepped one after the other as if they were one."""

import weakref

import numpy as np

from tasks.gymnasium_envs.pairs import NUM_SEEDS
from tasks.gymnasium_envs.world import Fault, GymWorld, Moment


class GymBatch:
    """B environments, each reset with its own seed.

    The time limit that an id is registered with is left out: whoever steps them has a limit of
    their own. An environment that has ended its episode stays as it was then, and so does one that
    is halted.

    Args:
        name: the task's, for messages.
        starts: (B,) or (B, 1) int64, reset seeds modulo 2^64.

    Raises:
        ValueError: an environment raises or returns NaN, here or later.
    """

    def __init__(self, name: str, env_id: str, starts: np.ndarray) -> None:
        self.name = name
        self.seeds = [start % NUM_SEEDS for start in np.asarray(starts).reshape(-1).tolist()]
        self._worlds = [GymWorld(env_id, time_limit=False) for _ in self.seeds]
        weakref.finalize(self, _close, self._worlds)
        self._num_steps = 0
        self._over = np.zeros(len(self.seeds), dtype=bool)
        self._moments: list[Moment] = []
        for index, (world, seed) in enumerate(zip(self._worlds, self.seeds, strict=True)):
            try:
                self._moments.append(world.reset(seed))
            except Fault as fault:
                raise self._stopped(index, fault) from fault

    def observe(self) -> np.ndarray:
        """(B, *spec.shape) observations."""
        return np.stack([moment.observation for moment in self._moments])

    def halt(self, over: np.ndarray) -> None:
        """Step no further where `over`, (B,) bool."""
        self._over = self._over | over

    def step(self, actions: np.ndarray) -> None:
        """Take one action, (B, *spec.action_shape), in each."""
        self._num_steps += 1
        for index, (world, action) in enumerate(zip(self._worlds, actions, strict=True)):
            if self._over[index] or self._moments[index].is_last:
                continue
            try:
                self._moments[index] = world.act(action)
            except Fault as fault:
                raise self._stopped(index, fault) from fault

    @property
    def states(self) -> np.ndarray:
        """(B,) objects: the `Moment` that each shows."""
        states = np.empty(len(self._moments), dtype=object)
        states[:] = self._moments
        return states

    def _stopped(self, index: int, fault: Fault) -> ValueError:
        return ValueError(
            f"task '{self.name}': {fault} at env step {self._num_steps} of env {index} (reset seed "
            f"{self.seeds[index]}); mend the environment."
        )


def _close(worlds: list[GymWorld]) -> None:
    for world in worlds:
        world.env.close()
