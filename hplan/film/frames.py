"""The frames of a film: what an episode's subgoal tree shows at each env step.

Matplotlib draws once what never changes; for every frame only what moves is drawn over it.
"""

import math
from collections.abc import Iterator

import networkx as nx
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from hplan.film.parts import MARKS, NOTHING, EnergyCurve, SubgoalPanel, picture, printable
from hplan.film.story import Story
from hplan.subgoal_tree import ROOT
from hplan.tree_text import goal_summary

WIDTH, DPI = 960, 100
MOST_FRAMES = 1000  # all are in memory for the GIF, at two thirds of a megabyte each
MARGIN, GAP, TITLE, NOTE, LARGEST_PANEL = 16, 16, 22, 48, 300  # pixels
HEADER, LEFT_OF_CURVES, BELOW_CURVES, FOOTER = 56, 112, 40, 62
COLOURS = ("#1f77b4", "#d95f02", "#6a3d9a", "#1b9e77", "#a6761d", "#666666")
FADED = "#666666"
NOTES = (
    "Shown is each level's current subgoal, as the real observation nearest to it; distance: mean "
    "squared latent difference of the two, in units\nof the level's own mean squared move; 0 is "
    "the same. Curves: energy towards the plan's target{unit}; dotted: as its plan promises."
)


