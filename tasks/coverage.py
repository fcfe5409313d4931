"""What a dataset covers: of the world's states, of its distances, and clips for each level."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from hplan.dataset import EpisodeStore
from hplan.dataset_files import stored_chunks
from hplan.files import write_atomically
from tasks.distinct import distinct
from tasks.oracle import optimal_steps_to_cell
from tasks.simulator import GridWorld

COVERAGE_FILE = "coverage.json"
_MOST_LANDMARKS = 32
_MOST_STATES = 20_000
_AT_ONCE = 1000  # observations


@runtime_checkable
class ListsStates(Protocol):
    """A task that knows all its states."""

    @property
    def reachable_states(self) -> np.ndarray | None:
        """(S, ...) all that an agent can come to be in; None where it does not know after all."""

    def observe(self, states: np.ndarray) -> np.ndarray:
        """What they look like."""


@runtime_checkable
class HasPlaces(Protocol):
    """A task whose states cannot be numbered, but whose places can."""

    @property
    def num_places(self) -> int:
        """Free cells."""

    def places(self, obs: np.ndarray) -> np.ndarray:
        """(B,) int64: the cell that each observation shows."""


@runtime_checkable
class KnowsDistances(Protocol):
    """A task that knows shortest ways."""

    def distances_to_a_goal(self, num_states: int) -> tuple[np.ndarray, np.ndarray]:
        """Observations of states, and their env steps to one goal."""


@runtime_checkable
class HasGridWorld(Protocol):
    """A task in a world whose shortest ways can be looked up."""

    @property
    def world(self) -> GridWorld:
        """Walls, lava and transitions."""


def coverage(chunks: Iterable[EpisodeStore], task: Any, needs: Sequence[int]) -> dict[str, Any]:
    """Measure what the episodes of a dataset cover, a chunk at a time.

    `longest_joined` is the largest distance between two states that one episode joins, on the
    shortest way from the earlier to the later, as far as landmarks can tell: the distances of two
    states to a third differ by no more than that. Where no shortest ways are known it is env steps
    between observations that differ, which a walk in circles has too.

    Args:
        chunks: stores with the same `frames`, as `hplan.dataset_files.stored_chunks` gives them.
        task: may be `ListsStates` or `HasPlaces`, `KnowsDistances`, `HasGridWorld`.
        needs: for each level, bottom first, env steps of a clip that it learns from.

    Returns:
        Plain data: num_episodes, num_steps, distinct_observations, distinct_per_episode (mean),
        visited (share of what is reachable), reachable (its number), reachable_kind ("reachable
        states", "reachable observations" where some states look alike, "free cells"), all None
        where not known, longest_joined, longest_joined_by ("shortest way" or "env steps"), and for
        each level in `clips` its env_steps, clips, and share of the episodes that hold one.
    """
    num_episodes = num_steps = num_distinct = num_frames = joined_by_walk = 0
    clips, holders = np.zeros((2, len(needs)), np.int64)
    joined: float | None = None
    seen: dict[str, Any] = {}
    distances: np.ndarray | None = None
    for number, chunk in enumerate(chunks):
        if number == 0:
            num_frames = len(chunk.frames)
            is_grid = chunk.spec.kind == "grid"
            distances = _frame_distances(task, chunk.frames) if is_grid else None
            seen = visited(task, chunk.frames)
        num_episodes += chunk.num_episodes
        num_steps += chunk.num_steps
        num_distinct += int(_distinct_per_episode(chunk).sum())
        clips += np.array([chunk.windows_of(need) for need in needs], np.int64)
        holders += np.array([(chunk.lengths >= need).sum() for need in needs], np.int64)
        joined_by_walk = max(joined_by_walk, _longest_walk(chunk))
        if distances is not None:
            joined = max(joined or 0.0, _longest_joined(chunk, distances))
    return {
        "num_episodes": num_episodes,
        "num_steps": num_steps,
        "distinct_observations": num_frames,
        "distinct_per_episode": num_distinct / num_episodes,
        **seen,
        "longest_joined": joined_by_walk if joined is None else joined,
        "longest_joined_by": "env steps" if joined is None else "shortest way",
        "clips": [
            {"env_steps": int(need), "clips": int(count), "episodes": float(held / num_episodes)}
            for need, count, held in zip(needs, clips, holders, strict=True)
        ],
    }


def visited(task: Any, frames: np.ndarray) -> dict[str, Any]:
    """How much of what is reachable a dataset shows.

    Args:
        task: may be `ListsStates` or `HasPlaces`.
        frames: (U, *obs_shape) its distinct observations.

    Returns:
        visited, reachable and reachable_kind of `coverage`.
    """
    share = number = kind = None
    if isinstance(task, HasPlaces):
        chunks = np.array_split(frames, 1 + len(frames) // _AT_ONCE)
        cells = set().union(*(task.places(chunk).tolist() for chunk in chunks))
        number, kind = task.num_places, "free cells"
        share = len(cells) / number
    elif isinstance(task, ListsStates) and (states := task.reachable_states) is not None:
        looks: set[bytes] = set()
        for chunk in np.array_split(states, 1 + len(states) // _AT_ONCE):
            looks.update(look.tobytes() for look in task.observe(chunk))
        what = "states" if len(looks) == len(states) else "observations"
        number, kind = len(looks), f"reachable {what}"
        share = sum(frame.tobytes() in looks for frame in frames) / number
    return {"visited": share, "reachable": number, "reachable_kind": kind}


def write_coverage(folder: Path, task: Any, needs: Sequence[int]) -> list[str]:
    """Measures a dataset on disk, keeps the report beside it as `coverage.json`.

    Args:
        folder: of the dataset.
        task, needs: as in `coverage`.

    Returns:
        Lines for a person: how much it is, and what it covers.
    """
    report = coverage(stored_chunks(folder), task, needs)
    write_atomically(folder / COVERAGE_FILE, json.dumps(report, indent=1) + "\n")
    total = (
        f"{report['num_episodes']} episodes, {report['num_steps']} env steps, "
        f"{report['distinct_observations']} distinct observations"
    )
    return [total, *coverage_lines(report)]


def coverage_lines(report: dict[str, Any]) -> list[str]:
    """The report as lines for a person."""
    if report["visited"] is None:
        share = f"{report['distinct_observations']} distinct observations of an unknown number"
    else:
        number, kind = report["reachable"], report["reachable_kind"]
        share = f"{report['visited']:.1%} of the {number} {kind} visited"
    joined = f"{report['longest_joined']:.0f} env steps"
    if report["longest_joined_by"] == "shortest way":
        joined = f"states up to {joined} apart, on the shortest way, joined by one episode"
    else:
        joined = f"up to {joined} walked in one episode"
    return [
        f"covers: {share}, {report['distinct_per_episode']:.0f} observations in an episode",
        f"covers: {joined}",
        *(
            f"covers: level {k} learns from clips of {level['env_steps']} env steps: "
            f"{level['clips']} of them, in {level['episodes']:.0%} of the episodes"
            for k, level in enumerate(report["clips"])
        ),
    ]


def _distinct_per_episode(chunk: EpisodeStore) -> np.ndarray:
    """(E,) how many different observations each episode has."""
    ordered = np.sort(np.where(_is_seen(chunk), chunk.frame_index, -1), axis=1)
    changes = np.diff(ordered, axis=1, prepend=-1) != 0
    return changes.sum(axis=1)


def _longest_walk(chunk: EpisodeStore) -> int:
    """Most env steps between two observations of an episode that differ."""
    index, seen = chunk.frame_index, _is_seen(chunk)
    rows = np.arange(len(index))
    last = index[rows, chunk.lengths]
    from_start = np.where(seen & (index != index[:, :1]), np.arange(index.shape[1]), 0).max()
    steps_to_last = chunk.lengths[:, None] - np.arange(index.shape[1])
    to_end = np.where(seen & (index != last[:, None]), steps_to_last, 0).max()
    return int(max(from_start, to_end))


def _longest_joined(chunk: EpisodeStore, distances: np.ndarray) -> float:
    """The largest fall of a distance, (L, U), NaN where not known, within one episode.

    Where chance decides, or is seen late, a distance falls by more than the steps that were taken,
    which no shortest way is longer than.
    """
    seen, largest = _is_seen(chunk), 0.0
    for to_landmark in distances:
        along = np.where(seen, to_landmark[chunk.frame_index], np.nan)
        farthest = np.maximum.accumulate(np.where(np.isnan(along), -np.inf, along), axis=1)
        fall = farthest - np.where(np.isnan(along), np.inf, along)
        largest = max(largest, float(np.minimum(fall, chunk.lengths[:, None]).max()))
    return largest


def _is_seen(chunk: EpisodeStore) -> np.ndarray:
    """(E, T + 1) bool: not padding."""
    return np.arange(chunk.frame_index.shape[1]) <= chunk.lengths[:, None]


def _frame_distances(task: Any, frames: np.ndarray) -> np.ndarray | None:
    """(L, U) env steps of each frame to L landmarks, NaN where not known; None where none is."""
    if isinstance(task, HasGridWorld) and isinstance(task.world, GridWorld):
        observations, steps = _landmark_distances(task.world)
    elif isinstance(task, KnowsDistances):
        observations, steps = task.distances_to_a_goal(_MOST_STATES)
    else:
        return None
    known = np.where(np.atleast_2d(steps) < 0, np.nan, np.atleast_2d(steps))
    first, number = distinct(observations.reshape(len(observations), -1))
    # What looks the same at several distances tells none.
    shown = known[:, first[number]]
    is_told = ((known == shown) | (np.isnan(known) & np.isnan(shown))).all(0)
    is_told = np.bincount(number, ~is_told, len(first)) == 0
    column = {observations[i].tobytes(): i for i in first[is_told]}
    columns = np.array([column.get(frame.tobytes(), -1) for frame in frames])
    if (columns < 0).all():
        return None
    return np.where(columns < 0, np.nan, known[:, columns])


def _landmark_distances(world: GridWorld) -> tuple[np.ndarray, np.ndarray]:
    """(S, ...) observations of all states, and their (L, S) env steps to cells spread evenly."""
    numbers = np.linspace(0, world.num_land_cells - 1, min(_MOST_LANDMARKS, world.num_land_cells))
    cells = world.cells[numbers.astype(int)]
    return world.frames(), np.stack([optimal_steps_to_cell(world, tuple(c)) for c in cells])
