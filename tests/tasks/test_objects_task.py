"""The tasks in worlds of objects: graph, suites, oracle, data."""

from dataclasses import replace

import gymnasium as gym
import networkx as nx
import numpy as np
import pytest

from tasks.objects import ObjectWanderer, make_objects_task
from tasks.objects.fewer_moves import TIDY, build_graph
from tasks.objects.graph import UNREACHABLE
from tasks.objects.task import MISSION, ObjectsTask
from tasks.objects.world import AGENT, CARRIED, GOAL

E, T, SEED = 7, 31, 0
SMALL = "MiniGrid-DoorKey-5x5-v0"


@pytest.fixture(scope="module")
def small() -> ObjectsTask:
    return make_objects_task(SMALL, SEED)


@pytest.fixture(
    scope="module",
    params=["DoorKey-6x6", "MultiRoom-N2-S4", "KeyCorridorS3R1", "Dynamic-Obstacles-6x6"],
)
def task(request) -> ObjectsTask:
    made = make_objects_task(f"MiniGrid-{request.param}-v0", SEED)
    return replace(made, wanderer=ObjectWanderer(longest_walk=23))


def follow(task: ObjectsTask, starts: np.ndarray, goals: np.ndarray, most: int) -> np.ndarray:
    """(E,) env steps that the oracle takes; -1 where it does not arrive."""
    steps = np.full(len(starts), -1)
    worlds = task.batch(starts)
    for now in range(most):
        arrived = task.is_success(worlds.states, goals)
        steps[(steps < 0) & arrived] = now
        worlds.step(task.optimal_actions(worlds.states, goals))
    assert not task.is_unsafe(worlds.states).any()
    return steps


def test_oracle_takes_exactly_the_promised_steps(task):
    suite = task.suite(episodes_per_bin=E, seed=1)
    steps = follow(task, suite.starts, suite.goals, 3 * suite.optimal_steps.max() + 20)
    if task.optimal_is_exact:
        assert np.array_equal(steps, suite.optimal_steps)
    else:
        assert (steps >= suite.optimal_steps).all() and (steps > suite.optimal_steps).any()
    for index, (_, low, high) in enumerate(suite.bins):
        own = suite.optimal_steps[suite.bin_index == index]
        assert len(own) == E and (own >= low).all() and (own <= high).all()


def test_goal_looks_differ_in_what_moves_by_itself_alone(task):
    goals = task.suite(episodes_per_bin=2, seed=0).goals
    looks = task.goal_observations(goals)
    assert np.array_equal(looks[:, 0], task.observe(goals))
    agents = looks[..., 0] == AGENT
    assert np.array_equal(agents, np.repeat(agents[:, :1], looks.shape[1], axis=1))
    assert (looks.shape[1] > 1) == task.world.moving
    if task.world.moving:
        assert not np.array_equal(looks[:, 0], looks[:, 1])


def test_distances_are_networkx_shortest_paths(small):
    graph = small.graph
    backwards = graph.networkx().reverse(copy=False)
    for cell, look in small._goals:
        goals = np.flatnonzero((graph.cells == cell) & (graph.looks == look))
        expected = np.full(len(graph.states), UNREACHABLE)
        for distance, layer in enumerate(nx.bfs_layers(backwards, goals.tolist())):
            expected[layer] = distance
        assert np.array_equal(graph.steps_to(cell, look), expected)
    observations, steps = small.distances_to_a_goal(11)
    assert observations.shape == (11, *small.spec.shape) and (steps >= 0).all()


def test_graph_holds_every_state_that_walks_come_to(small):
    """And no two of its states are the same."""
    states, _ = replace(small, wanderer=ObjectWanderer(longest_walk=0)).walks(
        41, 61, np.random.default_rng(0)
    )
    assert (small.graph.index_of(states.reshape(-1, states.shape[2])) >= 0).all()
    assert len(np.unique(small.graph.states, axis=0)) == len(small.graph.states)
    assert small.reachable_states is small.graph.states
    assert small.graph.index_of(np.array([[1, 1, 0, 3, 5]])).tolist() == [-1]


def test_fewer_moves_give_upper_bounds():
    task = make_objects_task("MiniGrid-DoorKey-6x6-v0", SEED)
    exact = task.graph
    fewer, bound = build_graph(task.world, most=len(exact.states) // 3)
    assert bound == TIDY.format(4) and len(fewer.states) < len(exact.states) / 3
    same = exact.index_of(fewer.states)
    assert (same >= 0).all()
    longer = 0
    for cell, look in task._goals:
        bounds, steps = fewer.steps_to(cell, look), exact.steps_to(cell, look)[same]
        known = bounds != UNREACHABLE
        assert (bounds[known] >= steps[known]).all()
        longer += (bounds[known] > steps[known]).sum()
    assert longer
    cut, bound = build_graph(task.world, most=101)
    assert "nearest to the start" in bound and len(cut.states) <= 101


@pytest.mark.parametrize(
    ("env_id", "most"), [("BlockedUnlockPickup-v0", 4_000), ("KeyCorridorS3R2-v0", 30_000)]
)
def test_mission_is_minigrids_own(env_id, most):
    """The oracle, from MiniGrid's start, arrives when MiniGrid says that the mission is done."""
    task = replace(make_objects_task(f"MiniGrid-{env_id}", SEED), most_states=most)
    suite = task.suite(episodes_per_bin=2, seed=0)
    assert suite.bins[-1][0] == MISSION and task.optimal_is_exact == (most == 30_000)
    first = np.flatnonzero(suite.bin_index == len(suite.bins) - 1)[:1]
    assert np.array_equal(suite.starts[first[0]], task.world.start)
    env, worlds, goals = gym.make(task.name), task.batch(suite.starts[first]), suite.goals[first]
    env.reset(seed=SEED)
    done = []
    for _ in range(suite.optimal_steps[first[0]]):
        assert not done or not done[-1]
        action = task.optimal_actions(worlds.states, goals)
        worlds.step(action)
        done.append(env.step(task.world.actions[action[0]])[2])
    assert done[-1] and task.is_success(worlds.states, goals).all()


def test_success_needs_place_and_hands(small):
    world = small.world
    on_goal = (world.floor[small.graph.cells] == GOAL) & (small.graph.looks > 0)
    goal = small.graph.states[np.flatnonzero(on_goal)[:1]]
    turned, empty, away = goal.copy(), goal.copy(), goal.copy()
    turned[0, 2] = (turned[0, 2] + 1) % 4
    world.places(empty)[0] = world.places(world.start[None])[0]
    away[0, 1] -= 1
    assert world.places(goal).tolist() == [[CARRIED]]
    states = np.concatenate([goal, turned, empty, away])
    expected = [True, True, False, False]
    assert small.is_success(states, np.repeat(goal, 4, axis=0)).tolist() == expected


def test_bad_requests_are_refused(small):
    with pytest.raises(ValueError, match="actions hold values from 6"):
        small.batch(small.world.start[None]).step(np.array([6]))
    with pytest.raises(ValueError, match=r"wanderer\.drop_probability = 1\.5"):
        ObjectWanderer(drop_probability=1.5)
    with pytest.raises(ValueError, match="'walk' is none"):
        small.wander(E, T, np.random.default_rng(0), policy="walk")
    with pytest.raises(ValueError, match="num_pairs = 0"):
        small.validation_pairs(0, seed=0)
    with pytest.raises(ValueError, match="episodes_per_bin = 0"):
        small.suite(episodes_per_bin=0, seed=0)
