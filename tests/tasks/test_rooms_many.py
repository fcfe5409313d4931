"""Many layouts: the sets share none, states stay in theirs, and suites are the unseen ones'."""

import gymnasium as gym
import numpy as np
import pytest

from tasks.grid_worlds import GridWorlds
from tasks.registry import ROOMS_IDS
from tasks.rooms_many import NUM_SUITE, NUM_TRAINING, NUM_VALIDATION, RoomsMany, images
from tasks.simulator import GridBatch, GridWorld

E, T = 41, 37
LADDER = (("short", 5, 10), ("medium", 10, 20), ("long", 20, 40), ("far", 40, 80))


def many(layout_seed: int = 0, is_mirrored: bool = False) -> RoomsMany:
    return RoomsMany(
        name="rooms-many", layout_seed=layout_seed, bins=LADDER, is_mirrored=is_mirrored
    )


TASK = many()


def walls(task: RoomsMany) -> list[np.ndarray]:
    return [world.walls for world in task.worlds.worlds]


def test_no_layout_is_in_two_sets_even_mirrored_or_turned():
    layouts = walls(TASK)
    assert len(layouts) == NUM_TRAINING + NUM_SUITE + NUM_VALIDATION
    seen = {image.tobytes(): number for number, w in enumerate(layouts) for image in images(w)}
    for number, layout in enumerate(layouts):
        assert seen[layout.tobytes()] == number
    assert len(seen) == 8 * len(layouts)


def test_layout_seeds_share_no_layout():
    first, second = ({w.tobytes() for w in walls(many(seed))} for seed in (0, 1))
    assert not first & second


def test_the_training_layouts_are_those_of_rooms():
    for number in (0, 7):
        env = gym.make(ROOMS_IDS["rooms"], layout_seed=number)
        assert np.array_equal(env.unwrapped.walls, walls(TASK)[number])


def test_data_are_of_training_layouts_alone_and_of_all_of_them():
    store = TASK.wander(400, T, np.random.default_rng(0))
    known = {world.background[..., 0].tobytes(): n for n, world in enumerate(TASK.worlds.worlds)}
    maps = store.frames[..., 0].copy()
    maps[maps == 10] = 1  # beneath the agent the floor is empty
    layouts = np.array([known[m.tobytes()] for m in maps])
    assert set(layouts) == set(range(NUM_TRAINING))
    of_episode = layouts[store.frame_index]
    assert (of_episode == of_episode[:, :1]).all(), "a walk went from one layout to another"


def test_mirrored_data_have_eight_images_of_each_layout_and_the_same_suite():
    task = many(is_mirrored=True)
    assert len(task.training_worlds.worlds) == 8 * NUM_TRAINING
    plans = {world.walls.tobytes() for world in task.training_worlds.worlds}
    assert len(plans) == 8 * NUM_TRAINING
    assert all(walls(TASK)[n].tobytes() in plans for n in range(NUM_TRAINING))
    suite = task.suite(episodes_per_bin=3, seed=0)
    same = TASK.suite(episodes_per_bin=3, seed=0)
    assert np.array_equal(task.observe(suite.starts), TASK.observe(same.starts))
    assert task.behaviour["mirrored"] and not TASK.behaviour["mirrored"]


def test_suite_has_as_many_pairs_in_each_unseen_layout_and_goals_in_the_start_s():
    suite = TASK.suite(episodes_per_bin=NUM_SUITE + 3, seed=0)
    layouts = suite.starts[:, 0]
    assert np.array_equal(layouts, suite.goals[:, 0])
    for index in range(len(LADDER)):
        counts = np.bincount(layouts[suite.bin_index == index] - NUM_TRAINING, minlength=NUM_SUITE)
        assert counts.tolist() == [2, 2, 2] + [1] * (NUM_SUITE - 3)
    low = np.array([5, 11, 21, 41])[suite.bin_index]
    high = np.array([10, 20, 40, 80])[suite.bin_index]
    assert ((low <= suite.optimal_steps) & (suite.optimal_steps <= high)).all()


def test_validation_pairs_are_in_layouts_of_their_own_and_spread():
    pairs = TASK.validation_pairs(97, seed=0)
    layouts = set(pairs.starts[:, 0].tolist())
    first = NUM_TRAINING + NUM_SUITE
    assert layouts == set(range(first, first + NUM_VALIDATION))
    assert np.array_equal(pairs.starts[:, 0], pairs.goals[:, 0])
    assert pairs.optimal_steps.min() >= 1 and np.ptp(pairs.optimal_steps) > 50
    obs, steps = TASK.distances_to_a_goal(23)
    assert obs.shape == (23, 25, 25, 3) and len(np.unique(steps)) > 10


def test_success_needs_the_goal_s_layout_and_cell():
    states = np.array([[3, 1, 2, 0], [3, 1, 2, 3], [4, 1, 2, 0], [3, 2, 1, 0]])
    goals = np.array([[3, 1, 2, 1]] * 4)
    assert TASK.is_success(states, goals).tolist() == [True, True, False, False]


def test_joined_worlds_step_and_look_as_each_of_them():
    worlds, random = TASK.worlds, np.random.default_rng(0)
    states = worlds.all_states[random.integers(worlds.num_states, size=E)]
    joined = GridBatch(worlds, states)
    alone = [GridBatch(worlds.worlds[state[0]], state[None, 1:]) for state in states]
    for _ in range(T):
        actions = random.integers(3, size=E)
        joined.step(actions)
        for batch, action in zip(alone, actions, strict=True):
            batch.step(np.array([action]))
        assert np.array_equal(joined.states[:, 1:], np.concatenate([b.states for b in alone]))
    assert np.array_equal(joined.observe(), np.concatenate([b.observe() for b in alone]))
    assert np.array_equal(joined.states[:, 0], states[:, 0])


@pytest.mark.parametrize("state", [(0, 0, 3, 0), (99, 1, 1, 0), (-1, 1, 1, 0), (0, 1, 1, 4)])
def test_states_in_walls_or_outside_are_refused_by_name(state):
    with pytest.raises(ValueError, match="layout, x, y, heading") as error:
        TASK.batch(np.array([[0, 1, 1, 0], state]))
    assert str(state) in str(error.value)


def test_worlds_of_two_sizes_are_not_joined():
    small = np.ones((5, 5), bool)
    small[2, 2] = False
    with pytest.raises(AssertionError, match="one size"):
        GridWorlds([TASK.worlds.worlds[0], GridWorld.from_walls(small)])


def test_a_policy_that_is_no_wanderer_is_refused():
    with pytest.raises(ValueError, match="tasks.wander.Wanderer"):
        TASK.wander(2, T, np.random.default_rng(0), policy="walk")


def test_a_suite_needs_episodes():
    with pytest.raises(ValueError, match="episodes_per_bin = 0"):
        TASK.suite(episodes_per_bin=0, seed=0)
    with pytest.raises(ValueError, match="num_pairs = 0"):
        TASK.validation_pairs(0, seed=0)
