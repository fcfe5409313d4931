"""What the districts look like before anything has happened there, in MiniGrid's symbols."""

import numpy as np
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX, STATE_TO_IDX

from tasks.trip.districts import (
    KINDS,
    NUM_GATES,
    POCKET_ROW,
    TICKET_CELL,
    District,
    Kind,
    letters_of_map,
)


def symbol(kind: str, colour: str = "red", state: int = 0) -> tuple[int, int, int]:
    """MiniGrid's object, colour and state of a cell; empty has colour and state 0."""
    return OBJECT_TO_IDX[kind], COLOR_TO_IDX[colour], state


OPEN, LOCKED = STATE_TO_IDX["open"], STATE_TO_IDX["locked"]
_FLOORS = {
    District.OFFICE: symbol("empty"), District.CORRIDOR: symbol("floor", "blue"),
    District.LIFT: symbol("floor", "purple"), District.STREET: symbol("floor", "grey"),
    District.RIDE: symbol("floor", "yellow"), District.AIRPORT: symbol("empty"),
    District.LOUNGE: symbol("floor", "green"), District.FLIGHT: symbol("empty"),
    District.PARIS: symbol("floor", "red"), District.CAFE: symbol("floor", "purple"),
}  # fmt: skip
_WALLS = {
    District.OFFICE: "grey", District.CORRIDOR: "grey", District.LIFT: "grey",
    District.STREET: "grey", District.RIDE: "green", District.AIRPORT: "blue",
    District.LOUNGE: "blue", District.FLIGHT: "blue", District.PARIS: "yellow",
    District.CAFE: "red",
}  # fmt: skip


def _background() -> np.ndarray:
    """(districts, WIDTH, HEIGHT, 3) uint8: what is seen of a district when nothing has happened."""
    letters, kinds = letters_of_map(), KINDS
    seen = np.empty((*kinds.shape, 3), np.uint8)
    for district in District:
        seen[district] = symbol("wall", _WALLS[district])
        seen[district][np.isin(letters[district], [".", "="])] = _FLOORS[district]
    lanes = (kinds >= Kind.LANE) & (kinds < Kind.GATE)
    seen[lanes] = symbol("floor", "yellow")
    seen[letters == "o"] = symbol("box", "grey")
    seen[letters == "f"] = symbol("floor", "grey")
    seen[letters == "~"] = symbol("wall", "blue")
    seen[letters == "*"] = symbol("goal", "green")
    seen[kinds == Kind.EXIT] = symbol("door", "green", OPEN)
    seen[kinds == Kind.TABLE] = symbol("key", "yellow")
    seen[kinds == Kind.SWITCH] = symbol("box", "red")
    for kind, colour in (
        (Kind.OFFICE_DOOR, "yellow"), (Kind.LIFT_DOOR, "purple"), (Kind.CABIN_DOOR, "purple"),
        (Kind.BOARDING_DOOR, "blue"),
        *((Kind.GATE + i, GATE_COLOURS[i]) for i in range(NUM_GATES)),
    ):  # fmt: skip
        seen[kinds == kind] = symbol("door", colour, LOCKED)
    seen[:, :, POCKET_ROW] = symbol("empty")
    seen[:, [0, -1], POCKET_ROW] = symbol("wall", "grey")
    seen[(slice(District.LOUNGE + 1), *TICKET_CELL)] = symbol("box", "purple")
    return seen


GATE_COLOURS = ("red", "green", "purple")
BACKGROUND = _background()
