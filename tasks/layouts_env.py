"""The worlds of rooms whose states say which of many they lie in, as real MiniGrid environments."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from minigrid.core.grid import Grid
from minigrid.core.mission import MissionSpace
from minigrid.minigrid_env import MiniGridEnv

from tasks.goals import check_max_steps, grid_and_goal
from tasks.registry import TASKS
from tasks.seeds import LARGEST_SEED


class LayoutsEnv(MiniGridEnv):
    """`rooms-doors` or `rooms-many`: start and goal are of a suite's, drawn anew every episode.

    Observations are {"image": what the task shows of the state, "goal": of the goal}, both
    (width, height, 3) uint8: a doorway that is shut looks open, though it is a wall here. An
    episode terminates in the goal's cell, with reward 1, and is truncated after `max_steps`.
    """

    def __init__(
        self,
        *,
        name: str = "rooms-doors",
        layout_seed: int = 0,
        max_steps: int = 260,
        render_mode: str | None = None,
    ) -> None:
        """The task `name`; `max_steps` is in env steps."""
        check_max_steps(max_steps)
        self.task = TASKS[name](layout_seed=layout_seed)
        shape = self.task.spec.shape
        super().__init__(
            mission_space=MissionSpace(mission_func=_mission),
            width=shape[0],
            height=shape[1],
            max_steps=max_steps,
            render_mode=render_mode,
        )
        self.action_space = spaces.Discrete(self.task.spec.num_actions)
        self.observation_space = grid_and_goal(shape)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Draw start and goal, or take them from `options`: "start", "goal", states of the task."""
        gym.Env.reset(self, seed=seed)
        given = options or {}
        if not {"start", "goal"} <= given.keys():
            given = self._drawn() | given
        start, self.goal = np.array(given["start"]), np.array(given["goal"])
        self.task.batch(start[None])  # or a refusal
        self.start, self.step_count = start, 0
        self.grid, _ = Grid.decode(self.task.grid_of(start))
        x, y, self.agent_dir = map(int, start[self.task.pose])
        self.agent_pos = (x, y)
        if self.render_mode == "human":
            self.render()
        return self._observation(), self._info()

    def step(self, action: int) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Let MiniGrid move the agent by one env step."""
        _, _, _, truncated, _ = super().step(action)
        reached = bool(self.task.is_success(self.state[None], self.goal[None])[0])
        return self._observation(), float(reached), reached, truncated, self._info()

    @property
    def state(self) -> np.ndarray:
        """(4,) int64: that of the task."""
        state = self.start.copy()
        state[self.task.pose] = (*self.agent_pos, self.agent_dir)
        return state

    def _gen_grid(self, width: int, height: int) -> None:
        self.grid = Grid(width, height)

    def _drawn(self) -> dict[str, np.ndarray]:
        seed = int(self.np_random.integers(LARGEST_SEED))
        suite = self.task.suite(episodes_per_bin=1, seed=seed)
        pair = self.np_random.integers(suite.num_episodes)
        return {"start": suite.starts[pair], "goal": suite.goals[pair]}

    def _observation(self) -> dict[str, np.ndarray]:
        shown = {"image": self.state, "goal": self.goal}
        return {key: self.task.observe(state[None])[0] for key, state in shown.items()}

    def _info(self) -> dict[str, np.ndarray]:
        return {"state": self.state, "goal": self.goal.copy()}


def _mission() -> str:
    return "reach the goal"
