"""Shows a person where the traveller is: the grid as he sees it, and a caption in words."""

from functools import cache

import numpy as np
from minigrid.core.constants import OBJECT_TO_IDX
from PIL import Image, ImageDraw, ImageFont

from tasks.pictures import grid_picture
from tasks.trip.districts import (
    DISPLAY_BOTTOM,
    DISPLAY_COLUMN,
    GATE_CELL,
    LANE_CELLS,
    NUM_GATES,
    PASSPORT_CELL,
    ROUTE,
    SEAT,
    TICKET_CELL,
    TOP_FLOOR,
    District,
    Kind,
    cell_of,
)
from tasks.trip.scenery import BACKGROUND, GATE_COLOURS, OPEN

CELL = 20  # pixels
_LINE = 13  # pixels, of a line of the caption
PAPER, _INK = (30, 32, 40), (235, 235, 225)
_TITLES = {
    District.OFFICE: "New York: the office", District.CORRIDOR: "New York: the corridor",
    District.LIFT: "New York: in the lift", District.STREET: "New York: the street",
    District.RIDE: "New York: in the taxi", District.AIRPORT: "New York: the airport",
    District.LOUNGE: "New York: at the gate", District.FLIGHT: "Over the Atlantic",
    District.PARIS: "Paris: the street", District.CAFE: "Paris: the cafe",
}  # fmt: skip


def district_of(obs: np.ndarray) -> District:
    """The district that an observation, (WIDTH, HEIGHT, 3) uint8, shows most of."""
    return District(int((obs == BACKGROUND).sum(axis=(1, 2, 3)).argmax()))


def caption(obs: np.ndarray) -> list[str]:
    """Three lines on an observation: the place, the pocket, and what there is to do."""
    district = district_of(obs)
    return [
        _TITLES[district],
        f"pocket: {', '.join(_pocket(obs)) or 'empty'}",
        _todo(obs, district),
    ]


def trip_picture(obs: np.ndarray, *, cell: int = CELL) -> np.ndarray:
    """An observation for a person.

    Args:
        obs: (WIDTH, HEIGHT, 3) uint8.
        cell: pixels along each side of a cell.

    Returns:
        (height, width, 3) uint8: the grid, its last row the pocket, and a caption below.
    """
    grid = grid_picture(obs, cell=cell)
    lines = caption(obs)
    strip = Image.new("RGB", (grid.shape[1], _LINE * len(lines) + 4), PAPER)
    draw = ImageDraw.Draw(strip)
    draw.fontmode = "1"  # few colours make small files
    for row, line in enumerate(lines):
        draw.text((4, 2 + row * _LINE), line, fill=_INK, font=_font())
    return np.concatenate([grid, np.asarray(strip, dtype=np.uint8)])


@cache
def _font() -> ImageFont.ImageFont:
    return ImageFont.load_default_imagefont()


def _kind(obs: np.ndarray, cell: tuple[int, int]) -> int:
    return int(obs[(*cell, 0)])


def _has(obs: np.ndarray, cell: tuple[int, int], kind: str) -> bool:
    return _kind(obs, cell) == OBJECT_TO_IDX[kind]


def _is_open(obs: np.ndarray, district: District, kind: int) -> bool:
    return bool(obs[(*cell_of(district, kind), 2)] == OPEN)


def _is_on(obs: np.ndarray, district: District) -> bool:
    """The district's switch has been used."""
    cell = cell_of(district, Kind.SWITCH)
    return bool(obs[(*cell, 1)] != BACKGROUND[(district, *cell, 1)])


def _pocket(obs: np.ndarray) -> list[str]:
    held = [
        name
        for name, cell, kind in (
            ("passport", PASSPORT_CELL, "key"), ("ticket", TICKET_CELL, "box"),
        )
        if _has(obs, cell, kind)
    ]  # fmt: skip
    if _has(obs, GATE_CELL, "ball"):
        gate = _open_gate(obs)
        held.append(f"{GATE_COLOURS[gate - 1]} gate")
    return held


def _open_gate(obs: np.ndarray) -> int:
    """From 1 up; 0 while none is announced."""
    gates = range(1, NUM_GATES + 1)
    return next((g for g in gates if _is_open(obs, District.AIRPORT, Kind.GATE + g - 1)), 0)


def _floor(obs: np.ndarray) -> int:
    """Which the lift is on."""
    floors = range(TOP_FLOOR + 1)
    return next(f for f in floors if _has(obs, (DISPLAY_COLUMN, DISPLAY_BOTTOM - f), "ball"))


def _todo(obs: np.ndarray, district: District) -> str:
    match district:
        case District.OFFICE:
            if not _has(obs, PASSPORT_CELL, "key"):
                return "pick up the passport"
            return (
                "leave" if _is_open(obs, district, Kind.OFFICE_DOOR) else "open the door (toggle)"
            )
        case District.CORRIDOR:
            if _floor(obs) == TOP_FLOOR:
                return "the lift is here: get in"
            return f"lift on floor {_floor(obs)}: {'wait' if _is_on(obs, district) else 'call it'}"
        case District.LIFT:
            if _floor(obs) == 0:
                return "ground floor: get out"
            return f"floor {_floor(obs)}: {'wait' if _is_on(obs, district) else 'press the button'}"
        case District.STREET:
            return _hailing(obs)
        case District.RIDE:
            closed = int((obs[:, :, 0] == OBJECT_TO_IDX["lava"]).sum())
            return f"drive to the airport; {closed} closed seen"
        case District.AIRPORT:
            queue = sum(_has(obs, tuple(cell), "ball") for cell in LANE_CELLS.tolist())
            gate = "go to the gate" if _open_gate(obs) else "wait for the gate"
            return f"{queue} in the queue; {gate}"
        case District.LOUNGE:
            boarding = _is_open(obs, district, Kind.BOARDING_DOOR)
            return "boarding: get in" if boarding else "wait for boarding"
        case District.FLIGHT:
            return f"wait: {_flown(obs)} of {len(ROUTE)} on the way"
        case District.PARIS:
            return "walk to the cafe"
    return "here you are" if _has(obs, SEAT, "agent") else "take your seat"


def _hailing(obs: np.ndarray) -> str:
    if (obs[:, :, 0] == OBJECT_TO_IDX["door"]).any():
        return "a taxi: get in"
    return "wait for a taxi" if _is_on(obs, District.STREET) else "hail a taxi at the post"


def _flown(obs: np.ndarray) -> int:
    cells = ROUTE[:, :2].tolist()
    return next((i for i, cell in enumerate(cells, 1) if _has(obs, tuple(cell), "agent")), 0)
