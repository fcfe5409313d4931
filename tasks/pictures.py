"""Draws MiniGrid's symbolic grid for a person, in a few pixels a cell.

A cell is a table look-up: every object, colour and state is drawn once, and then only copied.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX, STATE_TO_IDX

SMALLEST_CELL = 4  # pixels; objects of one kind would look alike below
NUM_STATES = 4  # headings of an agent; doors have fewer

FLOOR = (245, 245, 240)
UNSEEN = (190, 190, 200)
PALETTE = {
    "red": (214, 39, 40), "green": (44, 150, 44), "blue": (31, 90, 200),
    "purple": (148, 70, 200), "yellow": (230, 180, 0), "grey": (90, 94, 102),
}  # fmt: skip
LAVA, LAVA_WAVE = (255, 110, 20), (120, 20, 0)
BOLT = (20, 20, 20)

Mask = Callable[[np.ndarray, np.ndarray], np.ndarray]


def grid_picture(
    obs: np.ndarray, *, cell: int = SMALLEST_CELL, lava: np.ndarray | None = None
) -> np.ndarray:
    """A symbolic observation as an image, north up.

    Args:
        obs: (width, height, 3) uint8: MiniGrid's object, colour and state, indexed [x, y].
        cell: pixels along each side of a cell.
        lava: (height, width) bool, where the world has lava: an agent hides what it stands in.

    Returns:
        (height * cell, width * cell, 3) uint8.
    """
    if cell < SMALLEST_CELL:
        raise ValueError(f"cell = {cell} must be {SMALLEST_CELL} or more pixels; give more.")
    width, height, _ = obs.shape
    objects, colours, states = np.moveaxis(obs, -1, 0)
    tiles = _tiles(cell)[objects.T, colours.T, states.T]
    if lava is not None and (burning := lava & (objects.T == OBJECT_TO_IDX["agent"])).any():
        tiles[burning] = _burning_agents(cell)[states.T[burning]]
    return tiles.swapaxes(1, 2).reshape(height * cell, width * cell, 3)


@cache
def _tiles(cell: int) -> np.ndarray:
    """(objects, colours, states, cell, cell, 3) uint8: all that a cell can hold."""
    shape = (len(OBJECT_TO_IDX), len(COLOR_TO_IDX), NUM_STATES, cell, cell, 3)
    tiles = np.empty(shape, dtype=np.uint8)
    # Centres of the pixels, 0 to 1 to the right and down.
    v, u = (np.indices((cell, cell)) + 0.5) / cell
    for kind, k in OBJECT_TO_IDX.items():
        for name, c in COLOR_TO_IDX.items():
            for state in range(NUM_STATES):
                tiles[k, c, state] = _tile(kind, PALETTE[name], state, u, v)
    tiles.setflags(write=False)
    return tiles


@cache
def _burning_agents(cell: int) -> np.ndarray:
    """(headings, cell, cell, 3) uint8: the agent in lava."""
    agents = _tiles(cell)[OBJECT_TO_IDX["agent"], COLOR_TO_IDX["red"]]
    is_agent = (agents == PALETTE["red"]).all(-1, keepdims=True)
    return np.where(is_agent, BOLT, LAVA).astype(np.uint8)


def _tile(
    kind: str, colour: tuple[int, int, int], state: int, u: np.ndarray, v: np.ndarray
) -> np.ndarray:
    """(cell, cell, 3): one cell, of pixels at (u, v)."""
    image = np.full((*u.shape, 3), FLOOR, dtype=np.uint8)
    for paint, where in _layers(kind, colour, state, u, v):
        image[np.broadcast_to(where, u.shape)] = paint
    return image


def _layers(
    kind: str, colour: tuple[int, int, int], state: int, u: np.ndarray, v: np.ndarray
) -> list[tuple[tuple[int, ...], np.ndarray | bool]]:
    """What is painted over the floor, in which colour and at which pixels, one over the other."""
    pale = tuple(round(0.75 * f + 0.25 * c) for f, c in zip(FLOOR, colour, strict=True))
    x, y = np.abs(u - 0.5), np.abs(v - 0.5)  # from the middle
    side = 1 / len(u)  # of a pixel
    column, row = np.indices(u.shape)[::-1]
    match kind:
        case "unseen":
            return [(UNSEEN, True)]
        case "wall":
            return [(colour, True)]
        case "floor":
            return [(pale, True)]
        case "door":
            if state == STATE_TO_IDX["open"]:
                return [(pale, True), (colour, u < 0.25)]
            if state == STATE_TO_IDX["locked"]:
                return [(colour, True), (BOLT, np.maximum(x, y) < 0.25)]
            return [(colour, True), (FLOOR, (u > 0.5) & (u < 0.75) & (y < 0.25))]
        case "key":
            return [(colour, ((u < 0.5) & (v < 0.5)) | (column == row))]
        case "ball":
            return [(colour, x**2 + y**2 < 0.2)]
        case "box":
            return [(colour, np.maximum(x, y) > 0.5 - side)]
        case "goal":
            return [(pale, True), (colour, (column + row) % 2 == 0)]
        case "lava":
            return [(LAVA, True), (LAVA_WAVE, (column + row) % 4 == 0)]
        case "agent":
            ahead, across = [(u, y), (v, x), (1 - u, y), (1 - v, x)][state]
            return [(pale, True), (colour, across < (1 - ahead) * 0.5 + 0.07)]
    return []
