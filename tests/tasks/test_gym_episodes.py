"""Any gymnasium environment as a task: what is seen, done and collected, and what stops that."""

from dataclasses import replace

import numpy as np
import pytest

from hplan.config import DataConfig
from hplan.dataset import CollectionStopped
from hplan.episodes import run_random
from tasks.collect import collect
from tasks.gymnasium_envs.behaviour import RESET_SEEDS
from tasks.gymnasium_envs.pairs import told_seeds
from tasks.gymnasium_envs.task import make_gym_task
from tasks.sources import data_source
from tests.tasks import gym_corridor
from tests.tasks.corridor_tasks import E, T, corridor, episodes, with_data
from tests.tasks.gym_corridor import PATH

KINDS = {"Box": "vector", "Discrete": "vector", "MultiDiscrete": "vector", "Dict": "vector"}
SHAPES = {"Box": (3,), "Discrete": (10,), "MultiDiscrete": (7,), "Dict": (10,)}


@pytest.mark.parametrize("force", ["", "Force"])
@pytest.mark.parametrize("shown", ["Box", "Discrete", "MultiDiscrete", "Dict", "Image"])
def test_the_same_seeds_and_actions_show_the_same(shown: str, force: str) -> None:
    task = corridor(shown + force)
    assert task.spec.kind == KINDS.get(shown, "pixels")
    assert task.spec.shape == SHAPES.get(shown, (32, 40, 3))
    assert task.spec.num_actions == (0 if force else 2)
    store = episodes(task)
    assert store.num_episodes == E and 1 < len(store.frames) <= store.num_steps + E
    batch = task.batch(told_seeds(store, task.name, task.episodes_per_chunk))
    for now in range(T + 1):
        running = now <= store.lengths
        seen = store.frames[store.frame_index[:, min(now, store.actions.shape[1])]]
        assert np.array_equal(batch.observe()[running], seen[running])
        if now < store.actions.shape[1]:
            batch.step(store.actions[:, now])


def test_data_that_is_collected_in_chunks_tells_its_reset_seeds() -> None:
    task = corridor("Image", goal_offset=1)  # of which a chunk has few episodes
    many = task.episodes_per_chunk + 2
    store = collect(task, num_episodes=many, episode_length=2, seed=4)
    assert len(task.with_episodes(store).reset_seeds) == store.num_episodes == many
    renamed = replace(store, metadata={**store.metadata, "task": "another"})
    assert task.with_episodes(renamed).reset_seeds is None


@pytest.mark.parametrize("listed", [[2**64 - 1, 5], [None, 5]])
def test_a_dataset_of_others_may_list_its_reset_seeds(listed: list[int | None]) -> None:
    task = corridor("Discrete")
    known = [seed for seed in listed if seed is not None]
    first = [task.batch(np.array([seed], np.uint64).astype(np.int64)).observe() for seed in known]
    store = episodes(task, count=2)
    frames = np.concatenate([*first, first[0]])[:2]
    store = replace(
        store,
        frames=np.concatenate([frames, store.frames]),
        frame_index=np.column_stack([[0, 1], store.frame_index[:, 1:] + 2]).astype(np.int32),
        metadata={RESET_SEEDS: listed},
    )
    seeds = task.with_episodes(store).reset_seeds
    assert (seeds is None) if None in listed else (seeds.tolist() == [-1, 5])


def test_reset_seeds_that_give_other_starts_are_not_used(caplog) -> None:
    task = corridor("Discrete")
    store = episodes(task, count=20)
    wrong = replace(store, metadata={RESET_SEEDS: [7] * 20})
    other = task.with_episodes(wrong)
    starts = other.suite(episodes_per_bin=3, seed=0).starts
    assert other.reset_seeds is None and 7 not in starts and "reset seeds" in caplog.text
    assert "upper bound" in task.with_episodes(store).reference
    assert "no optimum" in other.reference


