"""Draws any observation for a person: images as they are, grids as coloured cells, bars."""

import numpy as np

SMALLEST_SIDE = 64  # pixels that a picture has at least, roughly
BAR_HEIGHT = 48
BAR_WIDTH = 6
MOST_BARS = 64
PAPER, LINE, ABOVE, BELOW = (245, 245, 240), (90, 94, 102), (31, 90, 200), (214, 39, 40)


def image_picture(obs: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8 of an image with 1, 3 or 4 channels, as often magnified as fits."""
    colours = np.repeat(obs, 3, axis=2) if obs.shape[2] == 1 else obs[:, :, :3]
    return _magnified(colours)


def grid_picture(obs: np.ndarray, num_values: tuple[int, ...]) -> np.ndarray:
    """(height, width, 3) uint8 of any grid (width, height, channels): first channels as colours."""
    top = np.maximum(np.array(num_values[:3]) - 1, 1)
    shown = np.zeros((*obs.shape[:2], 3))
    shown[:, :, : len(top)] = obs[:, :, :3] / top
    colours = np.repeat(shown[:, :, :1], 3, axis=2) if len(top) == 1 else shown
    return _magnified(np.rint(255 * colours).astype(np.uint8).swapaxes(0, 1))


def vector_picture(obs: np.ndarray, middle: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8: a bar for each of the first numbers, up from the middle or down.

    Args:
        obs: (D,).
        middle, unit: (D,) mean and standard deviation of the data; three of them fill the height.
    """
    share = np.clip((obs - middle)[:MOST_BARS] / (3 * unit[:MOST_BARS]), -1, 1)
    half = BAR_HEIGHT // 2
    image = np.full((BAR_HEIGHT + 1, BAR_WIDTH * len(share) + 1, 3), PAPER, dtype=np.uint8)
    for index, length in enumerate(np.rint(share * half).astype(int)):
        columns = slice(BAR_WIDTH * index + 1, BAR_WIDTH * (index + 1))
        image[half - max(length, 0) : half, columns] = ABOVE
        image[half + 1 : half + 1 + max(-length, 0), columns] = BELOW
    image[half] = LINE
    return _magnified(image)


def _magnified(image: np.ndarray) -> np.ndarray:
    times = max(1, SMALLEST_SIDE // max(image.shape[:2]))
    return np.ascontiguousarray(image.repeat(times, axis=0).repeat(times, axis=1))
