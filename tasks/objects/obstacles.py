"""Balls that move by themselves, as in MiniGrid's Dynamic-Obstacles: the same state moves alike.

A row of such a world ends in *seed*, *step* and *hit*. Every draw is a hash of seed, step and the
ball's number, so a state always goes on in the same way, whatever it is batched with.
"""

import numpy as np
from minigrid.core.actions import Actions

from tasks.chance import uniform
from tasks.objects.world import (
    EMPTY,
    GOAL,
    HEADING,
    HEADINGS,
    NUM_HEADINGS,
    ObjectWorld,
    X,
    Y,
)
from tasks.seeds import LARGEST_SEED

SEED, STEP, HIT = -3, -2, -1
_AROUND = np.array([(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dx, dy) != (0, 0)])


def advance(world: ObjectWorld, states: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The states that follow, (B, R): first the balls move, then the agent.

    An agent that walks on although a ball or a wall was in front before the balls moved has hit
    it. MiniGrid ends the episode then; here that state stays for good.

    Args:
        states: (B, R) int64.
        numbers: (B,) int, MiniGrid's numbers of the actions.
    """
    after, ended = states.copy(), states[:, HIT] != 0
    front = world.ahead[world.cell_of(states), states[:, HEADING]]
    obstructed = is_obstructed(world, states, front)
    for ball in range(world.num_things):
        _move_ball(world, after, ball)
    turn = (numbers == Actions.right).astype(np.int64) - (numbers == Actions.left)
    after[:, HEADING] = (states[:, HEADING] + turn) % NUM_HEADINGS
    forward = numbers == Actions.forward
    walks = forward & ~is_obstructed(world, after, front)
    after[:, X] += np.where(walks, HEADINGS[states[:, HEADING], 0], 0)
    after[:, Y] += np.where(walks, HEADINGS[states[:, HEADING], 1], 0)
    after[:, HIT] = forward & obstructed
    after[:, STEP] += 1
    after[ended] = states[ended]
    return after


def is_obstructed(world: ObjectWorld, states: np.ndarray, front: np.ndarray) -> np.ndarray:
    """(B,) bool: a ball or a wall is in the cells `front`, (B,), in states (B, R)."""
    walls = (world.floor[front] != EMPTY) & (world.floor[front] != GOAL)
    return walls | (world.places(states) == front[:, None]).any(1)


def _move_ball(world: ObjectWorld, states: np.ndarray, ball: int) -> None:
    """Moves one ball to any free cell of the eight around it, all as likely; to none if none is.

    MiniGrid draws cells until one is free and gives up after 100, which comes to the same but in
    one move of a hundred thousand where a single cell is free.
    """
    places, rows = world.places(states), np.arange(len(states))
    x, y = np.divmod(places[:, ball], world.height)
    near = (x[:, None] + _AROUND[:, 0]) * world.height + y[:, None] + _AROUND[:, 1]
    free = world.floor[near] == EMPTY
    free &= near != world.cell_of(states)[:, None]
    free &= (places[:, :, None] != near[:, None, :]).all(1)
    count = free.sum(1)
    drawn = (uniform(states[:, SEED], states[:, STEP], ball) * count).astype(np.int64)
    # The drawn one of the free cells: where so many and one more have been counted.
    chosen = (np.cumsum(free, axis=1) == drawn[:, None] + 1).argmax(1)
    moves = count > 0
    places[moves, ball] = near[rows, chosen][moves]


def populate(world: ObjectWorld, poses: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """States of a world whose balls move, with balls and a seed at random; others as they are.

    Args:
        poses: (B, 3) int64 where the balls move: x, y, heading.

    Returns:
        (B, R) int64. No ball is in the agent's cell or just in front of it.
    """
    if not world.moving:
        return poses
    cells = world.cell_of(poses)
    front = world.ahead[cells, poses[:, HEADING]]
    empty = world.ground[world.floor[world.ground] == EMPTY]
    order = generator.random((len(poses), len(empty)))
    order[(empty == cells[:, None]) | (empty == front[:, None])] = 2.0
    balls = empty[np.argsort(order, axis=1)[:, : world.num_things]]
    clock = np.zeros((len(poses), 3), np.int64)
    clock[:, SEED] = generator.integers(LARGEST_SEED, size=len(poses))
    return np.hstack([poses, balls, clock])


def avoid(
    world: ObjectWorld, states: np.ndarray, actions: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Actions (B,), with the better turn instead of a step into a ball.

    Args:
        states: (B, R) int64.
        steps: (B, A) to the goal after each action, if no ball were there.
    """
    front = world.ahead[world.cell_of(states), states[:, HEADING]]
    forward = np.array(world.actions)[actions] == Actions.forward
    turn = steps[:, : Actions.forward].argmin(1)
    return np.where(forward & is_obstructed(world, states, front), turn, actions)
