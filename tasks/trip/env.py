"""The trip as a real MiniGrid environment, registered with gymnasium."""

from typing import Any

import gymnasium as gym
import numpy as np
import pygame
from gymnasium import spaces
from minigrid.core.constants import TILE_PIXELS
from minigrid.core.grid import Grid
from minigrid.core.mission import MissionSpace
from minigrid.core.world_object import Key
from minigrid.minigrid_env import MiniGridEnv

from tasks.goals import check_max_steps, grid_and_goal
from tasks.seeds import LARGEST_SEED
from tasks.trip.districts import HEIGHT, WIDTH, District
from tasks.trip.picture import trip_picture
from tasks.trip.sight import observe, without_agent
from tasks.trip.task import TRIPS, trip_task
from tasks.trip.world import (
    DISTRICT,
    HEADING,
    NUM_ACTIONS,
    PASSPORT,
    X,
    Y,
    at_desk,
    check_actions,
    check_states,
    step,
)

_ENV_IDS = ("hplan/Trip-v0", "hplan/TripStreet-v0", "hplan/TripAirport-v0", "hplan/TripParis-v0")
TRIP_IDS = dict(zip(TRIPS, _ENV_IDS, strict=True))
_PLACES = {
    District.RIDE: "get into a taxi",
    District.LOUNGE: "get to the announced gate",
    District.CAFE: "take a seat in the cafe in Paris",
}


class TripEnv(MiniGridEnv):
    """A journey from the desk in New York. What happens is `tasks.trip.world`'s, shown as MiniGrid.

    Observations are {"image": the district in full and the pocket, "goal": the same of the
    journey's end}, both (WIDTH, HEIGHT, 3) uint8. Actions are MiniGrid's first six, of which `drop`
    is to wait. An episode terminates in the goal's cell, with reward 1, and is truncated after
    `max_steps`. All chance follows from one number that `reset` draws from `np_random`.
    """

    def __init__(
        self, *, trip: str = "trip", max_steps: int | None = None, render_mode: str | None = None
    ) -> None:
        """The journey `trip`, one of `TRIPS`.

        Args:
            max_steps: env steps after which an episode is truncated; None is the suite's budget.
        """
        if trip not in TRIPS:
            raise ValueError(f"trip = {trip!r} is unknown; known: {', '.join(TRIPS)}.")
        self.task = trip_task(0, name=trip)
        if max_steps is None:
            max_steps = self.task.budget
        check_max_steps(max_steps)
        super().__init__(
            mission_space=MissionSpace(mission_func=_mission),
            width=WIDTH,
            height=HEIGHT,
            max_steps=max_steps,
            render_mode=render_mode,
        )
        self.mission = _PLACES[self.task.destination]
        self.action_space = spaces.Discrete(NUM_ACTIONS)
        self.observation_space = grid_and_goal((WIDTH, HEIGHT, 3))
        self.state, self.goal = at_desk(np.zeros(1, np.int64))[0], self.task.goal

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin at the desk; `options` may give "start" and "goal", a state (NUM_COLUMNS,) each."""
        options = options or {}
        gym.Env.reset(self, seed=seed)
        start = at_desk(self.np_random.integers(LARGEST_SEED, size=1))[0]
        both = np.array([options.get("start", start), options.get("goal", self.task.goal)])
        check_states(both)
        self.state, self.goal = both
        self.step_count = 0
        self._show()
        return self._observation(), self._info()

    def step(self, action: int) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Take one env step."""
        actions = np.array([action])
        check_actions(actions)
        self.state = step(self.state[None], actions)[0]
        self.step_count += 1
        self._show()
        reached = bool(self.task.is_success(self.state[None], self.goal[None])[0])
        late = self.step_count >= self.max_steps
        return self._observation(), float(reached), reached, late, self._info()

    def _show(self) -> None:
        """Make MiniGrid's own grid, agent and pocket what the state says."""
        self.grid, _ = Grid.decode(without_agent(self.state[None])[0])
        self.agent_pos = (int(self.state[X]), int(self.state[Y]))
        self.agent_dir = int(self.state[HEADING])
        self.carrying = Key("yellow") if self.state[PASSPORT] else None
        if self.render_mode == "human":
            self.render()

    def _gen_grid(self, width: int, height: int) -> None:
        self._show()

    def get_frame(
        self, highlight: bool = True, tile_size: int = TILE_PIXELS, agent_pov: bool = False
    ) -> np.ndarray:
        """The task's picture of the state, (height, width, 3) uint8; there is no other view."""
        return trip_picture(observe(self.state[None])[0], cell=tile_size)

    def render(self) -> np.ndarray | None:
        """The picture, or nothing where it is shown in a window of its own."""
        if self.render_mode is None:
            return None
        picture = self.get_frame(tile_size=self.tile_size)
        if self.render_mode == "rgb_array":
            return picture
        if self.window is None:
            pygame.display.init()
            self.window = pygame.display.set_mode(picture.shape[1::-1])
            pygame.display.set_caption(self.mission)
            self.clock = pygame.time.Clock()
        self.window.blit(pygame.surfarray.make_surface(picture.swapaxes(0, 1)), (0, 0))
        pygame.event.pump()
        pygame.display.flip()
        self.clock.tick(self.metadata["render_fps"])
        return None

    def _observation(self) -> dict[str, np.ndarray]:
        image, goal = observe(np.stack([self.state, self.goal]))
        return {"image": image, "goal": goal}

    def _info(self) -> dict[str, Any]:
        district = District(self.state[DISTRICT]).name.lower()
        return {"state": self.state.copy(), "goal": self.goal.copy(), "district": district}


def _mission() -> str:
    return "get there"


for _name, _id in TRIP_IDS.items():
    if _id not in gym.registry:
        gym.register(id=_id, entry_point="tasks.trip.env:TripEnv", kwargs={"trip": _name})
