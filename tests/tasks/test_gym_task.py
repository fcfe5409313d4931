"""Any gymnasium environment as a task: what is seen, done, collected, sought and refused."""

from dataclasses import replace

import numpy as np
import pytest

from hplan.dataset import CollectionStopped, EpisodeStore
from tasks.collect import collect
from tasks.gymnasium_envs.behaviour import RESET_SEEDS
from tasks.gymnasium_envs.pairs import told_seeds
from tasks.gymnasium_envs.task import GymTask, make_gym_task
from tests.tasks import gym_corridor

PATH = gym_corridor.PATH
E, T = 7, 23
KINDS = {"Box": "vector", "Discrete": "vector", "MultiDiscrete": "vector", "Dict": "vector"}
SHAPES = {"Box": (3,), "Discrete": (10,), "MultiDiscrete": (7,), "Dict": (10,)}


def corridor(shown: str = "Box", **options) -> GymTask:
    return make_gym_task(f"gym:{PATH}:Corridor{shown}-v0", 0, **options)


def episodes(task: GymTask, policy=None, seed: int = 0, count: int = E) -> EpisodeStore:
    return task.wander(count, T, np.random.default_rng(seed), policy)


def with_data(task: GymTask, policy=None) -> GymTask:
    return task.with_episodes(episodes(task, policy))


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


@pytest.mark.parametrize("shown", ["Box", "Discrete", "Dict", "ImageForce"])
def test_a_goal_is_reached_by_the_actions_of_its_episode(shown: str) -> None:
    task = with_data(corridor(shown, goal_offset=6, tolerance=0.01))
    suite = task.suite(episodes_per_bin=5, seed=0)
    assert suite.bins == (("near", 1, 3), ("far", 3, 6))
    assert set(suite.optimal_steps[:5]) <= {1, 2, 3} and set(suite.optimal_steps[5:]) <= {4, 5, 6}
    store = task.episodes
    rows = [task.reset_seeds.tolist().index(start) for start in suite.starts]
    batch = task.batch(suite.starts[:, None])
    assert not task.is_success(batch.states, suite.goals).any()
    reached = np.zeros(10, dtype=bool)
    for now in range(6):
        batch.step(store.actions[rows, now])
        arrived = task.is_success(batch.states, suite.goals)
        assert arrived[suite.optimal_steps == now + 1].all()
        reached |= arrived
    assert reached.all()
    assert np.array_equal(task.observe(suite.goals), suite.goals)
    assert np.array_equal(task.observe(batch.states), batch.observe())


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


def test_the_registered_time_limit_ends_episodes_of_data_but_no_evaluation() -> None:
    task = corridor()
    store = task.wander(2, 100, np.random.default_rng(0), f"{PATH}.Left")
    assert store.lengths.tolist() == [30, 30]
    batch = task.batch(np.arange(2))
    for _ in range(31):
        batch.step(np.zeros(2, np.int64))
    assert not any(moment.is_last for moment in batch.states)


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
    ("shown", "said"), [("Raises", "RuntimeError: the floor gave way at env step 7"),
                        ("Nan", "nan at")]
)  # fmt: skip
def test_an_environment_that_fails_stops_the_collection(shown: str, said: str) -> None:
    task = corridor(shown)
    with pytest.raises(CollectionStopped) as stopped:
        episodes(task, f"{PATH}.Left")
    text, kept = str(stopped.value), stopped.value.kept
    assert task.name in text and said in text and "\n" not in text
    assert f"env step {7 if shown == 'Raises' else 5} of episode {kept.num_episodes} " in text
    whole = episodes(task, f"{PATH}.Left", count=kept.num_episodes)
    assert kept.num_episodes >= 1 and np.array_equal(kept.frames, whole.frames)


@pytest.mark.parametrize(("shown", "step"), [("Raises", 7), ("Nan", 5)])
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
    ("options", "rule"),
    [
        ({}, "info['is_success']"),
        ({"success": "tolerance"}, "within 0.1 standard deviations"),
        ({"success": f"{PATH}.at_the_end"}, "at_the_end(observation, goal, info) is true"),
    ],
)
def test_success_is_what_its_rule_says(options: dict[str, str], rule: str) -> None:
    task = with_data(corridor("Flagged", **options))
    assert rule in task.success_rule
    batch = task.batch(np.arange(4))
    batch.step(np.ones(4, np.int64))
    near, far = batch.observe(), batch.observe() + np.float32(0.2)
    by_goal = "tolerance" in task.success_rule or "standard" in task.success_rule
    assert task.is_success(batch.states, near).tolist() == [by_goal] * 4
    assert not task.is_success(batch.states, far).any()
    for _ in range(6):
        batch.step(np.ones(4, np.int64))
    assert task.is_success(batch.states, far).tolist() == [not by_goal] * 4


