"""Any gymnasium environment as a task: goals, what counts as success, and what cannot be sought."""

from dataclasses import replace

import numpy as np
import pytest

from hplan.dataset import EpisodeStore
from tasks.gymnasium_envs.behaviour import RESET_SEEDS
from tasks.gymnasium_envs.task import make_gym_task
from tests.tasks.corridor_tasks import corridor, episodes, with_data
from tests.tasks.gym_corridor import PATH


@pytest.mark.parametrize("shown", ["Box", "Discrete", "Dict", "GoalsFlagged", "ImageForce"])
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


@pytest.mark.parametrize(
    ("shown", "options", "rule"),
    [
        ("Flagged", {}, "own info['is_success'] is true"),
        ("FlaggedThere", {"success": "flag"}, "own info['is_success'] or info['success'] is true"),
        ("FlaggedThere", {}, "within 0.1 standard deviations"),
        ("Flagged", {"success": "tolerance"}, "within 0.1 standard deviations"),
        ("Flagged", {"success": f"{PATH}.at_the_end"}, "at_the_end(observation, goal, info) is"),
    ],
)
def test_success_is_what_its_rule_says(shown: str, options: dict[str, str], rule: str) -> None:
    task = with_data(corridor(shown, **options))
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


def test_an_image_with_a_small_agent_is_not_near_every_goal() -> None:
    task = corridor("Image")
    places = np.random.default_rng(0).permutation(30 * 38)[:400]
    frames = np.full((400, 32, 40, 3), 30, dtype=np.uint8)
    for frame, place in zip(frames, places, strict=True):
        row, column = divmod(place, 38)
        frame[row : row + 3, column : column + 3] = (250, 60, 60)
    store = EpisodeStore(
        frames=frames,
        frame_index=np.arange(400, dtype=np.int32)[None],
        actions=np.zeros((1, 399), np.int8),
        lengths=np.array([399]),
        spec=task.spec,
    )
    task = task.with_episodes(store)
    states = task.batch(np.zeros(1, np.int64)).states
    seen = [replace(states[0], observation=frame) for frame in frames[:30]]
    reached = [
        [task.is_success(np.array([s]), goal[None])[0] for goal in frames[:30]] for s in seen
    ]
    assert np.array_equal(reached, np.eye(30))
    nearly = frames[:1].copy()
    nearly[nearly == 250] = 230
    assert task.is_success(np.array(seen[:1]), nearly).all(), "a shade is within the tolerance"


def test_without_a_flag_numbers_have_a_tolerance_and_symbols_none() -> None:
    assert "standard deviations" in corridor("Dict").success_rule
    assert (
        "at most 0.1 of what two observations of the data differ" in corridor("Image").success_rule
    )
    assert corridor("Discrete").success_rule == "the observation equals the goal"
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


def test_a_grid_is_pictured_and_sought_exactly() -> None:
    task = with_data(make_gym_task("gym:minigrid:MiniGrid-Empty-5x5-v0", 0))
    assert task.spec.kind == "grid" and task.success_rule == "the observation equals the goal"
    goal = task.suite(episodes_per_bin=1, seed=0).goals[0]
    assert task.picture(goal).shape == (63, 63, 3)
