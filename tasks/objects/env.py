"""MiniGrid's worlds of objects as gymnasium environments whose goal is an observation to reach."""

from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from minigrid.core.grid import Grid
from minigrid.core.world_object import Door, WorldObj

from tasks.goals import check_max_steps, grid_and_goal
from tasks.objects.moves import step
from tasks.objects.obstacles import populate
from tasks.objects.wanderer import ObjectWanderer, routes_of, wander
from tasks.objects.world import (
    CARRIED,
    CLOSED,
    DOOR,
    GONE,
    IN_BOX,
    LOCKED,
    OPEN,
    ObjectWorld,
)

_GOAL_WALK = 100  # env steps of the walk that a goal is drawn from
_WANDERER = ObjectWanderer(longest_walk=0)


class ObjectGoal(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """A MiniGrid world of objects, of fixed layout, whose goal is an observation to reach.

    Observations are {"image": the full symbolic grid, "goal": the grid to reach}, both
    (width, height, 3) uint8, with what is carried in the corner cell. An episode terminates with
    reward 1 where the agent is in the goal's cell and carries what it does there, with reward 0
    in lava or at an obstacle that it has hit, and is truncated after `max_steps`.

    MiniGrid itself makes the moves; only balls that move by themselves are moved here, as their
    state says.
    """

    def __init__(self, env: gym.Env, *, layout_seed: int, max_steps: int) -> None:
        # Recorded, so that gymnasium can make the environment again from its spec.
        gym.utils.RecordConstructorArgs.__init__(self, layout_seed=layout_seed, max_steps=max_steps)
        gym.Wrapper.__init__(self, env)
        check_max_steps(max_steps)
        self.world = ObjectWorld.from_env(env, layout_seed)
        self.unwrapped.max_steps = max_steps
        self.action_space = spaces.Discrete(len(self.world.actions))
        self.observation_space = grid_and_goal(self.world.background.shape)
        self.goal = self._state = self.world.start
        self._doors: list[Door] = []
        self._things: list[WorldObj] = []

    @cached_property
    def _routes(self) -> np.ndarray:
        return routes_of(self.world)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Draw start and goal, or take them from `options`: "start", "goal", states of the world.

        A goal is where a walk from the world's start leads to.
        """
        options = options or {}
        self.env.reset(seed=seed)
        drawn = {} if {"start", "goal"} <= options.keys() else self._draw()
        given = [np.asarray((drawn | options)[name]) for name in ("start", "goal")]
        # The layout must be the same whatever the seed, so it is put back by hand.
        self._state, self.goal = (self.world.check_states(state[None])[0] for state in given)
        if self.world.has_ended(np.stack([self._state, self.goal])).any():
            raise ValueError(
                f"start {self._state.tolist()} or goal {self.goal.tolist()} is in lava or has hit "
                "an obstacle; give others."
            )
        self._put()
        return self._observation(), self._info()

    def step(self, action: int) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Let MiniGrid make one env step."""
        base = self.unwrapped
        if self.world.moving:
            base.step_count += 1
            self._state = step(self.world, self._state[None], np.array([action]))[0]
            self._put()
        else:
            self.env.step(self.world.actions[action])
            self._state = self._read()
        reached = bool(self.world.is_success(self._state[None], self.goal[None])[0])
        ended = bool(self.world.has_ended(self._state[None])[0])
        truncated = base.step_count >= base.max_steps
        reward = float(reached and not ended)
        return self._observation(), reward, reached or ended, truncated, self._info()

    @property
    def state(self) -> np.ndarray:
        """(R,) int64, see `tasks.objects.world`."""
        return self._state.copy()

    def _draw(self) -> dict[str, np.ndarray]:
        world, random = self.world, self.unwrapped.np_random
        poses = world.start[None, : len(world.still.start)]
        start = populate(world, poses, random)
        walk, _ = wander(
            world, self._routes, start, num_steps=_GOAL_WALK, wanderer=_WANDERER, generator=random
        )
        fine = ~world.is_success(walk[0], start) & ~world.has_ended(walk[0])
        return {"start": start[0], "goal": walk[0, np.flatnonzero(fine)[-1] if fine.any() else 0]}

    def _put(self) -> None:
        """Furnish MiniGrid's grid as the state says."""
        world, base, state = self.world, self.unwrapped, self._state[None]
        base.grid, _ = Grid.decode(world.background)
        self._doors = [
            WorldObj.decode(DOOR, colour, number)
            for colour, number in zip(world.door_colours, world.doors(state)[0], strict=True)
        ]
        self._things = [
            WorldObj.decode(kind, colour, 0)
            for kind, colour in zip(world.kinds, world.colours, strict=True)
        ]
        base.carrying = None
        places = world.places(state)[0].tolist()
        lying = zip(self._doors + self._things, world.door_cells.tolist() + places, strict=True)
        for found, place in lying:
            if place >= 0:
                base.put_obj(found, *divmod(place, world.height))
            elif place == CARRIED:
                base.carrying = found
        for thing, box, place in zip(self._things, world.box_of, places, strict=True):
            if place == IN_BOX:
                self._things[box].contains = thing
        base.agent_pos, base.agent_dir = (int(state[0, 0]), int(state[0, 1])), int(state[0, 2])
        if base.render_mode == "human":
            base.render()  # of what is put there MiniGrid itself knows nothing

    def _read(self) -> np.ndarray:
        """The state that MiniGrid's grid is in."""
        base = self.unwrapped
        doors = [
            OPEN if door.is_open else LOCKED if door.is_locked else CLOSED for door in self._doors
        ]
        # The grid lists its cells row by row, a state's cells go column by column.
        at = {id(found): divmod(i, base.width) for i, found in enumerate(base.grid.grid) if found}
        inside = {id(thing.contains) for thing in self._things if thing.contains is not None}
        places = []
        for thing in self._things:
            if id(thing) in at:
                y, x = at[id(thing)]
                places.append(x * self.world.height + y)
            elif thing is base.carrying:
                places.append(CARRIED)
            else:
                places.append(IN_BOX if id(thing) in inside else GONE)
        return np.array([*base.agent_pos, base.agent_dir, *doors, *places], np.int64)

    def _observation(self) -> dict[str, np.ndarray]:
        image, goal = self.world.observe(np.stack([self._state, self.goal]))
        return {"image": image, "goal": goal}

    def _info(self) -> dict[str, np.ndarray]:
        return {"state": self.state, "goal": self.goal.copy()}
