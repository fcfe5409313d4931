"""The behaviour policy of worlds of objects: it wanders, opens doors, carries things about."""

import math
from dataclasses import dataclass

import numpy as np
from minigrid.core.actions import Actions

from tasks.objects.moves import blocked, step
from tasks.objects.world import BOX, CARRIED, EMPTY, LAVA, OPEN, ObjectWorld
from tasks.wander import NOTHING, gone_on_with

_NOWHERE = -1
_MOVES = (Actions.left, Actions.right, Actions.forward)


@dataclass(frozen=True, kw_only=True)
class ObjectWanderer:
    """A random walk with persistence that at times heads for something and handles what it meets.

    Attributes:
        forward_probability: chance to walk on where the way is free.
        bump_probability: chance to walk into what is just in front and blocks the way.
        turn_persistence: chance that a turn has the same rotating sense as the last one.
        lava_probability: chance to walk into lava, or into an obstacle, that is just in front.
        seek_probability: chance, of one that heads for nothing, to choose a thing, a door or a
            cell at random and head for it.
        mistake_probability: chance, while heading for something, to take a step of the random walk.
        open_probability, close_probability: chance to toggle a shut, an open door in front.
        pickup_probability: chance to pick up what is in front; surely, if that was headed for.
        unbox_probability: chance to open a box in front.
        drop_probability: chance to put down what is carried, where there is room in front.
        whim_probability: chance to handle what is in front, if there is anything or not. A model
            that has never seen that do nothing imagines what it likes, and a search finds it.
        again_probability: chance to do the same once more.
        fresh_probability: chance that an episode starts before anything has been moved, the agent
            in one of the cells that it can walk to; others start where a walk from there has led.
        longest_walk: env steps, at most, of such a walk.
    """

    forward_probability: float = 0.7
    bump_probability: float = 0.1
    turn_persistence: float = 0.8
    lava_probability: float = 0.02
    seek_probability: float = 0.05
    mistake_probability: float = 0.1
    open_probability: float = 0.4
    close_probability: float = 0.3
    pickup_probability: float = 0.4
    unbox_probability: float = 0.1
    drop_probability: float = 0.03
    whim_probability: float = 0.02
    again_probability: float = 0.7
    fresh_probability: float = 0.4
    longest_walk: int = 300

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            most = math.inf if name == "longest_walk" else 1
            if not 0 <= value <= most:
                raise ValueError(
                    f"wanderer.{name} = {value} is out of range; give a probability in [0, 1], and "
                    "0 or more steps."
                )


class Walkers:
    """B agents that wander, each in its own copy of the world."""

    def __init__(
        self,
        world: ObjectWorld,
        routes: np.ndarray,
        wanderer: ObjectWanderer,
        states: np.ndarray,
        generator: np.random.Generator,
    ) -> None:
        """Place them at `states`, (B, R); `routes` are those of the world, see `routes_of`."""
        self.world, self.routes, self.wanderer = world, routes, wanderer
        self.states, self.generator = states, generator
        self._turns = generator.integers(Actions.left, Actions.right + 1, size=len(states))
        self._sought = np.full(len(states), _NOWHERE)
        # By MiniGrid's number of an action, ours.
        self._ours = np.zeros(max(Actions) + 1, np.int64)
        self._ours[list(world.actions)] = np.arange(len(world.actions))
        self._whims = [self._ours[action] for action in world.actions if action not in _MOVES]
        self._whim = np.full(len(states), NOTHING)
        self._ground_index = np.zeros(world.floor.size, np.int64)
        self._ground_index[world.ground] = np.arange(len(world.ground))

    def step(self) -> np.ndarray:
        """Every agent takes a step; returns the actions, (B,) int64, indices of the world's."""
        world, states = self.world, self.states
        cells = world.cell_of(states)
        front = world.ahead[cells, states[:, 2]]
        stops = blocked(world, states, front)
        self._choose_targets(cells, front, stops)
        chosen = self._walk(front, stops)
        seeks = (self._sought != _NOWHERE) & ~self._chance(self.wanderer.mistake_probability)
        index = self._ground_index
        chosen = np.where(
            seeks, self.routes[index[cells], states[:, 2], index[self._sought]], chosen
        )
        # Routes take no notice of doors and things: whoever is stopped on one turns or bumps.
        stuck = seeks & stops & (chosen == Actions.forward)
        chosen = np.where(stuck, self._walk(front, stops), chosen)
        chosen = self._handle(front, chosen, seeks)
        actions = self._with_whims(self._ours[chosen])
        self.states = step(world, states, actions)
        return actions

    def _with_whims(self, actions: np.ndarray) -> np.ndarray:
        """(B,) the actions, indices of the world's, or what some do on a whim, and go on doing."""
        if not self._whims:
            return actions
        other = self.generator.choice(self._whims, size=len(actions))
        chance = self.generator.random(len(actions))
        begin, again = self.wanderer.whim_probability, self.wanderer.again_probability
        self._whim = gone_on_with(self._whim, other, chance, begin=begin, again=again)
        return np.where(self._whim == NOTHING, actions, self._whim)

    def _chance(self, probability: float | np.ndarray) -> np.ndarray:
        """(B,) bool."""
        return self.generator.random(len(self.states)) < probability

    def _choose_targets(self, cells: np.ndarray, front: np.ndarray, stops: np.ndarray) -> None:
        """Forget what has been come up to, or now and then anyway; sometimes choose anew."""
        world, count = self.world, len(cells)
        done = (self._sought == cells) | ((self._sought == front) & stops & self._chance(0.5))
        self._sought[done | self._chance(0.01)] = _NOWHERE
        begins = (self._sought == _NOWHERE) & self._chance(self.wanderer.seek_probability)
        goal = world.ground[world.floor[world.ground] != EMPTY]
        goal = goal[world.floor[goal] != LAVA]
        anywhere = self.generator.choice(world.ground, size=(count, 1))
        # Who carries something tries the doors with it.
        elsewhere = anywhere
        if world.num_doors:
            elsewhere = self.generator.choice(world.door_cells, size=(count, 1))
        things = np.where(world.places(self.states) >= 0, world.places(self.states), elsewhere)
        fixed = np.broadcast_to(
            np.concatenate([world.door_cells, goal]), (count, world.num_doors + len(goal))
        )
        choices = np.hstack([things, fixed, anywhere])
        drawn = self.generator.integers(choices.shape[1], size=count)
        self._sought = np.where(begins, choices[np.arange(count), drawn], self._sought)

    def _walk(self, front: np.ndarray, stops: np.ndarray) -> np.ndarray:
        """(B,) MiniGrid's numbers: forward, left or right."""
        wanderer, world = self.wanderer, self.world
        chance = np.where(stops, wanderer.bump_probability, wanderer.forward_probability)
        harms = (world.floor[front] == LAVA) | (stops & world.moving)
        forward = self._chance(np.where(harms, wanderer.lava_probability, chance))
        other = Actions.left + Actions.right - self._turns
        turns = np.where(self._chance(wanderer.turn_persistence), self._turns, other)
        self._turns = np.where(forward, self._turns, turns)
        return np.where(forward, int(Actions.forward), self._turns)

    def _handle(self, front: np.ndarray, chosen: np.ndarray, seeks: np.ndarray) -> np.ndarray:
        """Chosen actions, (B,), or what is done with what is in front instead."""
        world, wanderer, rows = self.world, self.wanderer, np.arange(len(front))
        if world.moving:
            return chosen
        if world.num_doors:
            door = world.door_at[front]
            is_open = world.doors(self.states)[rows, door] == OPEN
            opens = np.where(is_open, wanderer.close_probability, wanderer.open_probability)
            chosen = np.where((door >= 0) & self._chance(opens), int(Actions.toggle), chosen)
        if world.num_things:
            places = world.places(self.states)
            carries, ahead = (places == CARRIED).any(1), places == front[:, None]
            sought = seeks & (self._sought == front)
            takes = self._chance(np.where(sought, 1.0, wanderer.pickup_probability))
            chosen = np.where(ahead.any(1) & ~carries & takes, int(Actions.pickup), chosen)
            clear = ~ahead.any(1) & (world.door_at[front] < 0) & (world.floor[front] == EMPTY)
            drops = carries & clear & self._chance(wanderer.drop_probability)
            chosen = np.where(drops, int(Actions.drop), chosen)
            boxed = (ahead & (world.kinds == BOX)).any(1) & self._chance(wanderer.unbox_probability)
            chosen = np.where(boxed, int(Actions.toggle), chosen)
        return chosen