def test_an_episode_that_the_environment_ended_stays_as_it_was() -> None:
    task = corridor()
    batch = task.batch(np.arange(3))
    for _ in range(10):
        batch.step(np.ones(3, np.int64))
    assert np.allclose(batch.observe()[:, 0], 0.9)
    batch.step(np.zeros(3, np.int64))
    assert np.allclose(batch.observe()[:, 0], 0.9)


def test_an_episode_that_is_over_is_not_stepped_on() -> None:
    task = corridor("Raises").with_episodes(with_data(corridor()).episodes)
    starts, goals = np.arange(20), np.full((20, 3), 9.0, np.float32)
    cells = np.rint(10 * task.batch(starts).observe()[:, 0])
    fails = np.isin(cells, gym_corridor.FAILING_STARTS)
    budgets = np.where(fails, 6, 12)  # they raise at env step 7
    found = run_random(task, starts, goals, budgets, seed=0)
    assert 0 < fails.sum() < 20 and found.env_steps.tolist() == budgets.tolist()


def test_the_registered_time_limit_ends_episodes_of_data_but_no_evaluation() -> None:
    task = corridor()
    store = task.wander(2, 100, np.random.default_rng(0), f"{PATH}.Left")
    assert store.lengths.tolist() == [30, 30]
    batch = task.batch(np.arange(2))
    for _ in range(31):
        batch.step(np.zeros(2, np.int64))
    assert not any(moment.is_last for moment in batch.states)


def test_parts_of_observations_that_are_left_out_are_named_before_data_are_made(capsys) -> None:
    for task in (corridor("Dict"), make_gym_task("gym:minigrid:MiniGrid-Empty-5x5-v0", 0)):
        data_source(task, DataConfig(), seed=0)
    said = "observations: grid 7x7x3 from key image; ignored: direction, mission\n"
    assert capsys.readouterr().out == said


def test_wandering_is_a_function_of_its_arguments() -> None:
    task = corridor("BoxForce")
    first, again, other = (episodes(task, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.actions, again.actions)
    assert np.array_equal(first.frames, again.frames)
    assert not np.array_equal(first.actions, other.actions)
    fewer = task.wander(3, T, np.random.default_rng(0))
    assert fewer.metadata[RESET_SEEDS] == first.metadata[RESET_SEEDS][:3]


@pytest.mark.parametrize("policy", [gym_corridor.Right, f"{PATH}.Right"])
def test_a_policy_of_ones_own_acts(policy) -> None:
    store = episodes(corridor("Dict"), policy)
    steps = np.arange(store.actions.shape[1]) < store.lengths[:, None]
    assert (store.actions[steps] == 1).all() and set(store.lengths) <= {3, 4, 5, 6}


def test_random_walks_persist_and_cover() -> None:
    task = corridor()
    store = task.wander(40, 30, np.random.default_rng(0))
    is_pair = np.arange(1, store.actions.shape[1]) < store.lengths[:, None]
    changes = (np.diff(store.actions, axis=1) != 0)[is_pair].mean()
    assert 0.06 < changes < 0.2  # one in four is drawn anew, and half of these are the same again
    assert task.behaviour["policy"].endswith("RandomWalk") and task.behaviour["hold"] == 4
    store = corridor("BoxForce").wander(40, 30, np.random.default_rng(0))
    forces = store.actions[:, :, 0]
    is_pair = np.arange(1, forces.shape[1]) < store.lengths[:, None]
    assert np.corrcoef(forces[:, :-1][is_pair], forces[:, 1:][is_pair])[0, 1] > 0.5
    assert forces.min() < -1.9 and forces.max() > 1.9


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("Raises", "RuntimeError: the floor gave way at env step 7"),
        ("Nan", "nan at"),
        ("NoReward", "returned reward = None, which is no number at env step 5 of"),
        ("NanReward", "returned reward = nan, which is no number at env step 5 of"),
        ("Rewards", "returned reward = array([0., 1.]), which is no number at env step 5 of"),
        ("Ends", "returned terminated = array([ True, False]), which is no number at env step 5"),
        ("NoInfo", "returned info = None, which is no dict at env step 5 of"),
    ],
)
def test_an_environment_that_fails_stops_the_collection(shown: str, said: str) -> None:
    task = corridor(shown)
    with pytest.raises(CollectionStopped) as stopped:
        episodes(task, f"{PATH}.Left")
    text, kept = str(stopped.value), stopped.value.kept
    assert task.name in text and said in text and "\n" not in text
    assert f"env step {7 if shown == 'Raises' else 5} of episode {kept.num_episodes} " in text
    whole = episodes(task, f"{PATH}.Left", count=kept.num_episodes)
    assert kept.num_episodes >= 1 and np.array_equal(kept.frames, whole.frames)


