"""Goals as observations: what our environments share, and any MiniGrid world of walls and lava."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from minigrid.core.constants import OBJECT_TO_IDX
from minigrid.core.grid import Grid
from minigrid.minigrid_env import MiniGridEnv

from tasks.simulator import NUM_ACTIONS, NUM_HEADINGS, GridWorld


def fixed_world(env: gym.Env, layout_seed: int) -> GridWorld:
    """The world that `env` draws when reset with `layout_seed`, its green goal removed."""
    base = env.unwrapped
    if not isinstance(base, MiniGridEnv):
        raise ValueError(
            f"{type(base).__name__} is not a MiniGrid environment; give one that is, such as "
            "MiniGrid-FourRooms-v0."
        )
    env.reset(seed=layout_seed)
    background = base.grid.encode()
    background[background[:, :, 0] == OBJECT_TO_IDX["goal"]] = (OBJECT_TO_IDX["empty"], 0, 0)
    x, y = base.agent_pos
    return GridWorld.from_background(background, home=(int(x), int(y)))


def check_max_steps(max_steps: int) -> None:
    """Refuses a limit of env steps that no episode can have.

    Raises:
        ValueError: it is below 1.
    """
    if max_steps < 1:
        raise ValueError(f"max_steps = {max_steps} must be at least 1; give a positive integer.")


def grid_and_goal(shape: tuple[int, ...]) -> spaces.Dict:
    """The space of a symbolic grid, (width, height, 3) = `shape` uint8, and of one to reach."""
    image = spaces.Box(low=0, high=len(OBJECT_TO_IDX) - 1, shape=shape, dtype=np.uint8)
    return spaces.Dict({"image": image, "goal": image})


class SymbolicGoal(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """A MiniGrid world of fixed layout whose goal is an observation to reach.

    Observations are {"image": the full symbolic grid, "goal": the grid to reach}, both
    (width, height, 3) uint8. An episode terminates in the goal's cell, whatever the heading, with
    reward 1, or in lava with reward 0, and is truncated after `max_steps`.
    """

    def __init__(self, env: gym.Env, *, layout_seed: int, max_steps: int) -> None:
        # Recorded, so that gymnasium can make the environment again from its spec.
        gym.utils.RecordConstructorArgs.__init__(self, layout_seed=layout_seed, max_steps=max_steps)
        gym.Wrapper.__init__(self, env)
        check_max_steps(max_steps)
        self.world = fixed_world(env, layout_seed)
        self.unwrapped.max_steps = max_steps
        self.action_space = spaces.Discrete(NUM_ACTIONS)
        self.observation_space = grid_and_goal(self.world.background.shape)
        self.goal = self.world.all_states[0]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Draw start and goal, or take them from `options`: "start", "goal", x, y, heading each."""
        options = options or {}
        self.env.reset(seed=seed)
        base = self.unwrapped
        draws = base.np_random.choice(self.world.num_land_cells, size=2, replace=False)
        headings = base.np_random.integers(NUM_HEADINGS, size=2)
        start, goal = self.world.all_states[NUM_HEADINGS * draws + headings]
        start = np.asarray(options.get("start", start))
        self.goal = np.array(options.get("goal", goal))
        if self.world.in_lava[self.world.state_index(np.stack([start, self.goal]))].any():
            raise ValueError(
                f"start {start.tolist()} or goal {self.goal.tolist()} is in lava; give cells "
                "without it."
            )
        # The same seed must give the same episode in any layout, so the layout is put back by hand.
        base.grid, _ = Grid.decode(self.world.background)
        base.agent_pos = (int(start[0]), int(start[1]))
        base.agent_dir = int(start[2])
        if self.render_mode == "human":
            self.render()  # the window shows the layout that MiniGrid drew
        return self._observation(), self._info()

    def step(self, action: int) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Let MiniGrid move the agent by one env step."""
        _, _, _, truncated, _ = self.env.step(action)
        x, y, _ = self.state
        reached = bool(x == self.goal[0] and y == self.goal[1])
        terminated = reached or bool(self.world.lava[y, x])
        return self._observation(), float(reached), terminated, truncated, self._info()

    @property
    def state(self) -> np.ndarray:
        """(3,) int64: x, y, heading of the agent."""
        base = self.unwrapped
        return np.array([*base.agent_pos, base.agent_dir])

    def _observation(self) -> dict[str, np.ndarray]:
        image, goal = self.world.observe(np.stack([self.state, self.goal]))
        return {"image": image, "goal": goal}

    def _info(self) -> dict[str, np.ndarray]:
        return {"state": self.state, "goal": self.goal.copy()}