def test_the_tolerance_is_in_standard_deviations_of_what_varies() -> None:
    task = with_data(corridor(tolerance=0.5))
    spread = task.episodes.sample().std(axis=0)
    assert spread[2] == 0
    state = task.batch(np.zeros(1, np.int64)).states
    seen = state[0].observation
    for away, reached in ((0.49, True), (0.51, False)):
        goal = seen + np.float32([away * spread[0], away * spread[1], 9.0])
        assert task.is_success(state, goal[None]).tolist() == [reached]


def test_without_a_flag_numbers_have_a_tolerance_and_symbols_none() -> None:
    assert "standard deviations" in corridor("Dict").success_rule
    assert corridor("Discrete").success_rule == "the observation equals the goal"
    with pytest.raises(ValueError, match="task.success = flag, but the environment's info"):
        corridor(success="flag")
    with pytest.raises(ValueError, match="task.success = 'near' is unknown"):
        corridor(success="near")
    task = with_data(corridor(success=f"{PATH}.never_seen"))
    with pytest.raises(ValueError, match="never_seen: it raised KeyError: 'arrived'; mend it"):
        task.suite(episodes_per_bin=1, seed=0)


def test_goals_of_ones_own_are_sought_from_fresh_starts() -> None:
    task = with_data(corridor(goal=f"{PATH}.last", goal_offset=9), f"{PATH}.Right")
    suite = task.suite(episodes_per_bin=6, seed=0)
    assert suite.bins == (("goal", 1, 9),) and (suite.optimal_steps == 9).all()
    assert np.allclose(suite.goals[:, 0], 0.9)
    assert not set(suite.starts.tolist()) & set(task.episodes.metadata[RESET_SEEDS])
    with pytest.raises(ValueError, match=r"wrong_shape returned \(1,\) numbers"):
        with_data(corridor(goal=f"{PATH}.wrong_shape")).suite(episodes_per_bin=1, seed=0)


def test_pairs_that_are_a_success_from_the_start_are_left_out_or_refused() -> None:
    with pytest.raises(ValueError, match="1 to 10 env steps away .* reached at the start"):
        with_data(corridor(tolerance=50.0)).suite(episodes_per_bin=3, seed=0)


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


def test_settings_that_do_not_hold_are_refused() -> None:
    for options, said in (
        ({"goal_offset": 0}, "task.goal_offset = 0"),
        ({"tolerance": -1.0}, "task.tolerance = -1"),
        ({"goal": "nowhere.goal"}, "task.goal = 'nowhere.goal'"),
    ):
        with pytest.raises(ValueError, match=said):
            corridor(**options)
    with pytest.raises(ValueError, match="task.layout_seed = 3"):
        make_gym_task("gym:Acrobot-v1", 3)


def test_data_of_another_environment_is_refused() -> None:
    task = corridor()
    with pytest.raises(ValueError, match="the data has ObservationSpec.*shape=\\(7,\\)"):
        task.with_episodes(episodes(corridor("MultiDiscrete")))
    with pytest.raises(ValueError, match="task.goal_offset = 20; the longest episode"):
        task.with_episodes(task.wander(2, 5, np.random.default_rng(0)))
    with pytest.raises(ValueError, match="takes its goals from data"):
        task.suite(episodes_per_bin=1, seed=0)


@pytest.mark.parametrize("shown", ["Box", "Image"])
def test_pictures_show_what_differs(shown: str) -> None:
    for task in (corridor(shown), with_data(corridor(shown))):
        a, b = (task.picture(obs) for obs in episodes(task).frames[:2])
        assert a.dtype == np.uint8 and a.shape[2] == 3 and a.shape == b.shape
        assert (a != b).any()


def test_a_grid_is_pictured_and_sought_exactly() -> None:
    task = with_data(make_gym_task("gym:minigrid:MiniGrid-Empty-5x5-v0", 0))
    assert task.spec.kind == "grid" and task.success_rule == "the observation equals the goal"
    goal = task.suite(episodes_per_bin=1, seed=0).goals[0]
    assert task.picture(goal).shape == (63, 63, 3)
