"""Start-goal pairs: suites in bins by optimal length, and validation pairs from another stream."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tasks.oracle import optimal_steps_to_cell
from tasks.seeds import Stream, stream_generator
from tasks.simulator import NUM_HEADINGS, GridWorld

Bins = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """E start-goal pairs.

    Attributes:
        starts: (E, ...) states of the task; where there are walls and lava alone (E, 3) int64: x,
            y, heading.
        goals: (E, ...) as the task has them; there (E, 3): success needs the cell alone.
        optimal_steps: (E,) int64, fewest env steps to the goal, or what the task says they are.
    """

    starts: np.ndarray
    goals: np.ndarray
    optimal_steps: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Suite:
    """The fixed list of start-goal pairs that methods are compared on, sorted by bin.

    Attributes:
        name: of the task.
        bins: (name, low, high) each, in optimal env steps: low < steps <= high, in the first bin
            low <= steps too.
        starts, goals, optimal_steps: as in `Pairs`; a task may say more of a start than that.
        bin_index: (E,) int64, index into `bins`.
        open_steps: (E,) int64, what `optimal_steps` were with every doorway open; None in worlds
            where none shuts.
        budgets: (E,) int64, env steps allowed; None leaves that to the evaluation's settings.
    """

    name: str
    bins: Bins
    starts: np.ndarray
    goals: np.ndarray
    optimal_steps: np.ndarray
    bin_index: np.ndarray
    open_steps: np.ndarray | None = None
    budgets: np.ndarray | None = None

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of every pair, the same on every machine."""
        digest = hashlib.sha256(repr((self.name, self.bins)).encode())
        for array in (self.starts, self.goals, self.optimal_steps, self.bin_index):
            kind = "<f8" if array.dtype.kind == "f" else "<i8"
            digest.update(np.ascontiguousarray(array, dtype=kind).tobytes())
        return digest.hexdigest()

    @property
    def num_episodes(self) -> int:
        """E."""
        return len(self.starts)


def make_suite(
    world: GridWorld, *, name: str, bins: Bins, episodes_per_bin: int, seed: int
) -> Suite:
    """Draw `episodes_per_bin` pairs for every bin; seeds are independent of the data's.

    Raises:
        ValueError: the world has no pair of a bin's length.
    """
    check_episodes_per_bin(episodes_per_bin)
    parts = []
    for index, (bin_name, low, high) in enumerate(bins):
        generator = stream_generator(Stream.SUITE, seed, index)
        lowest = low if index == 0 else low + 1
        parts.append(_draw_bin(world, bin_name, lowest, high, episodes_per_bin, generator))
    return Suite(
        name=name,
        bins=bins,
        starts=np.concatenate([part.starts for part in parts]),
        goals=np.concatenate([part.goals for part in parts]),
        optimal_steps=np.concatenate([part.optimal_steps for part in parts]),
        bin_index=np.repeat(np.arange(len(bins)), episodes_per_bin),
    )


def check_episodes_per_bin(episodes_per_bin: int) -> None:
    """Refuses a suite without pairs."""
    if episodes_per_bin < 1:
        raise ValueError(
            f"episodes_per_bin = {episodes_per_bin} must be at least 1; give a positive integer."
        )


def validation_pairs(world: GridWorld, *, num_pairs: int, seed: int) -> Pairs:
    """Draw pairs spread evenly over all distances, from a stream that no suite and no data uses.

    For each pair a goal cell is drawn, then a distance from 1 to the largest that this goal has,
    then a start at that distance.
    """
    if num_pairs < 1:
        raise ValueError(f"num_pairs = {num_pairs} must be at least 1; give a positive integer.")
    generator = stream_generator(Stream.VALIDATION, seed)
    drawn = []
    for cell in generator.integers(world.num_land_cells, size=num_pairs):
        steps = optimal_steps_to_cell(world, tuple(world.cells[cell]))
        if steps.max() < 1:
            raise ValueError(
                f"cell {tuple(world.cells[cell].tolist())} has walls all round; choose a world "
                "whose free cells are joined."
            )
        # From 1 up to the largest, every distance has a state: the states of a shortest path.
        distance = generator.integers(1, steps.max() + 1)
        start = generator.choice(np.flatnonzero(steps == distance))
        drawn.append((start, NUM_HEADINGS * cell + generator.integers(NUM_HEADINGS), distance))
    return _pairs(world, drawn)


def fitting_bins(world: GridWorld, bins: Bins) -> Bins:
    """Of `bins`, those that some start-goal pair of the world falls into."""
    goals = world.cells[: world.num_land_cells]
    longest = max(optimal_steps_to_cell(world, tuple(cell)).max() for cell in goals)
    # A shortest path of that length holds one of every shorter length.
    fitting = tuple((name, low, high) for name, low, high in bins if low < longest)
    if not fitting:
        raise ValueError(
            f"the world is too small: its longest way is {longest} env steps, the shortest bin "
            f"begins at {bins[0][1]}; choose a larger world."
        )
    return fitting


def _draw_bin(
    world: GridWorld,
    bin_name: str,
    lowest: int,
    highest: int,
    num_pairs: int,
    generator: np.random.Generator,
) -> Pairs:
    """Draw goal cells at random, and for each a random start at a distance in [lowest, highest]."""
    drawn: list[tuple[int, int, int]] = []
    order = generator.permutation(world.num_land_cells)
    while len(drawn) < num_pairs:
        before = len(drawn)
        for cell in order:
            steps = optimal_steps_to_cell(world, tuple(world.cells[cell]))
            starts = np.flatnonzero((steps >= lowest) & (steps <= highest))
            if len(starts) and len(drawn) < num_pairs:
                start = generator.choice(starts)
                goal = NUM_HEADINGS * cell + generator.integers(NUM_HEADINGS)
                drawn.append((start, goal, steps[start]))
            if len(drawn) == num_pairs:
                break
        if len(drawn) == before:
            width, height = world.background.shape[:2]
            raise ValueError(
                f"bin '{bin_name}' of {lowest} to {highest} env steps cannot be filled: no pair of "
                f"this {width} x {height} world is that far apart; use another layout seed, a "
                "larger world or shorter bins."
            )
    return _pairs(world, drawn)


def _pairs(world: GridWorld, drawn: list[tuple[int, int, int]]) -> Pairs:
    """From (state index of start, state index of goal, env steps) each."""
    starts, goals, steps = np.array(drawn, dtype=np.int64).T
    return Pairs(
        starts=world.all_states[starts], goals=world.all_states[goals], optimal_steps=steps
    )
