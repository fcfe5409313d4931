"""Lava against MiniGrid's own, and what suites, data and labels make of it."""

import pickle
from collections import deque

import minigrid  # noqa: F401  (registers the official ids)
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import GridWorld, Wanderer, build_task
from tasks.collect import collect
from tasks.coverage import coverage
from tasks.environments import build_env
from tasks.layout import joined_parts, lava_pools, rooms_layout
from tasks.oracle import optimal_steps_to_cell
from tasks.simulator import FORWARD, GridBatch
from tasks.wander import wander
from tests.tasks.minigrid_env import fully_observed, place

CROSSING, LAYOUT_SEED = "MiniGrid-LavaCrossingS9N2-v0", 3
B, T = 7, 61
MOVES = {0: (1, 0), 1: (0, 1), 2: (-1, 0), 3: (0, -1)}
ENVIRONMENTS = {
    CROSSING: (CROSSING, {}),
    "rooms-lava": ("hplan/RoomsLava-v0", {"layout_seed": LAYOUT_SEED}),
}
both = pytest.mark.parametrize("name", list(ENVIRONMENTS))


@both
def test_walks_equal_minigrid_cell_for_cell_up_to_the_step_onto_lava(name):
    task = build_task(name, LAYOUT_SEED)
    generator = np.random.default_rng(5)
    visited, actions = wander(
        transitions=task.world.transitions,
        in_lava=task.world.in_lava,
        starts=generator.integers(task.world.num_land_states, size=B),
        num_steps=T,
        wanderer=Wanderer(lava_probability=0.2),
        generator=generator,
    )
    ended = []
    for b in range(B):
        env = fully_observed(*ENVIRONMENTS[name], LAYOUT_SEED)
        batch = task.batch(task.world.all_states[visited[b, :1]])
        place(env, batch.states[0])
        for t in range(T):
            batch.step(actions[b, t : t + 1])
            obs, _, terminated, _, _ = env.step(actions[b, t])
            assert np.array_equal(batch.observe()[0], obs["image"]), (b, t)
            assert task.is_unsafe(batch.states).tolist() == [terminated]
            if terminated:
                assert (visited[b, t + 1 :] == visited[b, t + 1]).all(), "it left the lava"
                break
        ended.append(terminated)
    assert 0 < sum(ended) < B, "some walks end in lava, some do not"


def test_every_state_and_action_equals_minigrid():
    world = build_task(CROSSING, LAYOUT_SEED).world
    env = fully_observed(*ENVIRONMENTS[CROSSING], LAYOUT_SEED)
    for index, state in enumerate(world.all_states):
        for action in range(3):
            after = world.transitions[index, action]
            if world.in_lava[index]:
                assert after == index
                continue
            place(env, state)
            terminated = env.unwrapped.step(action)[2]
            arrived = np.array([*env.unwrapped.agent_pos, env.unwrapped.agent_dir])
            assert np.array_equal(world.all_states[after], arrived)
            assert world.in_lava[after] == terminated


def test_lava_and_walls_are_not_swapped():
    walls, lava = np.ones((5, 7), bool), np.zeros((5, 7), bool)
    walls[1:4, 1:6] = False
    lava[3, 4] = lava[0, 1] = True
    world = GridWorld.from_walls(walls, lava)
    assert np.argwhere(world.lava).tolist() == [[3, 4]], "none in walls"
    batch = GridBatch(world, np.array([[4, 1, 1]]))
    for expected in ([4, 2, 1], [4, 3, 1], [4, 3, 1]):
        batch.step(np.array([FORWARD]))
        assert batch.states.tolist() == [expected]
    assert len(world.cells) == 15 and world.num_land_cells == 14
    again = GridWorld.from_background(world.background)
    assert np.array_equal(again.transitions, world.transitions)


def test_world_of_lava_alone_is_refused():
    walls = np.ones((5, 7), bool)
    walls[1:4, 1:6] = False
    with pytest.raises(ValueError, match="no free cell"):
        GridWorld.from_walls(walls, ~walls)


def test_world_survives_pickling():
    world = build_task(CROSSING, LAYOUT_SEED).world
    transitions, land = world.transitions, world.land
    again = pickle.loads(pickle.dumps(world))
    assert np.array_equal(again.transitions, transitions) and np.array_equal(again.land, land)


def test_episodes_keep_to_the_part_where_minigrid_starts_even_if_it_is_the_smaller():
    world = build_task(CROSSING, 6).world
    assert world.land[1, 1] and world.land[7, 7]
    free = ~world.walls & ~world.lava
    assert world.num_land_cells < (free & ~world.land).sum()
    anywhere = GridWorld.from_background(world.background)
    assert np.array_equal(anywhere.land, free & ~world.land)


def _search(world: GridWorld, start: tuple[int, int, int], goal: tuple[int, int]) -> int:
    """Forward search from the rules of the world, with neither tables nor graph."""
    front, seen = deque([(start, 0)]), {start}
    while front:
        (x, y, heading), steps = front.popleft()
        if (x, y) == goal:
            return steps
        if world.lava[y, x]:
            continue
        dx, dy = MOVES[heading]
        ahead = (x, y) if world.walls[y + dy, x + dx] else (x + dx, y + dy)
        for state in ((x, y, (heading - 1) % 4), (x, y, (heading + 1) % 4), (*ahead, heading)):
            if state not in seen:
                seen.add(state)
                front.append((state, steps + 1))
    return -1


