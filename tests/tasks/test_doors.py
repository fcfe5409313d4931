"""Rooms with doorways shut: against MiniGrid's walls, networkx, and the rooms with all open."""

from dataclasses import replace

import gymnasium as gym
import networkx as nx
import numpy as np
import pytest
from minigrid.core.world_object import Wall

from tasks import GridWorld, build_task
from tasks.collect import collect
from tasks.doors import Doorways
from tasks.environments import build_env
from tasks.layout import rooms_layout
from tasks.oracle import optimal_path, optimal_steps, state_graph
from tasks.simulator import FORWARD

LAYOUT_SEED, B, T = 3, 5, 97
TASK = build_task("rooms-doors", LAYOUT_SEED)
ROOMS = build_task("rooms", LAYOUT_SEED)
SUITE = TASK.suite(episodes_per_bin=11, seed=0)
DETOUR = SUITE.optimal_steps > SUITE.open_steps


def _shut_cells(shut: int) -> set[tuple[int, int]]:
    """Read the bits by hand."""
    return {tuple(cell.tolist()) for d, cell in enumerate(TASK.doorways.cells) if shut & 2**d}


def _walk(start: np.ndarray, goal: np.ndarray, path: list[int]) -> list[bool]:
    """Whether the agent was at the goal, after each action."""
    batch, reached = TASK.batch(start[None]), []
    for action in path:
        batch.step(np.array([action]))
        reached.append(bool(TASK.is_success(batch.states, goal[None])[0]))
    return reached


def test_the_environment_shuts_the_doorways_of_its_start_and_shows_them_open():
    env, start = build_env("rooms-doors", LAYOUT_SEED, max_steps=9), SUITE.starts[0].copy()
    doorways = TASK.doorways
    number = int(np.flatnonzero(doorways.entered < len(doorways.cells))[0])
    start[:3] = TASK.world.all_states[number]  # with a doorway just ahead
    for start[3] in (0, 1 << doorways.entered[number]):
        before, _ = env.reset(seed=0, options={"start": start, "goal": SUITE.goals[0]})
        after, _, _, _, info = env.step(FORWARD)
        is_shut = start[3] > 0
        assert np.array_equal(info["state"], start) == is_shut
        assert np.array_equal(after["image"], before["image"]) == is_shut
        assert np.array_equal(before["image"], ROOMS.observe(start[None, :3])[0])


def test_half_of_the_pairs_need_a_detour_and_every_pair_lies_in_its_bin():
    assert DETOUR.tolist() == [True, False] * 5 + [True] + [True, False] * 5 + [True]
    assert (SUITE.optimal_steps >= SUITE.open_steps).all()
    for index, (_, low, high) in enumerate(SUITE.bins):
        steps = SUITE.optimal_steps[SUITE.bin_index == index]
        assert steps.min() >= low + (index > 0) and steps.max() <= high


def test_steps_with_all_open_are_those_of_rooms():
    expected = optimal_steps(ROOMS.world, SUITE.starts[:, :3], SUITE.goals)
    assert np.array_equal(SUITE.open_steps, expected)


def test_steps_with_doorways_shut_are_those_of_a_graph_without_them():
    world = TASK.world
    everywhere = TASK.doorways.steps_to(SUITE.goals, SUITE.starts[:, 3])
    for e in range(0, len(SUITE.starts), 3):
        cells = _shut_cells(int(SUITE.starts[e, 3]))
        graph = state_graph(world).copy()
        graph.remove_nodes_from(
            [s for s, (x, y, _) in enumerate(world.all_states.tolist()) if (x, y) in cells]
        )
        goal = world.state_index(np.array([*SUITE.goals[e, :2], 0]))
        layers = nx.bfs_layers(graph.reverse(copy=False), range(goal, goal + 4))
        expected = np.full(world.num_states, -1)
        for distance, layer in enumerate(layers):
            expected[layer] = distance
        outside = np.array([tuple(s) not in cells for s in world.all_states[:, :2].tolist()])
        assert np.array_equal(everywhere[e, outside], expected[outside])
        assert SUITE.optimal_steps[e] == expected[world.state_index(SUITE.starts[e, :3])]


def test_oracle_reaches_the_goal_in_exactly_the_promised_steps():
    paths = TASK.optimal_paths(SUITE.starts, SUITE.goals)
    assert [len(path) for path in paths] == SUITE.optimal_steps.tolist()
    for start, goal, path in zip(SUITE.starts, SUITE.goals, paths, strict=True):
        assert _walk(start, goal, path) == [False] * (len(path) - 1) + [True]


