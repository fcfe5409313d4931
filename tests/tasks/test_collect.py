"""Collection: determinism, truth to the world, and the wandering itself."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from hplan.config import DataConfig
from hplan.dataset import CollectionStopped
from hplan.joining import joined
from tasks import Wanderer, build_task
from tasks.collect import EPISODES_PER_CHUNK, Collection, behaviour_of, collect, collect_chunks
from tasks.simulator import FORWARD
from tasks.sources import data_source

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
        collect(TASK, num_episodes=E, episode_length=T, seed=seed) for seed in (0, 0, 1)
    )
    assert _same(first, again)
    assert not np.array_equal(first.actions, other.actions)
    digest = hashlib.sha256(b"".join(array.tobytes() for array in _arrays(first)[:3]))
    # Of another version of numpy or of us: runs trained before then had other data.
    assert digest.hexdigest().startswith("6eace4c5c006d6d3")


def test_data_do_not_depend_on_the_number_of_workers():
    stores = [
        collect(
            TASK,
            num_episodes=2 * EPISODES_PER_CHUNK + E,
            episode_length=5,
            seed=0,
            num_workers=workers,
        )
        for workers in (1, 2)
    ]
    assert _same(*stores)
    first, second = np.split(stores[0].actions[: 2 * EPISODES_PER_CHUNK], 2)
    assert not np.array_equal(first, second), "two chunks drew the same walks"


def test_observations_follow_from_actions():
    store = collect(TASK, num_episodes=E, episode_length=T, seed=0)
    visited = _visited(store)
    assert np.array_equal(TASK.world.transitions[visited[:, :-1], store.actions], visited[:, 1:])
    assert len(np.unique(visited[:, 0])) > E // 2, "episodes should start in many places"


def test_frames_are_distinct_and_in_order_of_first_occurrence():
    store = collect(TASK, num_episodes=E, episode_length=T, seed=0)
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
    store = collect(task, num_episodes=2, episode_length=3, seed=11)
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


def test_behaviour_names_what_wanders():
    named = {"policy": "tasks.wander.Wanderer"}
    assert behaviour_of(Wanderer(bump_probability=0.1)) == {
        **named,
        "forward_probability": 0.7,
        "bump_probability": 0.1,
        "turn_persistence": 0.8,
        "lava_probability": 0.1,
    }
    assert behaviour_of(Wanderer) == named
    assert behaviour_of("mine.Policy") == {"policy": "mine.Policy"}
    assert behaviour_of(behaviour_of) == {"policy": "tasks.collect.behaviour_of"}


def test_a_collection_is_what_collect_gives_from_any_chunk_on():
    task = replace(TASK, episodes_per_chunk=13)
    settings = {"num_episodes": E, "episode_length": T, "seed": 0}
    source = Collection(task=task, **settings)
    whole = collect(task, **settings)
    assert source.metadata() == whole.metadata
    assert _same(joined(source.chunks(0), {}), whole)
    rest = [chunk.actions for chunk in source.chunks(1)]
    assert [len(actions) for actions in rest] == [13, 5]
    assert np.array_equal(np.concatenate(rest), whole.actions[13:])
    assert list(source.chunks(3)) == []
    assert _same(source.held_out(7, 5), collect(task, num_episodes=7, episode_length=T, seed=5))


def test_a_policy_takes_the_place_of_the_tasks_own():
    policy = Wanderer(forward_probability=0.0, bump_probability=0.0)
    source = Collection(task=TASK, num_episodes=3, episode_length=T, seed=0, policy=policy)
    (chunk,) = source.chunks(0)
    held_out = source.held_out(3, 1)
    assert (chunk.actions != FORWARD).all() and (held_out.actions != FORWARD).all()
    assert source.metadata()["behaviour"]["forward_probability"] == 0.0
    with pytest.raises(
        ValueError, match="wanders by itself, with a tasks.wander.Wanderer; 'my.Policy'"
    ):
        next(Collection(**{**vars(source), "policy": "my.Policy"}).chunks(0))


class Silent:
    """A task that does not wander."""

    name, layout_seed, spec = "silent", 0, TASK.spec


def test_a_task_that_does_not_wander_needs_a_dataset():
    source = data_source(Silent(), DataConfig(num_episodes=3, episode_length=T), seed=0)
    assert source.held_out(3, 1) is None
    with pytest.raises(ValueError, match="'silent' has no behaviour policy to collect with; give"):
        source.metadata()
    with pytest.raises(ValueError, match="give one of them"):
        data_source(TASK, DataConfig(minari="a/b-v0", policy="mine.Policy"), seed=0)


class Fragile:
    """A task that breaks in the process that collects its second chunk."""

    name, layout_seed, episodes_per_chunk = "fragile", 0, 2
    behaviour: ClassVar = {}

    def __init__(self, kills: bool) -> None:
        self.kills = kills

    def wander(self, num_episodes, episode_length, generator, policy=None):
        if num_episodes == 2:
            return TASK.wander(num_episodes, episode_length, generator)
        if self.kills:
            os._exit(1)
        kept = TASK.wander(num_episodes, episode_length, generator)
        raise CollectionStopped("task 'fragile' broke at env step 7.", kept)


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "message"), [(False, "broke at env step 7"), (True, "killed")])
def test_what_breaks_in_another_process_is_told_and_its_episodes_come(kills, message):
    chunks = collect_chunks(Fragile(kills), num_episodes=3, episode_length=T, seed=0, num_workers=2)
    with pytest.raises(CollectionStopped, match=message) as error:
        list(chunks)
    assert kills or error.value.kept.num_episodes == 1


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("num_workers", [1, 2])
def test_ctrl_c_ends_every_process(tmp_path, num_workers):
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    process = subprocess.Popen(
        [sys.executable, str(script), str(num_workers)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert process.stdout.readline() == "collecting\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "stopped\n"
    with pytest.raises(ProcessLookupError):
        while True:  # those that wind up the others leave a moment later
            os.killpg(process.pid, 0)
            time.sleep(0.05)


ENDLESS = """
import sys
from tasks import build_task
from tasks.collect import collect_chunks