@both
def test_steps_equal_a_search_by_the_rules(name):
    world = build_task(name, LAYOUT_SEED).world
    generator = np.random.default_rng(0)
    for cell in generator.choice(world.cells, size=5, replace=False):
        steps = optimal_steps_to_cell(world, tuple(cell))
        for index in generator.integers(world.num_states, size=23):
            start = tuple(world.all_states[index].tolist())
            assert steps[index] == _search(world, start, tuple(cell.tolist()))


@both
@pytest.mark.parametrize("layout_seed", [0, 6])
def test_pairs_avoid_lava_and_their_paths_do_too(name, layout_seed):
    task = build_task(name, layout_seed)
    drawn = [task.suite(episodes_per_bin=11, seed=0), task.validation_pairs(23, seed=0)]
    for pairs in drawn:
        assert not task.is_unsafe(pairs.starts).any() and not task.is_unsafe(pairs.goals).any()
        assert task.world.land[pairs.goals[:, 1], pairs.goals[:, 0]].all()
        paths = task.optimal_paths(pairs.starts, pairs.goals)
        assert [len(path) for path in paths] == pairs.optimal_steps.tolist()
        for start, goal, path in zip(pairs.starts, pairs.goals, paths, strict=True):
            batch = task.batch(start[None])
            for action in path:
                assert not task.is_success(batch.states, goal[None]).any()
                batch.step(np.array([action]))
                assert not task.is_unsafe(batch.states).any()
            assert task.is_success(batch.states, goal[None]).all()


def test_labels_say_where_lava_is_in_every_observation_that_can_be_seen():
    task = build_task(CROSSING, LAYOUT_SEED)
    obs, labels = task.labelled_states("lava")
    assert obs.dtype == np.uint8 and labels.dtype == bool and len(obs) == len(labels)
    # An agent in lava hides a cell of it.
    assert np.array_equal((obs[..., 0] == 9).sum(axis=(1, 2)), task.world.lava.sum() - labels)
    seen = {image.tobytes(): harmed for image, harmed in zip(obs, labels, strict=True)}
    assert len(seen) == len(obs)
    store = collect(task, num_episodes=400, episode_length=T, seed=0)
    assert all(frame.tobytes() in seen for frame in store.frames)
    assert 0.9 < coverage([store], task, [])["visited"] <= 1.0
    assert labels.sum() < 4 * task.world.lava.sum(), "lava cannot be entered from every side"


def test_names_without_labels_are_refused():
    with pytest.raises(ValueError, match=r"no labelled states 'water'; known there: lava\."):
        build_task(CROSSING, 0).labelled_states("water")
    with pytest.raises(ValueError, match=r"'rooms-tiny' has no .* 'lava'; known there: none\."):
        build_task("rooms-tiny", 0).labelled_states("lava")


def test_distances_to_a_goal_are_those_over_land():
    task = build_task(CROSSING, 6)
    obs, steps = task.distances_to_a_goal(10**6)
    assert len(obs) == task.world.num_land_states and steps.min() == 0 and steps.max() > 10


@pytest.mark.parametrize("chance", [0.0, 0.3])
def test_wanderer_steps_into_lava_as_often_as_it_says_and_stays(chance):
    task, wanderer = build_task(CROSSING, LAYOUT_SEED), Wanderer(lava_probability=chance)
    store = collect(task, num_episodes=900, episode_length=T, seed=0, policy=wanderer)
    world = task.world
    frame, x, y = np.nonzero(store.frames[..., 0] == 10)
    states = np.column_stack([x, y, store.frames[frame, x, y, 2]])
    visited = world.state_index(states)[store.frame_index]
    harmed = world.in_lava[visited]
    assert not harmed[:, 0].any()
    assert (harmed[:, 1:] >= harmed[:, :-1]).all()
    ahead = world.in_lava[world.transitions[visited[:, :-1], FORWARD]] & ~harmed[:, :-1]
    assert (store.actions == FORWARD)[ahead].mean() == pytest.approx(chance, abs=0.03)
    assert harmed.any() == (chance > 0)


def test_environment_ends_in_lava_without_reward_and_refuses_to_start_there():
    world, env = (
        build_task(CROSSING, LAYOUT_SEED).world,
        build_env(CROSSING, LAYOUT_SEED, max_steps=T),
    )
    after = world.transitions[: world.num_land_states, FORWARD]
    start = world.all_states[np.flatnonzero(world.in_lava[after])[0]]
    goal = world.all_states[world.num_land_states - 1]
    env.reset(seed=0, options={"start": start, "goal": goal})
    _, reward, terminated, truncated, info = env.step(FORWARD)
    assert (reward, terminated, truncated) == (0.0, True, False)
    with pytest.raises(ValueError, match="is in lava; give cells without it"):
        env.reset(options={"start": info["state"], "goal": goal})


@given(rooms=st.integers(1, 3), size=st.integers(3, 7), seed=st.integers(0, 2**40))
@settings(max_examples=30, deadline=None)
def test_one_can_walk_round_every_pool(rooms, size, seed):
    walls, lava = rooms_layout(rooms, size, seed, 0.25), lava_pools(rooms, size, seed)
    free = ~walls & ~lava
    assert not (walls & lava).any()
    assert joined_parts(free).max() == 0
    pools = joined_parts(lava)
    assert pools.max() + 1 == rooms**2
    for number in range(rooms**2):
        y, x = np.nonzero(pools == number)
        assert (np.ptp(y) + 1) * (np.ptp(x) + 1) == len(y), "a rectangle"
        assert not walls[y.min() - 1 : y.max() + 2, x.min() - 1 : x.max() + 2].any()
    assert np.array_equal(lava, lava_pools(rooms, size, seed))


def test_rooms_too_small_for_a_pool_are_refused():
    with pytest.raises(ValueError, match="room_size = 2"):
        lava_pools(3, 2, 0)
