"""The oracle of the trip: as quick as can be, with nothing but what it has seen."""

import numpy as np
import pytest

from tasks.trip import trip_task
from tasks.trip.districts import SEAT, District
from tasks.trip.oracle import (
    hindsight_plan,
    onward,
    optimal_actions,
    steps_to,
)
from tasks.trip.world import (
    BAY,
    CLOSED,
    DISTRICT,
    GATE,
    NUM_ACTIONS,
    SEED,
    SEEN,
    STEP,
    TOGGLE,
    WAIT,
    X,
    Y,
    at_desk,
    step,
)
from tests.tasks.trip_states import crowd, journeys

NUM_FRESH = 61
TRIP = trip_task(0, name="trip")


def test_it_looks_at_nothing_that_was_not_seen():
    states, _ = journeys()
    flat = states.reshape(-1, states.shape[-1])[::17]
    blind = flat.copy()
    blind[:, [SEED, STEP]] = 0
    blind[:, CLOSED] = flat[:, SEEN]
    assert not np.array_equal(flat[:, CLOSED], blind[:, CLOSED])
    assert np.array_equal(onward(flat), onward(blind))


def test_it_leaves_the_office_in_the_fewest_steps_there_are():
    # Nothing is random in the office: search all that can be done there.
    frontier, seen, count = at_desk(np.zeros(1, np.int64)), set(), 0
    while (frontier[:, DISTRICT] == District.OFFICE).all():
        after = step(
            np.repeat(frontier, NUM_ACTIONS, axis=0),
            np.tile(np.arange(NUM_ACTIONS), len(frontier)),
        )
        new = [row for row in after if row[DISTRICT:].tobytes() not in seen]
        seen |= {row[DISTRICT:].tobytes() for row in new}
        frontier, count = np.unique(new, axis=0), count + 1
    goal = crowd(1, District.CORRIDOR, (1, 8, 0))
    assert steps_to(at_desk(np.zeros(1, np.int64)), goal).tolist() == [count]


def test_it_waits_for_what_it_needs_and_turns_back_at_a_closed_road():
    lounge = crowd(2, District.LOUNGE, (4, 1, 3), boarding=[0, 1])
    assert onward(lounge).tolist() == [WAIT, 2]
    assert onward(crowd(1, District.STREET, (5, 5, 3))).tolist() == [TOGGLE]
    assert onward(crowd(1, District.STREET, (5, 5, 3), switch=1)).tolist() == [WAIT]
    # On the way north along the first column: its second road is closed, straight on is no way.
    north = crowd(2, District.RIDE, (1, 5, 3), closed=[0, 1 << 6], seen=[0, 1 << 6])
    assert onward(north).tolist() == [2, 1]


def test_a_journey_takes_as_long_as_promised_and_different_time_in_different_draws():
    for name in ("trip-street", "trip-airport", "trip-paris"):
        task = trip_task(0, name=name)
        suite = task.suite(episodes_per_bin=NUM_FRESH, seed=0)
        worlds, arrived = task.batch(suite.starts), np.full(NUM_FRESH, -1)
        for now in range(int(suite.optimal_steps.max()) + 1):
            there = task.is_success(worlds.states, suite.goals)
            arrived[there & (arrived < 0)] = now
            worlds.step(task.optimal_actions(worlds.states, suite.goals))
        assert np.array_equal(arrived, suite.optimal_steps)
        assert len(set(arrived.tolist())) > NUM_FRESH / 5
    assert arrived.min() >= 150 and arrived.max() <= 400


def test_a_perfect_plan_fails_in_other_draws_where_replanning_arrives():
    goal = TRIP.goal
    fresh, goals = at_desk(1 + np.arange(NUM_FRESH)), np.repeat(goal[None], NUM_FRESH, axis=0)
    plan = hindsight_plan(at_desk(np.zeros(1, np.int64))[0], goal)
    own = at_desk(np.zeros(1, np.int64))
    reached = np.zeros(NUM_FRESH, bool)
    states = fresh
    for action in plan:
        assert not TRIP.is_success(own, goals[:1])[0]
        own = step(own, np.array([action]))
        states = step(states, np.full(NUM_FRESH, action))
        reached |= TRIP.is_success(states, goals)
    assert TRIP.is_success(own, goals[:1])[0]
    assert reached.mean() < 0.1
    assert (steps_to(fresh, goals) > 0).all()


def test_even_a_taxi_is_seldom_caught_by_a_plan_made_beforehand():
    goal = trip_task(0, name="trip-street").goal
    goals = np.repeat(goal[None], NUM_FRESH, axis=0)
    states, reached = at_desk(1 + np.arange(NUM_FRESH)), np.zeros(NUM_FRESH, bool)
    for action in hindsight_plan(at_desk(np.zeros(1, np.int64))[0], goal):
        states = step(states, np.full(NUM_FRESH, action))
        reached |= TRIP.is_success(states, goals)
    assert reached.mean() < 0.5


def test_goals_on_the_way_are_reached_too():
    starts = crowd(3, District.STREET, (5, 8, 3))
    goals = np.concatenate(
        [
            crowd(1, District.STREET, (9, 5, 0)),
            crowd(1, District.RIDE, (5, 5, 0)),
            crowd(1, District.AIRPORT, (9, 2, 1)),
        ]
    )
    steps = steps_to(starts, goals)
    assert (np.diff(steps) > 5).all() and steps[0] == 8
    there = crowd(1, District.CAFE, (*SEAT, 0))
    assert optimal_actions(there, there).tolist() == [WAIT]
    with pytest.raises(ValueError, match="district OFFICE, cell .* not reached .* lies ahead"):
        steps_to(starts[:1], at_desk(np.zeros(1, np.int64)))


def test_it_goes_to_the_taxi_and_to_the_gate_that_are_there():
    street = crowd(4, District.STREET, (5, 5, 3), switch=1, bay=[1, 2, 3, 4])
    airport = crowd(3, District.AIRPORT, (5, 2, 3), gate=[1, 2, 3])
    for states, corners in ((street, 4), (airport, 3)):
        places = set()
        for _ in range(12):
            inside = states[:, DISTRICT] == states[0, DISTRICT]
            places |= {tuple(row) for row in states[inside][:, [BAY, GATE, X, Y]].tolist()}
            states = step(states, onward(states))
        assert (states[:, DISTRICT] > District.STREET).all()
        assert len({place[2:] for place in places}) > 2 * corners
