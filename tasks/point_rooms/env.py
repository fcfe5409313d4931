"""`point_rooms` as gymnasium environments: start and goal drawn anew in every episode."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from tasks.goals import check_max_steps
from tasks.point_rooms.paths import at_goal
from tasks.point_rooms.pixels import SIDE, draw, picture
from tasks.point_rooms.task import PointBatch, PointRoomsTask, View

ENV_IDS: dict[View, str] = {"state": "hplan/PointRooms-v0", "pixels": "hplan/PointRoomsPixels-v0"}
_GOAL_COLOUR = np.array([44, 150, 44])


class PointRoomsEnv(gym.Env):
    """A point mass whose goal is an observation to reach.

    Observations are {"observation": what is seen, "goal": what is to be seen}, both as in
    `PointRoomsTask`; actions accelerations (ax, ay) in [-1, 1]. An episode terminates within
    half a cell of the goal, whatever the velocity, with reward 1, and is truncated after
    `max_steps`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(
        self,
        *,
        view: View = "state",
        layout_seed: int = 0,
        max_steps: int = 360,
        render_mode: str | None = None,
    ) -> None:
        """`max_steps` is in env steps."""
        check_max_steps(max_steps)
        self.task = PointRoomsTask(name="point-rooms", layout_seed=layout_seed, view=view)
        self.max_steps, self.render_mode = max_steps, render_mode
        self.action_space = spaces.Box(-1.0, 1.0, shape=(2,), dtype=np.float32)
        image = spaces.Box(0, 255, shape=(SIDE, SIDE, 3), dtype=np.uint8)
        vector = spaces.Box(-1.0, 1.0, shape=(4,), dtype=np.float32)
        seen = image if view == "pixels" else vector
        self.observation_space = spaces.Dict({"observation": seen, "goal": seen})

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Draw start and goal, or take them from `options`: "start", "goal", x, y, vx, vy each."""
        super().reset(seed=seed)
        options, world = options or {}, self.task.world
        cells = self.np_random.choice(len(world.cells), size=2, replace=False)
        start, goal = world.random_states(cells, self.np_random)
        given = [np.array(options.get(name, drawn), np.float64)
                 for name, drawn in (("start", start), ("goal", goal))]  # fmt: skip
        world.check_states(np.stack(given))
        self.point = PointBatch(self.task, given[0][None])
        self.goal, self.steps = given[1], 0
        return self._observation(), self._info()

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Move the point by one env step."""
        self.point.step(np.asarray(action)[None])
        self.steps += 1
        reached = bool(at_goal(self.point.states, self.goal[None])[0])
        truncated = self.steps >= self.max_steps
        return self._observation(), float(reached), reached, truncated, self._info()

    @property
    def state(self) -> np.ndarray:
        """(4,) float64: x, y, vx, vy of the point."""
        return self.point.states[0].copy()

    def render(self) -> np.ndarray | None:
        """(256, 256, 3) uint8: walls, the goal as a green blob, the point and its trail."""
        if self.render_mode is None:
            gym.logger.warn("render() needs a render_mode; make the environment with one.")
            return None
        both = draw(self.task.world, np.stack([self.state, self.goal]))
        image, share = picture(both[0]), (both[1, ..., :1] / 255.0).repeat(4, 0).repeat(4, 1)
        free = ~(both[0, ..., [0, 2]].any(0)).repeat(4, 0).repeat(4, 1)[..., None]
        return np.rint(image + 0.7 * share * free * (_GOAL_COLOUR - image)).astype(np.uint8)

    def _observation(self) -> dict[str, np.ndarray]:
        seen, goal = self.task.observe(np.stack([self.state, self.goal]))
        return {"observation": seen, "goal": goal}

    def _info(self) -> dict[str, np.ndarray]:
        return {"state": self.state, "goal": self.goal.copy()}


for _view, _id in ENV_IDS.items():
    if _id not in gym.registry:
        gym.register(
            id=_id, entry_point="tasks.point_rooms.env:PointRoomsEnv", kwargs={"view": _view}
        )
