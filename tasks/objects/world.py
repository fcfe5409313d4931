"""What a MiniGrid world of doors, keys, balls and boxes is made of, and how its states look.

A *state* is a row of int64:

    x, y, heading, one number per door, one number per thing [, seed, step, hit]

A door's number is MiniGrid's own (0 open, 1 closed, 2 locked). A thing's (key, ball or box) says
where it is: its cell, `x * height + y`, or `CARRIED`, `IN_BOX` or `GONE`. Only worlds whose balls
move by themselves have the last three, see `tasks.objects.obstacles`.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from minigrid.core.actions import Actions
from minigrid.core.constants import COLOR_TO_IDX, DIR_TO_VEC, OBJECT_TO_IDX
from minigrid.core.world_object import Door, WorldObj
from minigrid.envs import DynamicObstaclesEnv
from minigrid.minigrid_env import MiniGridEnv

CARRIED, IN_BOX, GONE = -1, -2, -3
OPEN, CLOSED, LOCKED = 0, 1, 2
EMPTY, WALL, DOOR, KEY, BOX, GOAL, LAVA, AGENT = (
    OBJECT_TO_IDX[name] for name in ("empty", "wall", "door", "key", "box", "goal", "lava", "agent")
)
X, Y, HEADING = 0, 1, 2
POSE = 3  # columns of x, y, heading
CLOCK = 3  # columns of seed, step, hit
NUM_HEADINGS = len(DIR_TO_VEC)
HEADINGS = np.array(DIR_TO_VEC)
_THINGS = ("key", "ball", "box")
_HIT_COLOUR = COLOR_TO_IDX["yellow"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectWorld:
    """A fixed world in which one agent walks, opens doors, and carries things about.

    MiniGrid's green goal square is kept: it shows where the mission ends, and nothing can be put
    down on it. Standing on it ends nothing here.

    Attributes:
        background: (width, height, 3) uint8, MiniGrid's symbolic grid without agent, doors, things.
        door_cells, door_colours: (D,) int64.
        kinds, colours: (P,) int64, MiniGrid's, of each thing.
        box_of: (P,) int64, the thing that holds it at the start, a box; -1 if none does.
        start: (R,) int64, the state that MiniGrid itself starts in.
        actions: MiniGrid's number of each action; such as are never of use are left out.
        moving: the things are obstacles that move by themselves.
    """

    background: np.ndarray
    door_cells: np.ndarray
    door_colours: np.ndarray
    kinds: np.ndarray
    colours: np.ndarray
    box_of: np.ndarray
    start: np.ndarray
    actions: tuple[int, ...]
    moving: bool

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the attributes alone: the tables are quick to make again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_env(cls, env: gym.Env, layout_seed: int) -> "ObjectWorld":
        """The world that `env` draws when reset with `layout_seed`."""
        base = env.unwrapped
        if not isinstance(base, MiniGridEnv):
            raise ValueError(
                f"{type(base).__name__} is not a MiniGrid environment; give one that is, such as "
                "MiniGrid-DoorKey-8x8-v0."
            )
        env.reset(seed=layout_seed)
        doors, things, box_of = _contents(base)
        moving = isinstance(base, DynamicObstaclesEnv)
        if moving:
            things, box_of = {ball: things[ball] for ball in base.obstacles}, [-1] * len(things)
        background = base.grid.encode()
        for cell in (*doors.values(), *(cell for cell in things.values() if cell >= 0)):
            background[divmod(cell, base.height)] = (EMPTY, 0, 0)
        looks = np.array([thing.encode() for thing in things], np.int64).reshape(-1, 3)
        door_looks = np.array([door.encode() for door in doors], np.int64).reshape(-1, 3)
        pose = (*base.agent_pos, base.agent_dir)
        clock = (layout_seed, 0, 0) if moving else ()
        return cls(
            background=background,
            door_cells=np.array(list(doors.values()), np.int64),
            door_colours=door_looks[:, 1],
            kinds=looks[:, 0],
            colours=looks[:, 1],
            box_of=np.array(box_of, np.int64),
            start=np.array([*pose, *door_looks[:, 2], *things.values(), *clock], np.int64),
            actions=_useful_actions(looks[:, 0], len(doors), moving),
            moving=moving,
        )

    @cached_property
    def still(self) -> "ObjectWorld":
        """The same world without balls that move by themselves; states end with the doors."""
        if not self.moving:
            return self
        none = np.zeros(0, np.int64)
        start = self.start[: POSE + self.num_doors]
        return replace(self, kinds=none, colours=none, box_of=none, start=start, moving=False)

    @property
    def num_doors(self) -> int:
        """D."""
        return len(self.door_cells)

    @property
    def num_things(self) -> int:
        """P."""
        return len(self.kinds)

    @property
    def height(self) -> int:
        """Cells in a column; the cell (x, y) has the number x * height + y."""
        return self.background.shape[1]

    @cached_property
    def floor(self) -> np.ndarray:
        """(width * height,) int64: MiniGrid's kind of what each cell's background shows."""
        return self.background[:, :, 0].reshape(-1).astype(np.int64)

    @cached_property
    def door_at(self) -> np.ndarray:
        """(width * height,) int64: the door in each cell, -1 where there is none."""
        table = np.full(self.floor.size, -1)
        table[self.door_cells] = np.arange(self.num_doors)
        return table

    @cached_property
    def ahead(self) -> np.ndarray:
        """(width * height, 4) int64: the cell in front of an agent, by cell and heading."""
        width, height = self.background.shape[:2]
        x, y = np.divmod(np.arange(width * height), height)
        ahead_x = np.clip(x[:, None] + HEADINGS[:, 0], 0, width - 1)
        return ahead_x * height + np.clip(y[:, None] + HEADINGS[:, 1], 0, height - 1)

    @cached_property
    def ground(self) -> np.ndarray:
        """(C,) int64, sorted: the cells that an agent with every key could walk to."""
        free = self.floor != WALL
        ground = np.zeros(free.size, bool)
        fresh = np.array([self.cell_of(self.start[None])[0]])
        while len(fresh):
            ground[fresh] = True
            # Lava is walked into, not out of.
            onward = np.unique(self.ahead[fresh[self.floor[fresh] != LAVA]])
            fresh = onward[free[onward] & ~ground[onward]]
        return np.flatnonzero(ground)

    @property
    def all_look_different(self) -> bool:
        """No two things could change places unseen."""
        looks = np.column_stack([self.kinds, self.colours])
        return len(np.unique(looks, axis=0)) == self.num_things

    def cell_of(self, states: np.ndarray) -> np.ndarray:
        """(B,) int64: the cell of each agent, states (B, R)."""
        return states[:, X] * self.height + states[:, Y]

    def doors(self, states: np.ndarray) -> np.ndarray:
        """(B, D) view of states (B, R): open, closed or locked."""
        return states[:, POSE : POSE + self.num_doors]

    def places(self, states: np.ndarray) -> np.ndarray:
        """(B, P) view of states (B, R): where the things are."""
        first = POSE + self.num_doors
        return states[:, first : first + self.num_things]

    def look_carried(self, states: np.ndarray) -> np.ndarray:
        """(B,) int64: `kind * 16 + colour` of what each agent, states (B, R), carries; 0 if none.

        Two things of one look are one to the eye, and to the rule of success.
        """
        if not self.num_things:
            return np.zeros(len(states), np.int64)
        carried = self.places(states) == CARRIED
        looks = self.kinds * 16 + self.colours
        return np.where(carried.any(1), looks[carried.argmax(1)], 0)

    def is_success(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) bool: the agent is in its goal's cell and carries what it does there, or nothing.

        Neither heading nor doors nor what lies about matters.
        """
        same_cell = self.cell_of(states) == self.cell_of(goals)
        return same_cell & (self.look_carried(states) == self.look_carried(goals))

    def has_ended(self, states: np.ndarray) -> np.ndarray:
        """(B,) bool: in states (B, R) the agent is in lava or has hit an obstacle, for good."""
        in_lava = self.floor[self.cell_of(states)] == LAVA
        return in_lava | (states[:, -1] != 0) if self.moving else in_lava

    def check_states(self, states: np.ndarray) -> np.ndarray:
        """States (B, R) as int64; refuses such as the world cannot be in."""
        states = np.asarray(states)
        if states.ndim != 2 or states.shape[1] != len(self.start):
            raise ValueError(
                f"states of shape {states.shape} do not fit this world; give rows of "
                f"{len(self.start)} numbers: x, y, heading, {self.num_doors} doors, "
                f"{self.num_things} things{', seed, step, hit' if self.moving else ''}."
            )
        states = states.astype(np.int64)
        doors, places, cells = self.doors(states), self.places(states), self.cell_of(states)
        lies = places >= 0
        fine = np.isin(cells, self.ground) & (states[:, Y] >= 0) & (states[:, Y] < self.height)
        fine &= (states[:, HEADING] >= 0) & (states[:, HEADING] < NUM_HEADINGS)
        fine &= ((doors >= OPEN) & (doors <= LOCKED)).all(1)
        fine &= ~((self.door_cells == cells[:, None]) & (doors != OPEN)).any(1)
        fine &= (~lies | np.isin(places, np.flatnonzero(self.floor == EMPTY))).all(1)
        fine &= (places >= GONE).all(1) & ((places == CARRIED).sum(1) <= 1)
        fine &= ~(places == cells[:, None]).any(1)
        if not fine.all():
            raise ValueError(
                f"state {states[~fine][0].tolist()} is none of this world: the agent must be in a "
                "free cell with a heading from 0 to 3, doors 0 (open) to 2 (locked), things in "
                f"empty cells, carried ({CARRIED}), in a box ({IN_BOX}) or gone ({GONE})."
            )
        return states

    def observe(self, states: np.ndarray) -> np.ndarray:
        """Encode as MiniGrid's FullyObsWrapper does, what is carried in the corner cell (0, 0).

        Args:
            states: (B, R) int64.

        Returns:
            (B, width, height, 3) uint8. An agent that has hit an obstacle is yellow.
        """
        states, rows = np.asarray(states), np.arange(len(states))
        images = np.repeat(self.background.reshape(1, -1, 3), len(states), axis=0)
        images[:, self.door_cells, 0] = DOOR
        images[:, self.door_cells, 1] = self.door_colours
        images[:, self.door_cells, 2] = self.doors(states)
        for thing, place in enumerate(self.places(states).T):
            shown = rows[place >= CARRIED]
            cells = np.maximum(place[shown], 0)
            images[shown, cells] = (self.kinds[thing], self.colours[thing], 0)
        agent = np.zeros((len(states), 3), np.uint8)
        agent[:, 0], agent[:, 2] = AGENT, states[:, HEADING]
        if self.moving:
            agent[states[:, -1] != 0, 1] = _HIT_COLOUR
        images[rows, self.cell_of(states)] = agent
        return images.reshape(len(states), *self.background.shape)