def test_shortest_path_with_all_open_fails_where_a_detour_is_due():
    for start, goal in zip(SUITE.starts[DETOUR], SUITE.goals[DETOUR], strict=True):
        path = optimal_path(ROOMS.world, start[:3], goal[:2])
        assert not any(_walk(start, goal, path)), "the doorway on the way did not shut"
        assert _walk(np.array([*start[:3], 0]), goal, path)[-1], "nor does it with all open"


def test_walks_equal_minigrid_with_walls_in_the_doorways():
    rows = np.flatnonzero(DETOUR)[:B]
    batch, against = TASK.batch(SUITE.starts[rows]), 0
    # Mostly forward, so that doorways are tried.
    actions = np.random.default_rng(0).choice(3, p=[0.15, 0.15, 0.7], size=(T, B))
    # Just before a shut doorway, heading for it.
    facing = np.flatnonzero(TASK.doorways.entered < len(TASK.doorways.cells))
    starts = [
        next(s for s in facing if int(shut) >> int(TASK.doorways.entered[s]) & 1)
        for shut in SUITE.starts[rows, 3]
    ]
    batch.indices = np.array(starts)
    actions[0] = FORWARD
    states = [batch.states]
    for row in actions:
        batch.step(row)
        states.append(batch.states)
    for b, row in enumerate(rows):
        env = gym.make("hplan/Rooms-v0", layout_seed=LAYOUT_SEED, max_steps=10**6)
        env.reset(seed=0)
        base = env.unwrapped
        base.grid.grid = [
            cell if cell is not None and cell.type == "wall" else None for cell in base.grid.grid
        ]
        for x, y in _shut_cells(int(SUITE.starts[row, 3])):
            base.grid.set(x, y, Wall())
        x, y, base.agent_dir = states[0][b, :3].tolist()
        base.agent_pos = (x, y)
        for t in range(T):
            env.step(actions[t, b])
            arrived = [*map(int, base.agent_pos), int(base.agent_dir)]
            assert states[t + 1][b, :3].tolist() == arrived, (b, t)
        assert np.array_equal(states[1][b], states[0][b]), "it walked through a shut doorway"
        against += 1
    assert against == B


def test_what_is_shut_is_not_seen():
    start = SUITE.starts[0]
    opened = np.array([*start[:3], 0])
    assert start[3] > 0
    assert np.array_equal(TASK.observe(start[None]), ROOMS.observe(opened[None, :3]))
    assert np.array_equal(TASK.batch(start[None]).observe(), TASK.batch(opened[None]).observe())
    assert TASK.spec == ROOMS.spec


def test_with_all_open_agents_walk_as_in_rooms():
    generator = np.random.default_rng(0)
    starts = ROOMS.world.all_states[generator.integers(ROOMS.world.num_states, size=B)]
    batch, rooms = TASK.batch(np.column_stack([starts, np.zeros(B, int)])), ROOMS.batch(starts)
    for actions in generator.integers(3, size=(T, B)):
        batch.step(actions)
        rooms.step(actions)
        assert np.array_equal(batch.states[:, :3], rooms.states)
        assert np.array_equal(batch.observe(), rooms.observe())


def test_agents_of_a_batch_have_their_own_doorways():
    actions = np.random.default_rng(0).choice(3, p=[0.2, 0.2, 0.6], size=(T, B))
    together = TASK.batch(SUITE.starts[:B])
    alone = [TASK.batch(SUITE.starts[b : b + 1]) for b in range(B)]
    for row in actions:
        together.step(row)
        for b in range(B):
            alone[b].step(row[b : b + 1])
    assert np.array_equal(together.states, np.concatenate([batch.states for batch in alone]))
    assert np.array_equal(together.states[:, 3], SUITE.starts[:B, 3])