def routes_of(world: ObjectWorld) -> np.ndarray:
    """Which way to go for any cell, through doors and things as if they were not there.

    Returns:
        (C, 4, C) int8, MiniGrid's left, right or forward: by the agent's cell and heading, and
        the cell to go to, cells numbered as in `world.ground`.
    """
    count = len(world.ground)
    index = np.full(world.floor.size, -1)
    index[world.ground] = np.arange(count)
    cell, heading = np.divmod(np.arange(4 * count), 4)
    onward = index[world.ahead[world.ground[cell], heading]]
    onward = np.where((onward < 0) | (world.floor[world.ground[onward]] == LAVA), cell, onward)
    left, right = 4 * cell + (heading - 1) % 4, 4 * cell + (heading + 1) % 4
    after = np.column_stack([left, right, 4 * onward + heading])
    far = np.int16(8 * count)
    steps = np.where(cell[:, None] == np.arange(count), 0, far).astype(np.int16)
    while True:
        shorter = np.minimum(steps, 1 + np.minimum.reduce([steps[column] for column in after.T]))
        if (shorter == steps).all():
            break
        steps = shorter
    best = np.stack([steps[column] for column in after.T]).argmin(0)
    # A left turn is tried first, a forward step is better where it is as good.
    best = np.where(steps[after[:, 2]] < steps, int(Actions.forward), best)
    return best.astype(np.int8).reshape(count, 4, count)


def wander(
    world: ObjectWorld,
    routes: np.ndarray,
    fresh: np.ndarray,
    *,
    num_steps: int,
    wanderer: ObjectWanderer,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Let agents wander.

    Args:
        fresh: (B, R) int64, states in which nothing has been moved yet.
        num_steps: T, env steps.

    Returns:
        (B, T + 1, R) int64 states, index 0 the start, and (B, T) int8 actions.
    """
    walkers = Walkers(world, routes, wanderer, fresh, generator)
    starts = fresh.copy()
    lengths = generator.integers(wanderer.longest_walk + 1, size=len(fresh))
    lengths[generator.random(len(fresh)) < wanderer.fresh_probability] = 0
    for now in range(1, lengths.max(initial=0) + 1):
        walkers.step()
        starts = np.where((lengths == now)[:, None], walkers.states, starts)
    starts = np.where(world.has_ended(starts)[:, None], fresh, starts)
    walkers = Walkers(world, routes, wanderer, starts, generator)
    states = np.empty((num_steps + 1, *starts.shape), np.int64)
    actions = np.empty((num_steps, len(starts)), np.int8)
    states[0] = starts
    for now in range(num_steps):
        actions[now] = walkers.step()
        states[now + 1] = walkers.states
    return np.ascontiguousarray(states.swapaxes(0, 1)), np.ascontiguousarray(actions.T)