def needs_objects(env: gym.Env, layout_seed: int) -> bool:
    """The world that a MiniGrid env draws holds more than walls, lava and the goal square."""
    env.reset(seed=layout_seed)
    kinds = env.unwrapped.grid.encode()[:, :, 0]
    return not np.isin(kinds, (EMPTY, WALL, LAVA, GOAL)).all()


def _contents(base: MiniGridEnv) -> tuple[dict[Door, int], dict[WorldObj, int], list[int]]:
    """Doors and things with their cells, or `IN_BOX`; and of each thing the box that holds it."""
    doors: dict[Door, int] = {}
    things: dict[WorldObj, int] = {}
    box_of: list[int] = []
    for x in range(base.width):
        for y in range(base.height):
            found = base.grid.get(x, y)
            if isinstance(found, Door):
                doors[found] = x * base.height + y
            place = x * base.height + y
            while found is not None and found.type in _THINGS:
                box_of.append(len(things) - 1 if place == IN_BOX else -1)
                things[found] = place
                found, place = found.contains, IN_BOX
    return doors, things, box_of


def _useful_actions(kinds: np.ndarray, num_doors: int, moving: bool) -> tuple[int, ...]:
    useful = [Actions.left, Actions.right, Actions.forward]
    if len(kinds) and not moving:
        useful += [Actions.pickup, Actions.drop]
    if num_doors or (not moving and (kinds == BOX).any()):
        useful += [Actions.toggle]
    return tuple(int(action) for action in useful)