if __name__ == "__main__":
    chunks = collect_chunks(
        build_task("rooms", 0), num_episodes=10**8, episode_length=150, seed=0,
        num_workers=int(sys.argv[1]),
    )
    try:
        for number, _ in enumerate(chunks):
            if number == 1:
                print("collecting", flush=True)
    except KeyboardInterrupt:
        chunks.close()
        print("stopped")
"""

PEAK = """
import resource, sys
from pathlib import Path
from hplan.dataset_writer import DatasetWriter
from tasks import build_task
from tasks.collect import collect_chunks

task, number, length = build_task(sys.argv[1], 0), int(sys.argv[2]), int(sys.argv[3])
with DatasetWriter(Path(sys.argv[4]), metadata={}, asked={}) as writer:
    for chunk in collect_chunks(task, num_episodes=number, episode_length=length, seed=0):
        writer.append(chunk)
    writer.finish()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "count", "length", "most_kib"),
    [
        # In memory 45,000 more episodes would take 34 MB, and twice that while they are joined.
        ("rooms", 5_000, 150, 8_000),
        # 5,400 more would take 62 MB; a chunk takes 3.
        ("gym:tests.tasks.gym_corridor:CorridorWideForce-v0", 600, 20, 20_000),
    ],
)
def test_memory_does_not_grow_with_the_number_of_episodes(tmp_path, name, count, length, most_kib):
    kib = [
        int(
            subprocess.run(
                [sys.executable, "-c", PEAK, name, str(number), str(length), str(tmp_path / part)],
                capture_output=True,
                check=True,
                text=True,
            ).stdout
        )
        for part, number in (("less", count), ("more", 10 * count))
    ]
    assert kib[1] - kib[0] < most_kib, kib


@pytest.mark.parametrize("name", ["num_episodes", "episode_length", "num_workers"])
def test_impossible_numbers_are_refused(name):
    numbers = {"num_episodes": 2, "episode_length": 3, "num_workers": 1, name: 0}
    with pytest.raises(ValueError, match=f"{name} = 0 must be at least 1"):
        collect(TASK, seed=0, **numbers)


def test_chances_outside_zero_to_one_are_refused():
    with pytest.raises(ValueError, match="wanderer.turn_persistence = 1.2 is outside"):
        Wanderer(turn_persistence=1.2)