def test_doorways_are_those_of_the_layout():
    # A spanning tree of 16 rooms, and a quarter of the other 9 walls.
    assert len(TASK.doorways.cells) == 15 + 2
    around = TASK.world.walls[TASK.doorways.cells[:, 1], TASK.doorways.cells[:, 0]]
    assert not around.any()


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_doorways_shut_as_long_as_there_is_a_way(probability):
    generator = np.random.default_rng(7)
    world, doorways = TASK.world, TASK.doorways
    ends = world.cells[generator.integers(len(world.cells), size=(13, 2))]
    ends[0, 0] = doorways.cells[2]
    for start, goal in ends:
        shut = doorways.draw(start, goal, probability, generator)
        steps = doorways.steps_to(goal[None], np.array([shut]))[0]
        state = world.state_index(np.array([*start, 0]))
        assert steps[state] >= 0
        cells = _shut_cells(shut)
        assert tuple(start) not in cells and tuple(goal) not in cells
        if not probability:
            assert shut == 0
            continue
        # Whatever is left open is needed: the ways that remain are one path.
        for d in range(len(doorways.cells)):
            if not shut >> d & 1 and tuple(doorways.cells[d]) not in {tuple(start), tuple(goal)}:
                more = doorways.steps_to(goal[None], np.array([shut | 1 << d]))[0]
                assert more[state] < 0


def test_doorways_shut_as_often_as_said():
    doorways, generator = TASK.doorways, np.random.default_rng(0)
    same = TASK.world.cells[0], TASK.world.cells[1]  # in one room: all doorways may shut
    shut = [doorways.draw(*same, 0.3, generator).bit_count() for _ in range(900)]
    assert np.mean(shut) == pytest.approx(0.3 * len(doorways.cells), rel=0.05)


def test_seed_decides_the_suite():
    assert (
        SUITE.sha256
        == build_task("rooms-doors", LAYOUT_SEED).suite(episodes_per_bin=11, seed=0).sha256
    )
    assert SUITE.sha256 != TASK.suite(episodes_per_bin=11, seed=1).sha256
    assert len(np.unique(SUITE.starts[:, 3])) > len(SUITE.starts) / 2, "one draw for each episode"


def test_data_and_pairs_of_training_are_those_of_rooms():
    mine, theirs = (
        collect(task, num_episodes=B, episode_length=T, seed=0) for task in (TASK, ROOMS)
    )
    for name in ("frames", "frame_index", "actions"):
        assert np.array_equal(getattr(mine, name), getattr(theirs, name))
    assert mine.metadata == {**theirs.metadata, "task": "rooms-doors"}
    pairs, expected = (task.validation_pairs(7, seed=0) for task in (TASK, ROOMS))
    assert np.array_equal(pairs.starts[:, :3], expected.starts) and not pairs.starts[:, 3].any()
    assert np.array_equal(TASK.observe(pairs.starts), ROOMS.observe(expected.starts))
    paths = TASK.optimal_paths(pairs.starts, pairs.goals)
    assert [len(path) for path in paths] == pairs.optimal_steps.tolist()
    for mine, theirs in zip(
        TASK.distances_to_a_goal(11), ROOMS.distances_to_a_goal(11), strict=True
    ):
        assert np.array_equal(mine, theirs)


def test_nothing_there_is_unsafe():
    assert not TASK.is_unsafe(SUITE.starts).any()
    with pytest.raises(ValueError, match="'rooms-doors' has no labelled states 'lava'"):
        TASK.labelled_states("lava")


@pytest.mark.parametrize("starts", [[[1, 1, 0]], [[1, 1, 0, -1]], [[1, 1, 0, 2**17]]])
def test_starts_that_do_not_say_what_is_shut_are_refused(starts):
    with pytest.raises(ValueError, match=r"are not \(B, 4\): .* which of the 17 doorways"):
        TASK.batch(np.array(starts))


def test_what_cannot_be_done_is_refused():
    with pytest.raises(ValueError, match="episodes_per_bin = 0"):
        TASK.suite(episodes_per_bin=0, seed=0)
    with pytest.raises(ValueError, match="bin 'near' of 2 to 3 env steps cannot be filled"):
        replace(TASK, bins=(("near", 2, 3),)).suite(episodes_per_bin=1, seed=0)
    with pytest.raises(ValueError, match="at most 62 can shut"):
        Doorways.of_rooms(GridWorld.from_walls(rooms_layout(8, 5, 0, 0.05)), 5)
    with pytest.raises(ValueError, match="allowed are 0"):
        TASK.batch(SUITE.starts[:1]).step(np.array([3]))
    every = 2 ** len(TASK.doorways.cells) - 1
    with pytest.raises(ValueError, match="cannot be reached from"):
        TASK.optimal_paths(np.array([[1, 1, 0, every]]), np.array([[23, 23, 0]]))
