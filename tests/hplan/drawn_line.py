"""The line of `line_world`, drawn: a picture tells the position."""

import base64
import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from tests.hplan.line_world import LineTask, LineWorlds, positions

ZERO = 100  # the red of the picture of position 0


class WatchedWorlds(LineWorlds):
    """Remembers the actions taken."""

    taken: list[list[int]]

    def step(self, actions):
        self.taken.append(actions.tolist())
        super().step(actions)


@dataclass(frozen=True, kw_only=True)
class DrawnLine(LineTask):
    """A line whose pictures tell the position by their red, and that remembers what was done."""

    drawn: list[int] = field(default_factory=list)
    taken: list[list[int]] = field(default_factory=list)

    def picture(self, obs):
        self.drawn.append(int(obs.item()))
        return np.full((2, 3, 3), (ZERO + self.drawn[-1], 0, 0), dtype=np.uint8)

    def batch(self, starts):
        worlds = WatchedWorlds(starts, np.array(self.moves), self.hurdle)
        worlds.taken = self.taken
        return worlds


def bank_of(*values):
    return LineTask().observe(positions(*values))


def shown_by(picture):
    """The position that a picture tells."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    assert image.size == (3, 2)
    return image.getpixel((0, 0))[0] - ZERO