@pytest.mark.parametrize(
    ("shown", "step"), [("Raises", 7), *((name, 5) for name in ("Nan", *gym_corridor.WRONG))]
)
def test_an_environment_that_fails_stops_the_evaluation(shown: str, step: int) -> None:
    task = corridor(shown)
    starts = np.arange(20)
    batch = task.batch(starts)
    cells = np.rint(10 * batch.observe()[:, 0]).astype(int)
    failing = int(np.flatnonzero(np.isin(cells, gym_corridor.FAILING_STARTS))[0])
    with pytest.raises(ValueError, match=f"at env step {step} of env {failing} ") as stopped:
        for _ in range(step):
            batch.step(np.zeros(20, np.int64))
    assert task.name in str(stopped.value) and "\n" not in str(stopped.value)


@pytest.mark.parametrize("value", [3, 0, 1.5, None, "left", [2], np.nan])
def test_an_action_outside_the_space_stops_the_collection(value, monkeypatch) -> None:
    monkeypatch.setattr(gym_corridor.Outside, "value", value)
    with pytest.raises(CollectionStopped, match="at env step 3 of episode 0 ") as stopped:
        episodes(corridor(), gym_corridor.Outside)
    assert f"the action {value!r}, outside Discrete(2, start=1)" in str(stopped.value)
    assert stopped.value.kept is None


@pytest.mark.parametrize("value", [[2.5], 1.0, [np.nan]])
def test_a_force_outside_the_bounds_stops_the_collection(value, monkeypatch) -> None:
    monkeypatch.setattr(gym_corridor.Outside, "value", value)
    monkeypatch.setattr(gym_corridor.Outside, "__call__", lambda self, observation: value)
    with pytest.raises(CollectionStopped, match="at env step 1 .*") as stopped:
        episodes(corridor("BoxForce"), gym_corridor.Outside)
    assert repr(value) in str(stopped.value)


def test_a_policy_that_fails_stops_the_collection() -> None:
    with pytest.raises(CollectionStopped, match="the policy raised ZeroDivisionError.* step 3 of"):
        episodes(corridor(), gym_corridor.Broken)
    with pytest.raises(ValueError, match="data.policy = 'nowhere.Class'"):
        episodes(corridor(), "nowhere.Class")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gym:Acrobat-v1", "no such environment; did you mean Acrobot-v1?"),
        ("gym:no_such_package:Foo-v0", "needs a package that is missing"),
        (f"gym:{PATH}:CorridorText-v0", "observations Text"),
        ("gym:Blackjack-v1x", "no such environment"),
    ],
)
def test_an_environment_that_cannot_be_taken_is_refused_in_one_line(name: str, said: str) -> None:
    with pytest.raises(ValueError) as refused:
        make_gym_task(name, 0)
    assert name in str(refused.value) and said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("shown", ["Box", "Image"])
def test_pictures_show_what_differs(shown: str) -> None:
    for task in (corridor(shown), with_data(corridor(shown))):
        a, b = (task.picture(obs) for obs in episodes(task).frames[:2])
        assert a.dtype == np.uint8 and a.shape[2] == 3 and a.shape == b.shape
        assert (a != b).any()
