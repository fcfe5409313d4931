"""Agents on errands: where they go, and that they go there by a shortest path."""

from dataclasses import replace

import numpy as np
import pytest

from tasks import build_task
from tasks.collect import behaviour_of
from tasks.errands import ErrandRunner, Errands
from tasks.oracle import optimal_steps_to_cell

WORLD = build_task("rooms-tiny", 0).world
B = 41


def _walk(runner, num_steps):
    """Goals before and after each step, and the states before it, all (T, B), of agents led."""
    errands, generator = Errands(runner, WORLD), np.random.default_rng(0)
    states = generator.integers(WORLD.num_land_states, size=B)
    seen = []
    for _ in range(num_steps):
        actions = errands.lead(states, np.zeros(B, int), generator)
        seen.append((errands.goal, states))
        states = WORLD.transitions[states, actions]
    goals, visited = (np.stack(x) for x in zip(*seen, strict=True))
    return goals, visited


def test_an_errand_without_mistakes_is_a_shortest_path_and_the_next_one_follows():
    runner = ErrandRunner(errand_share=1.0, end_probability=0.0, slip_probability=0.0)
    goals, states = _walk(runner, 60)
    assert goals.min() >= 0 and len(set(goals.flat)) > WORLD.num_land_cells / 2
    steps = np.stack([optimal_steps_to_cell(WORLD, cell) for cell in WORLD.cells.tolist()])
    left = steps[goals, states]
    same = goals[1:] == goals[:-1]
    on_the_way = same & (left[:-1] > 0)
    assert np.array_equal(left[1:][on_the_way], left[:-1][on_the_way] - 1)
    assert on_the_way.sum() > 1000
    new = ~same
    assert (steps[goals[:-1], states[1:]][new] == 0).all() and new.sum() > 100


@pytest.mark.parametrize(
    "runner", [ErrandRunner(errand_share=0.0), ErrandRunner(slip_probability=1.0)]
)
def test_without_errands_or_with_mistakes_alone_one_wanders(runner):
    generator = np.random.default_rng(0)
    states = generator.integers(WORLD.num_land_states, size=B)
    actions = generator.integers(3, size=B)
    errands = Errands(runner, WORLD)
    for _ in range(5):
        assert np.array_equal(errands.lead(states, actions, generator), actions)


def test_shares_of_errands_and_of_giving_up_are_as_told():
    runner = ErrandRunner(errand_share=0.6, end_probability=0.25, slip_probability=1.0)
    errands, generator = Errands(runner, WORLD), np.random.default_rng(0)
    states, actions = np.zeros(20_000, int), np.zeros(20_000, int)
    errands.lead(states, actions, generator)
    first = errands.goal
    assert abs((first >= 0).mean() - 0.6) < 0.02
    errands.lead(states, actions, generator)
    away = (first >= 0) & (errands.steps[first, 0] > 0)
    kept = (errands.goal == first)[away].mean()
    assert abs(kept - (1 - 0.25 * (1 - 0.6 / WORLD.num_land_cells))) < 0.02


def test_data_of_the_large_world_are_of_errands_and_say_so():
    assert build_task("rooms-large", 0).behaviour == behaviour_of(ErrandRunner())
    assert build_task("rooms", 0).behaviour["policy"] == "tasks.wander.Wanderer"
    task = replace(build_task("rooms-tiny", 0), wanderer=ErrandRunner())
    stores = [task.wander(7, 11, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert np.array_equal(stores[0].actions, stores[1].actions)
    assert not np.array_equal(stores[0].actions, stores[2].actions)


def test_chances_outside_of_zero_to_one_are_refused():
    with pytest.raises(ValueError, match="slip_probability = 1.5 is outside"):
        ErrandRunner(slip_probability=1.5)
