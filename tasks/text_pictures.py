"""Draws MiniGrid's symbolic grid for a terminal, two characters a cell, in colour."""

import numpy as np
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX, STATE_TO_IDX

_ANSI = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "purple": 35, "grey": 37}
_SHAPES = {
    "unseen": "  ", "empty": "  ", "wall": "██", "floor": "··", "door": "[]", "key": "k~",
    "ball": "()", "box": "▒▒", "goal": "★★", "lava": "≈≈",
}  # fmt: skip
_DOORS = {"open": "[ ", "closed": "[]", "locked": "[×"}
_HEADINGS = ("->", "↓↓", "<-", "↑↑")  # right, down, left, up
_COLOURS = {index: name for name, index in COLOR_TO_IDX.items()}
_OBJECTS = {index: name for name, index in OBJECT_TO_IDX.items()}
_STATES = {index: name for name, index in STATE_TO_IDX.items()}


def grid_text(obs: np.ndarray) -> list[str]:
    """Lines of a symbolic observation, (width, height, 3) uint8, north up."""
    return ["".join(_cell(*cell) for cell in row) for row in obs.swapaxes(0, 1).tolist()]


def _cell(kind: int, colour: int, state: int) -> str:
    name = _OBJECTS[kind]
    if name == "agent":
        return f"\x1b[1;7;31m{_HEADINGS[state]}\x1b[0m"
    shape = _DOORS[_STATES[state]] if name == "door" else _SHAPES[name]
    if not shape.strip():
        return shape
    return f"\x1b[{'2' if name == 'floor' else '1'};{_ANSI[_COLOURS[colour]]}m{shape}\x1b[0m"
