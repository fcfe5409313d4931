"""MiniGrid's own 7 x 7 view of what is in front of the agent, for batches of full symbolic grids.

The agent looks up from the middle of the bottom row. Walls and shut doors hide what is behind them.
"""

from functools import cache

import numpy as np
from minigrid.core.constants import DIR_TO_VEC, OBJECT_TO_IDX, STATE_TO_IDX

from tasks.simulator import EMPTY, WALL

VIEW = 7
_MIDDLE = VIEW // 2
_UNSEEN = (OBJECT_TO_IDX["unseen"], 0, 0)
_CARRIABLE = [OBJECT_TO_IDX[name] for name in ("key", "ball", "box")]
Cell = tuple[int, int]
CORNER: tuple[Cell, ...] = ((0, 0),)  # where `tasks.objects` shows what is carried
_BITS = 1 << np.arange(VIEW)


def egocentric(
    images: np.ndarray, *, see_through_walls: bool = False, pocket: tuple[Cell, ...] = CORNER
) -> np.ndarray:
    """What each agent sees.

    Args:
        images: (B, width, height, 3) uint8, MiniGrid's full symbolic grid with one agent.
        see_through_walls: nothing hides anything.
        pocket: cells of the grid, x and y, that are no places but show what the agent carries.

    Returns:
        (B, 7, 7, 3) uint8 as `MiniGridEnv.gen_obs`, indexed from the left, then from the top;
        the agent's own cell, (3, 6), shows what it carries: of several things that of the last
        cell of `pocket`.

    Raises:
        ValueError: a grid shows no agent.
    """
    batch, width, height, _ = images.shape
    grids = images.reshape(batch, width * height, 3)
    agents = grids[:, :, 0] == OBJECT_TO_IDX["agent"]
    cells, rows = agents.argmax(1), np.arange(batch)
    if not agents[rows, cells].all():
        raise ValueError(
            f"grid {int(np.argmin(agents[rows, cells]))} of {batch} shows no agent, whose view it "
            "is; give grids in which the agent is seen."
        )
    pose = 4 * cells + grids[rows, cells, 2]
    shown, outside = _windows(width, height)
    window, off = shown[pose], outside[pose]
    views = grids.reshape(-1, 3)[window + (rows * width * height)[:, None]]
    views[off] = WALL
    carried = np.broadcast_to(np.array(EMPTY, np.uint8), (batch, 3))
    for x, y in pocket:
        cell = x * height + y
        carries = np.isin(grids[:, cell, 0], _CARRIABLE)[:, None]
        carried = np.where(carries, grids[:, cell], carried)
        # Of the world it is a wall, whatever it stands for.
        views[carries & (window == cell) & ~off] = WALL
    views = views.reshape(batch, VIEW, VIEW, 3)
    if not see_through_walls:
        views[~_visible(views)] = _UNSEEN
    views[:, _MIDDLE, -1] = carried
    return views


@cache
def _windows(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """By pose, `4 * cell + heading`, of the 49 cells of the view: (P, 49) cell, 0 if outside, and
    (P, 49) bool, it is outside the grid."""
    x, y = np.divmod(np.arange(width * height), height)
    ahead = np.array(DIR_TO_VEC)
    aside = np.column_stack([-ahead[:, 1], ahead[:, 0]])
    column, row = np.divmod(np.arange(VIEW * VIEW), VIEW)
    offset = (
        ahead[:, None] * (VIEW - 1 - row)[:, None] + aside[:, None] * (column - _MIDDLE)[:, None]
    )
    at_x, at_y = x[:, None, None] + offset[:, :, 0], y[:, None, None] + offset[:, :, 1]
    outside = (at_x < 0) | (at_x >= width) | (at_y < 0) | (at_y >= height)
    cells = np.where(outside, 0, at_x * height + at_y)
    return cells.reshape(-1, VIEW * VIEW), outside.reshape(-1, VIEW * VIEW)


def _visible(views: np.ndarray) -> np.ndarray:
    """(B, 7, 7) bool: what is not hidden, as `Grid.process_vis` finds it; views (B, 7, 7, 3)."""
    kinds, states = views[..., 0], views[..., 2]
    shut = (kinds == OBJECT_TO_IDX["door"]) & (states != STATE_TO_IDX["open"])
    clear = ~(shut | (kinds == OBJECT_TO_IDX["wall"]))
    clear[:, _MIDDLE, -1] = True
    # A row of the view is a number of seven bits, the leftmost cell the lowest.
    clear_rows = (clear * _BITS[:, None]).sum(1)
    along, above = _row_tables()
    seen = np.full(len(views), 1 << _MIDDLE)
    rows = np.zeros((len(views), VIEW), np.int64)
    for row in reversed(range(VIEW)):
        rows[:, row] = along[seen, clear_rows[:, row]]
        seen = above[seen, clear_rows[:, row]]
    return (rows[:, None] & _BITS[:, None]) > 0


@cache
def _row_tables() -> tuple[np.ndarray, np.ndarray]:
    """How sight spreads: by what is seen of a row from below, and which of its cells are clear.

    Returns:
        (128, 128) int64 each: what is seen of the row then, and of the row above.
    """
    seen, clear = (table.copy() for table in np.indices((2**VIEW, 2**VIEW)))
    above = np.zeros_like(seen)
    passes = [(i, 1) for i in range(VIEW - 1)] + [(i, -1) for i in range(VIEW - 1, 0, -1)]
    for i, onward in passes:
        through = (seen & clear & (1 << i)) > 0
        seen[through] |= 1 << (i + onward)
        above[through] |= (1 << i) | (1 << (i + onward))
    return seen, above
