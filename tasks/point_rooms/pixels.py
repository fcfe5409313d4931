"""Draws a point among walls: as the agent sees it, 64 x 64 pixels, and for a person."""

import math
from functools import lru_cache

import numpy as np

from tasks.point_rooms.world import PointWorld

SIDE = 64  # pixels
POINT, WALLS, TRAIL = range(3)  # what each colour channel shows
TRAIL_STEPS = 3  # a point moves a pixel at most in one env step, too little to be seen at once
BLOB = 0.6  # cells from the middle of what is drawn to where it has faded
_FLOOR, _WALL = np.array([245, 245, 240]), np.array([90, 94, 102])
_PAINT = {POINT: np.array([214, 39, 40]), TRAIL: np.array([31, 90, 200])}


def draw(world: PointWorld, states: np.ndarray) -> np.ndarray:
    """(B, 64, 64, 3) uint8: the world with the point of each state, (B, 4).

    Red is where the point is, blue where it was `TRAIL_STEPS` env steps ago at its present
    velocity: at rest both are at one place. Both are blobs that fade smoothly, so that pixels tell
    places much finer than their own size. Green are the walls.
    """
    images = np.empty((len(states), SIDE, SIDE, 3), np.uint8)
    images[:] = _background(world)
    rows = np.arange(len(states))[:, None, None]
    for channel, place in (
        (POINT, states[:, :2]),
        (TRAIL, states[:, :2] - TRAIL_STEPS * states[:, 2:]),
    ):
        (x, column), (y, row) = (
            _faded(place[:, axis], SIDE / world.walls.shape[1 - axis]) for axis in (0, 1)
        )
        blob = np.rint(255 * y[:, :, None] * x[:, None, :]).astype(np.uint8)
        images[rows, row[:, :, None], column[:, None, :], channel] = blob
    return images


def places(world: PointWorld, images: np.ndarray) -> np.ndarray:
    """(B, 2): x and y, in cells, of the points that images (B, 64, 64, 3) of `draw` show."""
    point = images[..., POINT]
    brightest = np.stack([point.max(axis).argmax(1) for axis in (1, 2)], axis=1)
    return (brightest + 0.5) * world.walls.shape[::-1] / SIDE


def picture(pixels: np.ndarray, *, scale: int = 4) -> np.ndarray:
    """(64 * scale, 64 * scale, 3) uint8 for a person, of an image (64, 64, 3) that `draw` made."""
    share = (pixels / 255.0)[..., None]
    image = _FLOOR + share[..., WALLS, :] * (_WALL - _FLOOR)
    for channel in (TRAIL, POINT):
        image += share[..., channel, :] * (_PAINT[channel] - image)
    return np.rint(image).astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)


def _faded(place: np.ndarray, pixels_per_cell: float) -> tuple[np.ndarray, np.ndarray]:
    """One axis of a blob: brightness in [0, 1] and pixel, (B, W) each, for places (B,) in cells."""
    reach = BLOB * pixels_per_cell
    width = 2 * math.ceil(reach) + 1
    centre = place * pixels_per_cell - 0.5  # in units of pixels, 0 the middle of the first
    first = np.clip(np.rint(centre).astype(np.int64) - width // 2, 0, SIDE - width)
    pixels = first[:, None] + np.arange(width)
    away = np.minimum(np.abs(pixels - centre[:, None]) / reach, 1.0)
    return 0.5 + 0.5 * np.cos(np.pi * away), pixels


@lru_cache(maxsize=8)
def _background(world: PointWorld) -> np.ndarray:
    """(64, 64, 3) uint8: the walls alone; a pixel that is partly wall has part of the colour."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    fine = 16  # samples along each side of a pixel
    at = (np.arange(SIDE * fine) + 0.5) / (SIDE * fine)
    y, x = ((at * length).astype(np.int64) for length in world.walls.shape)
    walls = world.walls[y[:, None], x].reshape(SIDE, fine, SIDE, fine).mean((1, 3))
    image[..., WALLS] = np.rint(255 * walls)
    return image
