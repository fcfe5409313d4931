"""What a dataset covers, counted by hand."""

import json

import numpy as np
import pytest

from hplan.dataset import EpisodeStore, ObservationSpec
from hplan.joining import joined
from tasks import build_task
from tasks.coverage import coverage, coverage_lines
from tasks.oracle import optimal_steps

TASK = build_task("rooms-tiny", 0)


class Line:
    """Positions 0 to 9 in a row, of which nothing is known but which there are."""

    reachable_states = np.arange(10).reshape(-1, 1, 1, 1)

    def observe(self, states):
        return states.astype(np.uint8)


class Blurred(Line):
    """Of which 8 and 9 look the same."""

    def observe(self, states):
        return np.minimum(states, 8).astype(np.uint8)


class Lost(Line):
    """Of which it does not know the positions after all."""

    reachable_states = None


class Halves:
    """The same in two places."""

    num_places = 4

    def places(self, obs):
        return obs[:, 0, 0, 0] // 5


class KnownLine(Line):
    """The distances are known, but of position 7."""

    def distances_to_a_goal(self, num_states):
        known = np.array([0, 1, 2, 3, 4, 5, 6, 8, 9])
        return known.astype(np.uint8).reshape(-1, 1, 1, 1), known


def _store(*walks):
    """Episodes that were at these positions; the frames are those of all positions up to 8."""
    longest = max(map(len, walks))
    index = np.zeros((len(walks), longest), np.int32)
    for row, walk in zip(index, walks, strict=True):
        row[: len(walk)] = walk
    return EpisodeStore(
        frames=np.arange(9, dtype=np.uint8).reshape(-1, 1, 1, 1),
        frame_index=index,
        actions=np.zeros((len(walks), longest - 1), np.int8),
        lengths=np.array([len(walk) - 1 for walk in walks]),
        spec=ObservationSpec(shape=(1, 1, 1), num_values=(10,), num_actions=2),
    )


CHUNKS = [_store([8, 7, 6, 5], [0, 1, 2, 3, 4, 5, 6]), _store([3, 3, 3], [4, 3, 4, 3])]


def test_what_is_counted():
    report = coverage(CHUNKS, Line(), [1, 3, 6, 7])
    assert json.loads(json.dumps(report)) == report == {
        "num_episodes": 4,
        "num_steps": 14,
        "distinct_observations": 9,
        "distinct_per_episode": (4 + 7 + 1 + 2) / 4,
        "visited": 0.9,
        "reachable": 10,
        "reachable_kind": "reachable states",
        "longest_joined": 6,
        "longest_joined_by": "env steps",
        "clips": [
            {"env_steps": 1, "clips": 14, "episodes": 1.0},
            {"env_steps": 3, "clips": 6, "episodes": 0.75},
            {"env_steps": 6, "clips": 1, "episodes": 0.25},
            {"env_steps": 7, "clips": 0, "episodes": 0.0},
        ],
    }  # fmt: skip


def test_known_distances_are_joined_forwards_only():
    report = coverage(CHUNKS, KnownLine(), [1])
    # From 8 down to 5; the walk from 0 up to 6 does not come nearer to the goal at 0.
    assert (report["longest_joined"], report["longest_joined_by"]) == (3, "shortest way")


@pytest.mark.parametrize("task", [object(), Lost()])
def test_what_is_not_known_is_not_told(task):
    report = coverage(CHUNKS, task, [])
    assert report["visited"] is None and report["reachable"] is None
    assert coverage_lines(report) == [
        "covers: 9 distinct observations of an unknown number, 4 observations in an episode",
        "covers: up to 6 env steps walked in one episode",
    ]


def test_what_looks_the_same_is_visited_at_once_and_places_are_counted_by_themselves():
    report = coverage(CHUNKS, Blurred(), [])
    assert (report["visited"], report["reachable"]) == (1.0, 9)
    assert "100.0% of the 9 reachable observations visited" in coverage_lines(report)[0]
    report = coverage(CHUNKS, Halves(), [])
    assert "50.0% of the 4 free cells visited" in coverage_lines(report)[0]


def test_in_a_world_of_rooms_the_longest_way_is_found():
    chunks = [TASK.wander(20, 37, np.random.default_rng(seed)) for seed in range(2)]
    store = joined(chunks, {})
    report = coverage([store], TASK, [5])
    assert report["reachable"] == TASK.world.num_states
    assert report["visited"] == len(store.frames) / TASK.world.num_states
    states = TASK.world.all_states[
        [
            {frame.tobytes(): i for i, frame in enumerate(TASK.world.frames())}[frame.tobytes()]
            for frame in store.frames
        ]
    ]
    longest = max(
        optimal_steps(
            TASK.world,
            np.repeat(states[store.frame_index[episode, t]][None], 37 - t, 0),
            states[store.frame_index[episode, t + 1 :]],
        ).max()
        for episode in range(store.num_episodes)
        for t in range(37)
    )
    assert longest - 3 <= report["longest_joined"] <= longest
    lines = coverage_lines(report)
    assert f"of the {TASK.world.num_states} reachable states visited" in lines[0]
    assert lines[1].endswith("apart, on the shortest way, joined by one episode")
    assert "clips of 5 env steps" in lines[2]


@pytest.mark.parametrize("kind", ["vector", "pixels"])
def test_other_observations_are_walked(kind):
    shape = (2,) if kind == "vector" else (2, 2, 3)
    spec = ObservationSpec(kind=kind, shape=shape, num_actions=2)
    store = EpisodeStore(
        frames=np.zeros((4, *shape), spec.dtype),
        frame_index=np.arange(4, dtype=np.int32)[None],
        actions=np.zeros((1, 3), np.int8),
        lengths=np.array([3]),
        spec=spec,
    )
    assert coverage([store], TASK, [])["longest_joined_by"] == "env steps"


class Aliased(Line):
    """Two ends of a line look the same; a step of chance leads from 40 env steps away to 1."""

    def distances_to_a_goal(self, num_states):
        looks, steps = np.array([0, 1, 2, 3, 0]), np.array([90, 40, 2, 1, 0])
        return looks.astype(np.uint8).reshape(-1, 1, 1, 1), steps


def test_looks_of_several_distances_and_leaps_of_chance_are_no_way():
    assert coverage([_store([0, 3]), _store([1, 2, 3])], Aliased(), [])["longest_joined"] == 2