class Frames:
    """Iterates over the frames of an episode, (height, width, 3) uint8, one for each env step.

    Attributes:
        size: width and height in pixels, both even.

    Raises:
        ValueError: the tree holds no pictures, or too many; while iterating: broken ones.
    """

    def __init__(self, graph: nx.DiGraph) -> None:
        self._observations = graph.nodes[ROOT].get("observations") or []
        self._coded = graph.graph.get("pictures") or []
        if not self._coded or not self._observations:
            raise ValueError(
                "the subgoal tree holds no pictures of its episode, so there is nothing to film; "
                "evaluate the run again (make eval RUN=...), which keeps them"
            )
        if len(self._observations) > MOST_FRAMES:
            raise ValueError(
                f"the episode has {len(self._observations)} observations; a film takes at most "
                f"{MOST_FRAMES}; film a shorter one: make watch RUN=... EPISODE=..."
            )
        self._last = len(self._observations) - 1
        self._story = Story(graph, self._last)
        self._levels = range(self._story.goal["level"])
        self._draw_still()

    def __iter__(self) -> Iterator[np.ndarray]:
        background = self._canvas.copy_from_bbox(self._figure.bbox)
        renderer = self._canvas.get_renderer()
        for now in range(self._last + 1):
            self._show_world(now)
            served = self._story.served(now)
            for panel in self._panels:
                self._show_subgoal(panel, served.get(panel.level), now)
            for curve in self._curves:
                curve.show(self._story.plans.get(served.get(curve.level)), now)
            self._canvas.restore_region(background)
            for artist in self._moving:
                artist.draw(renderer)
            yield np.array(self._canvas.buffer_rgba())[..., :3]

    def _show_world(self, now: int) -> None:
        self._world.set_data(self._picture(self._observations[now]))
        self._world_title.set_text(f"world at env step {now} of {self._last}")
        self._caption.set_text(self._story.reason(now))

    def _show_subgoal(self, panel: SubgoalPanel, plan: int | None, now: int) -> None:
        if plan is None:
            panel.show_none(self._story.without(panel.level, now))
            return
        subgoal = self._story.subgoal(plan, now)
        made = self._story.plans[plan]["made"]
        panel.show(plan, made, subgoal, self._picture(subgoal.picture))

    def _picture(self, index: int | None) -> np.ndarray:
        """Decoded anew whenever it is shown: all at once might not fit into memory."""
        return NOTHING if index is None else picture(index, self._coded[index])

    def _draw_still(self) -> None:
        """Lays out the figure and draws what never changes."""
        num_panels = len(self._levels)  # the goal, and every level above the bottom
        rows = max(1, math.ceil(math.sqrt(num_panels / 3)))
        columns = math.ceil(num_panels / rows)
        between = TITLE + NOTE
        # The world is as high as all rows of panels together.
        room = WIDTH - 2 * MARGIN - columns * GAP - (rows - 1) * between
        side = min(LARGEST_PANEL, room // (rows + columns))
        world_side = rows * side + (rows - 1) * between
        strip = max(36, min(90, 300 // num_panels))
        curves_top = HEADER + rows * (side + between)
        height = curves_top + num_panels * (strip + 8) + BELOW_CURVES + FOOTER
        height += height % 2
        self.size = WIDTH, height
        self._figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI)
        self._canvas = FigureCanvasAgg(self._figure)
        self._moving: list[Artist] = []
        summary = printable(goal_summary(self._story.goal))[:120]
        self._text(MARGIN, 20, summary, size=10, weight="bold")
        self._caption = self._text(MARGIN, 42, size=10, moving=True)

        self._world = self._image(MARGIN, HEADER + TITLE, world_side, "#000000", moving=True)
        self._world_title = self._text(MARGIN, HEADER + TITLE - 6, weight="bold", moving=True)
        self._panels = []
        for index in range(num_panels):
            left = MARGIN + world_side + GAP + (index % columns) * (side + GAP)
            top = HEADER + TITLE + (index // columns) * (side + between)
            if index == 0:
                self._draw_goal(left, top, side)
            else:
                self._panels.append(self._panel(num_panels - index, left, top, side))
        self._curves = [
            self._curve(k, curves_top + row * (strip + 8), strip)
            for row, k in enumerate(reversed(self._levels))
        ]
        self._draw_legend(height)
        self._canvas.draw()

    def _draw_goal(self, left: int, top: int, side: int) -> None:
        self._text(left, top - 6, "goal", weight="bold")
        image = self._image(left, top, side, "#000000")
        image.set_data(self._picture(self._story.goal["goal"]))

    def _panel(self, level: int, left: int, top: int, side: int) -> SubgoalPanel:
        colour = COLOURS[level % len(COLOURS)]
        self._text(left, top - 6, f"subgoal of level {level}", weight="bold", color=colour)
        image = self._image(left, top, side, colour, moving=True)
        note = self._text(left, top + side + 4, va="top", size=8, moving=True)
        return SubgoalPanel(level, image, note)

    def _curve(self, level: int, top: int, height: int) -> EnergyCurve:
        colour = COLOURS[level % len(COLOURS)]
        axes = self._axes(LEFT_OF_CURVES, top, WIDTH - LEFT_OF_CURVES - MARGIN, height)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, labelbottom=level == 0)
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(3))
        if level == 0:
            axes.set_xlabel("env step", fontsize=8)
        plans = list(self._story.of_level(level).values())
        self._text(MARGIN, top + 14, f"level {level}", weight="bold", color=colour)
        self._text(MARGIN, top + 28, "energy", size=8, color=FADED)
        curve = EnergyCurve(level, plans, axes, colour, self._last)
        self._moving += curve.artists
        return curve

    def _draw_legend(self, height: int) -> None:
        present = {node["cause"] for node in self._story.plans.values()}
        handles = [
            Line2D([], [], linestyle="", marker=marker, color=colour, label=cause)
            for cause, (marker, colour) in MARKS.items()
            if cause in present
        ]
        self._text(MARGIN, height - FOOTER + 9, "planned anew because:")
        self._figure.legend(
            handles=handles,
            ncols=len(MARKS),
            loc="center left",
            bbox_to_anchor=(0.17, (FOOTER - 6) / height),
            fontsize=9,
            frameon=False,
            columnspacing=1.2,
            handletextpad=0,
        )
        units = {n["energy_unit"] for n in self._story.plans.values() if n["energy_unit"]}
        unit = f", in {' or '.join(sorted(units))}" if units else ""
        self._text(MARGIN, height - 10, NOTES.format(unit=unit), size=8, color=FADED)

    def _axes(self, left: int, top: int, width: int, height: int) -> Axes:
        """Axes at a place in pixels from the left and the top."""
        whole = self.size[1]
        bottom = (whole - top - height) / whole
        return self._figure.add_axes((left / WIDTH, bottom, width / WIDTH, height / whole))

    def _image(
        self, left: int, top: int, side: int, colour: str, *, moving: bool = False
    ) -> AxesImage:
        axes = self._axes(left, top, side, side)
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(edgecolor=colour, linewidth=1.5)
        image = axes.imshow(NOTHING, extent=(0, 1, 0, 1), interpolation="nearest", animated=moving)
        self._moving += [image, *axes.spines.values()] if moving else []
        return image

    def _text(
        self,
        left: int,
        baseline: int,
        text: str = "",
        *,
        size: int = 9,
        moving: bool = False,
        **style: str,
    ) -> Text:
        """Text at a place in pixels; what comes from a file is no formula."""
        place = left / WIDTH, 1 - baseline / self.size[1]
        artist = self._figure.text(
            *place, text, fontsize=size, animated=moving, parse_math=False, **style
        )
        self._moving += [artist] if moving else []
        return artist
