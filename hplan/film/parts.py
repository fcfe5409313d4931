"""What moves in a film: a level's subgoal, its curve of energy, and the marks of its plans."""

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

from hplan.film.story import PlanNode, Subgoal
from hplan.tree_text import clean, number

LARGEST_PICTURE = 1024  # pixels on a side
NOTHING = np.full((1, 1, 3), 235, dtype=np.uint8)
# Shape and colour of the mark of a plan, by the cause that it was made for.
MARKS = {
    "start": ("o", "#000000"),
    "clock": ("d", "#555555"),
    "done": ("s", "#2a7f3f"),
    "target_changed": ("v", "#b36b00"),
    "surprise": ("X", "#b3261e"),
    "infeasible": ("P", "#7b1fa2"),
}


class SubgoalPanel:
    """The real observation nearest to the subgoal that a level aims at, and how near."""

    def __init__(self, level: int, image: AxesImage, note: Text) -> None:
        self.level, self.image, self.note = level, image, note

    def show(self, plan: int, made: int, subgoal: Subgoal, shown: np.ndarray) -> None:
        """Shows a subgoal of the plan with that number, `made` at that env step.

        Args:
            shown: the picture of the subgoal.
        """
        self.image.set_data(shown)
        lines = [f"plan {plan} since step {made}"]
        if subgoal.picture is None:
            lines.append("no observation looked up")
        else:
            lines.append(f"distance {number(subgoal.distance)}")
            lines += ["its first subgoal"] if subgoal.is_first else []
        self.note.set_text("\n".join(lines))

    def show_none(self, note: str) -> None:
        """Shows that there is no subgoal of this level now."""
        self.image.set_data(NOTHING)
        self.note.set_text(note)


class EnergyCurve:
    """Energy of a level's plans towards their targets over env steps; it breaks at every new plan.

    Attributes:
        artists: what is to be drawn anew in every frame.
    """

    def __init__(
        self, level: int, plans: Sequence[PlanNode], axes: Axes, colour: str, last: int
    ) -> None:
        self.level, self.plans = level, plans
        parts = [(*_points(node), (node["ended"], math.nan)) for node in plans]
        points = [point for part in parts for point in part]
        self.points = np.array(points, dtype=float).reshape(-1, 2)
        top, bottom = (extreme([*self.points[:, 1], 0.0]) for extreme in (np.nanmax, np.nanmin))
        # Room above the curve for the marks.
        axes.set(xlim=(-0.02 * max(last, 1), 1.01 * max(last, 1)))
        axes.set(ylim=(bottom, bottom + 1.5 * (top - bottom or 1.0)))
        if not plans:
            axes.set_yticks([])
            axes.text(0.5, 0.5, "no plans", ha="center", va="center", transform=axes.transAxes)
        self.line = Line2D([], [], color=colour, linewidth=1.8, marker=".", markersize=4)
        self.promise = Line2D([], [], color=colour, linewidth=1.2, linestyle=":")
        self.now = Line2D([], [], color="#bbbbbb", linewidth=1)
        for line in (self.now, self.promise, self.line):
            axes.add_line(line)
        self.marks = {}
        for cause, (marker, mark_colour) in MARKS.items():
            self.marks[cause] = Line2D(
                [], [], linestyle="", marker=marker, color=mark_colour, markersize=6,
                transform=axes.get_xaxis_transform(), clip_on=False,
            )  # fmt: skip
            axes.add_line(self.marks[cause])
        self.now.set_transform(axes.get_xaxis_transform())
        self.artists: list[Artist] = [self.now, self.promise, self.line, *self.marks.values()]
        for artist in self.artists:
            artist.set_animated(True)

    def show(self, node: PlanNode | None, now: int) -> None:
        """Shows what had happened by env step `now`, and what the plan `node` promises."""
        past = self.points[self.points[:, 0] <= now]
        self.line.set_data(past[:, 0], past[:, 1])
        self.now.set_data([now, now], [0, 1])
        for cause, marks in self.marks.items():
            made = [n["made"] for n in self.plans if n["cause"] == cause and n["made"] <= now]
            marks.set_data(made, [0.9] * len(made))
        promise = _promise(node) if node else np.empty((0, 2))
        self.promise.set_data(promise[:, 0], promise[:, 1])


def _points(node: PlanNode) -> list[tuple[int, int | float]]:
    """(env step, energy) of a plan, as often as it was measured."""
    energies = node["energies"] or []
    measured = list(enumerate(energies, start=node["made"]))
    if not measured:
        measured = [(node["made"], node["energy_before"]), (node["ended"], node["energy_ended"])]
    return [(step, math.nan if energy is None else energy) for step, energy in measured]


def _promise(node: PlanNode) -> np.ndarray:
    """(2, 2): env step and energy where a plan was made, and where its prediction ends.

    Empty, (0, 2), if it does not tell all of that.
    """
    numbers = node["energy_before"], node["energy_promised"], node["steps_promised"]
    if None in numbers:
        return np.empty((0, 2))
    before, promised, steps = numbers
    return np.array([(node["made"], before), (node["made"] + steps, promised)], dtype=float)


def picture(index: int, coded: str) -> np.ndarray:
    """(side, side, 3) uint8 of a base64 PNG; what is not square gets grey margins.

    Raises:
        ValueError: it is none, or too large.
    """
    try:
        content = base64.b64decode(coded, validate=True)
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if max(image.size) > LARGEST_PICTURE:
                raise ValueError(f"{image.size} pixels; allowed are {LARGEST_PICTURE} on a side")
            return np.asarray(_squared(image.convert("RGB")))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"picture {index} of the subgoal tree cannot be shown ({error}); a picture is a base64 "
            "PNG; evaluate the run again: make eval RUN=..."
        ) from error


def _squared(image: Image.Image) -> Image.Image:
    side = max(image.size)
    if image.size == (side, side):
        return image
    square = Image.new("RGB", (side, side), tuple(NOTHING[0, 0].tolist()))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def printable(text: Any) -> str:
    """Text of a file, without what the film's font cannot draw."""
    return clean(text).encode("latin-1", "replace").decode("latin-1")
