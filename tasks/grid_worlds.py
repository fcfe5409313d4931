"""Several grid worlds of one size as one: their states stand one after the other in one table."""

from functools import cached_property

import numpy as np
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX

from tasks.simulator import NUM_HEADINGS, GridWorld


class GridWorlds:
    """Worlds of equal size and without lava, which `GridBatch` and `grid_episodes` take for one.

    A state is (world, x, y, heading), the world by its number in the list.

    Attributes:
        worlds: the list.
        first_states: (W,) int64, number of the first state of each world among all.
    """

    def __init__(self, worlds: list[GridWorld]) -> None:
        """Join `worlds`, at least one."""
        shapes = {world.background.shape for world in worlds}
        assert len(shapes) == 1, f"worlds of one size were expected, not {sorted(shapes)}"
        assert not any(world.lava.any() for world in worlds), "worlds with lava are not joined"
        self.worlds = worlds
        self.first_states = np.cumsum([0, *(world.num_states for world in worlds[:-1])])

    @property
    def num_states(self) -> int:
        """S, of all worlds together."""
        return int(self.first_states[-1]) + self.worlds[-1].num_states

    @property
    def num_land_states(self) -> int:
        """All of them: there is no lava."""
        return self.num_states

    @property
    def background(self) -> np.ndarray:
        """(width, height, 3) uint8, of the first world: the others have its shape."""
        return self.worlds[0].background

    @cached_property
    def backgrounds(self) -> np.ndarray:
        """(W, width, height, 3) uint8: the symbolic grids without agents."""
        return np.ascontiguousarray(np.stack([world.background for world in self.worlds]))

    @cached_property
    def all_states(self) -> np.ndarray:
        """(S, 4) int64: world, x, y, heading of each state."""
        return np.concatenate(
            [
                np.insert(world.all_states, 0, number, axis=1)
                for number, world in enumerate(self.worlds)
            ]
        )

    @cached_property
    def transitions(self) -> np.ndarray:
        """(S, 3) int64: state that follows each state under left, right, forward."""
        pairs = zip(self.first_states, self.worlds, strict=True)
        return np.concatenate([first + world.transitions for first, world in pairs])

    @cached_property
    def in_lava(self) -> np.ndarray:
        """(S,) bool: never."""
        return np.zeros(self.num_states, bool)

    @cached_property
    def _index(self) -> np.ndarray:
        """(W, width, height, 4) int64: number of each state, -1 in walls."""
        index = np.full((*self.backgrounds.shape[:3], NUM_HEADINGS), -1)
        index[tuple(self.all_states.T)] = np.arange(self.num_states)
        return index

    def state_index(self, states: np.ndarray) -> np.ndarray:
        """Number the states.

        Args:
            states: (..., 4) int, world, x, y, heading.

        Returns:
            (...,) int64 in [0, S).
        """
        states = np.asarray(states)
        inside = ((states >= 0) & (states < self._index.shape)).all(-1)
        numbers = self._index[tuple(np.moveaxis(np.where(inside[..., None], states, 0), -1, 0))]
        wrong = ~inside | (numbers < 0)
        if wrong.any():
            bad = states[wrong][0].tolist()
            raise ValueError(
                f"state {tuple(bad)} is in a wall or outside; give (layout, x, y, heading) of a "
                f"cell without a wall in one of {len(self.worlds)} layouts, heading 0 to 3."
            )
        return numbers

    def observe(self, states: np.ndarray) -> np.ndarray:
        """Encode as MiniGrid's FullyObsWrapper does: (B, 4) int -> (B, width, height, 3) uint8."""
        world, x, y, heading = np.asarray(states).T
        images, rows = self.backgrounds[world], np.arange(len(x))
        images[rows, x, y, 0] = OBJECT_TO_IDX["agent"]
        images[rows, x, y, 1] = COLOR_TO_IDX["red"]
        images[rows, x, y, 2] = heading
        return images
