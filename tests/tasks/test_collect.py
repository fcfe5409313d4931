"""Collection: determinism, truth to the world, and the wandering itself."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from tasks import Wanderer, build_task
from tasks.collect import EPISODES_PER_CHUNK, collect
from tasks.simulator import FORWARD

E, T = 31, 37
TASK = build_task("rooms-tiny", 0)


def _arrays(store):
    return (store.frames, store.frame_index, store.actions, store.lengths)


def _same(first, second) -> bool:
    return all(map(np.array_equal, _arrays(first), _arrays(second)))


def _visited(store) -> np.ndarray:
    """(E, T + 1): state index of each observation, found by looking for the agent in it."""
    agent = store.frames[..., 0] == 10
    assert (agent.sum(axis=(1, 2)) == 1).all()
    frame, x, y = np.nonzero(agent)
    states = np.column_stack([x, y, store.frames[frame, x, y, 2]])
    return TASK.world.state_index(states)[store.frame_index]


def test_seed_decides_the_data():
    first, again, other = (
        TASK.collect(num_episodes=E, episode_length=T, seed=seed) for seed in (0, 0, 1)
    )
    assert _same(first, again)
    assert not np.array_equal(first.actions, other.actions)
    digest = hashlib.sha256(b"".join(array.tobytes() for array in _arrays(first)[:3]))
    # Of another version of numpy or of us: runs trained before then had other data.
    assert digest.hexdigest().startswith("6eace4c5c006d6d3")


def test_data_do_not_depend_on_the_number_of_workers():
    stores = [
        TASK.collect(
            num_episodes=2 * EPISODES_PER_CHUNK + E, episode_length=5, seed=0, num_workers=workers
        )
        for workers in (1, 2)
    ]
    assert _same(*stores)
    first, second = np.split(stores[0].actions[: 2 * EPISODES_PER_CHUNK], 2)
    assert not np.array_equal(first, second), "two chunks drew the same walks"


def test_observations_follow_from_actions():
    store = TASK.collect(num_episodes=E, episode_length=T, seed=0)
    visited = _visited(store)
    assert np.array_equal(TASK.world.transitions[visited[:, :-1], store.actions], visited[:, 1:])
    assert len(np.unique(visited[:, 0])) > E // 2, "episodes should start in many places"


def test_frames_are_distinct_and_in_order_of_first_occurrence():
    store = TASK.collect(num_episodes=E, episode_length=T, seed=0)
    assert len({frame.tobytes() for frame in store.frames}) == len(store.frames)
    _, first = np.unique(store.frame_index, return_index=True)
    assert len(first) == len(store.frames) and (np.diff(first) > 0).all()


def test_wanderer_walks_bumps_and_turns_as_often_as_it_says():
    wanderer = Wanderer(forward_probability=0.6, bump_probability=0.2, turn_persistence=0.9)
    store = collect(TASK, num_episodes=300, episode_length=97, seed=0, policy=wanderer)
    blocked = TASK.world.blocked[_visited(store)[:, :-1]]
    forward = store.actions == FORWARD
    assert forward[~blocked].mean() == pytest.approx(0.6, abs=0.02)
    assert forward[blocked].mean() == pytest.approx(0.2, abs=0.02)
    kept = [np.diff(row[row != FORWARD]) == 0 for row in store.actions]
    assert np.concatenate(kept).mean() == pytest.approx(0.9, abs=0.02)


def test_metadata_tell_the_origin():
    wanderer = Wanderer(bump_probability=0.3)
    task = replace(TASK, wanderer=wanderer)
    store = task.collect(num_episodes=2, episode_length=3, seed=11)
    assert store.metadata.pop("version")
    assert store.metadata == {
        "task": "rooms-tiny",
        "layout_seed": 0,
        "seed": 11,
        "behaviour": {
            "policy": "tasks.wander.Wanderer",
            "forward_probability": 0.7,
            "bump_probability": 0.3,
            "turn_persistence": 0.8,
            "lava_probability": 0.1,
        },
    }


@pytest.mark.parametrize("name", ["num_episodes", "episode_length", "num_workers"])
def test_impossible_numbers_are_refused(name):
    numbers = {"num_episodes": 2, "episode_length": 3, "num_workers": 1, name: 0}
    with pytest.raises(ValueError, match=f"{name} = 0 must be at least 1"):
        TASK.collect(seed=0, **numbers)


def test_chances_outside_zero_to_one_are_refused():
    with pytest.raises(ValueError, match="wanderer.turn_persistence = 1.2 is outside"):
        Wanderer(turn_persistence=1.2)
