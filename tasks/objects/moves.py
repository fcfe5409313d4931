"""One env step of many agents in MiniGrid's worlds of objects, as `MiniGridEnv.step` does it."""

import numpy as np
from minigrid.core.actions import Actions

from tasks.objects.obstacles import advance
from tasks.objects.world import (
    BOX,
    CARRIED,
    CLOSED,
    EMPTY,
    GONE,
    HEADING,
    HEADINGS,
    IN_BOX,
    KEY,
    LAVA,
    LOCKED,
    NUM_HEADINGS,
    OPEN,
    WALL,
    ObjectWorld,
    X,
    Y,
)


def step(world: ObjectWorld, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """The states that follow; nothing is written into those given.

    Where MiniGrid ends the episode, in lava or when an obstacle is hit, the state here stays for
    good; a goal square, an open door or a thing picked up end nothing.

    Args:
        states: (B, R) int64.
        actions: (B,) int, indices into `world.actions`.

    Returns:
        (B, R) int64.
    """
    numbers = np.array(world.actions)[actions]
    if world.moving:
        return advance(world, states, numbers)
    after = states.copy()
    ended = world.floor[world.cell_of(states)] == LAVA
    front = _turn_or_walk(world, states, numbers, after)
    if world.num_things:
        _pick_up_or_drop(world, states, numbers, front, after)
    if Actions.toggle in world.actions:
        _toggle(world, states, numbers, front, after)
    after[ended] = states[ended]
    return after


def blocked(world: ObjectWorld, states: np.ndarray, front: np.ndarray) -> np.ndarray:
    """(B,) bool: no agent can walk into the cells `front`, (B,), in states (B, R)."""
    stops = world.floor[front] == WALL
    if world.num_doors:
        door = world.door_at[front]
        state = world.doors(states)[np.arange(len(states)), door]
        stops |= (door >= 0) & (state != OPEN)
    if world.num_things:
        stops |= (world.places(states) == front[:, None]).any(1)
    return stops


def _turn_or_walk(
    world: ObjectWorld, states: np.ndarray, numbers: np.ndarray, after: np.ndarray
) -> np.ndarray:
    """Writes the poses into `after`; returns the cells that were in front, (B,)."""
    heading = states[:, HEADING]
    turn = (numbers == Actions.right).astype(np.int64) - (numbers == Actions.left)
    after[:, HEADING] = (heading + turn) % NUM_HEADINGS
    front = world.ahead[world.cell_of(states), heading]
    walks = (numbers == Actions.forward) & ~blocked(world, states, front)
    after[:, X] += np.where(walks, HEADINGS[heading, 0], 0)
    after[:, Y] += np.where(walks, HEADINGS[heading, 1], 0)
    return front


def _pick_up_or_drop(
    world: ObjectWorld,
    states: np.ndarray,
    numbers: np.ndarray,
    front: np.ndarray,
    after: np.ndarray,
) -> None:
    before, places = world.places(states), world.places(after)
    carried, ahead = before == CARRIED, before == front[:, None]
    free_hands = ~carried.any(1)
    takes = (numbers == Actions.pickup) & free_hands
    places[takes[:, None] & ahead] = CARRIED
    # MiniGrid puts a thing down only where nothing is at all, not even an open door.
    clear = (world.floor[front] == EMPTY) & (world.door_at[front] < 0) & ~ahead.any(1)
    row, thing = np.nonzero(((numbers == Actions.drop) & clear)[:, None] & carried)
    places[row, thing] = front[row]


def _toggle(
    world: ObjectWorld,
    states: np.ndarray,
    numbers: np.ndarray,
    front: np.ndarray,
    after: np.ndarray,
) -> None:
    toggles = numbers == Actions.toggle
    places_before = world.places(states)
    door = world.door_at[front]
    row = np.flatnonzero(toggles & (door >= 0))
    if len(row):
        door = door[row]
        old = world.doors(states)[row, door]
        keys = (world.kinds == KEY) & (places_before[row] == CARRIED)
        fits = (keys & (world.colours == world.door_colours[door][:, None])).any(1)
        unlocked = np.where(fits, OPEN, LOCKED)
        world.doors(after)[row, door] = np.select(
            [old == OPEN, old == CLOSED], [CLOSED, OPEN], unlocked
        )
    places = world.places(after)
    # A box that is opened vanishes, and what it held lies in its place.
    opened = toggles[:, None] & (places_before == front[:, None]) & (world.kinds == BOX)
    places[opened] = GONE
    for thing in np.flatnonzero(world.box_of >= 0):
        freed = opened[:, world.box_of[thing]] & (places_before[:, thing] == IN_BOX)
        places[freed, thing] = front[freed]
