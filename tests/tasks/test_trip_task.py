"""The trip as a task: its data, its pairs, what a person sees of it."""

from dataclasses import replace

import numpy as np
import pytest

from hplan.task import Task, Worlds
from tasks.trip import TRIPS, trip_task
from tasks.trip.districts import District
from tasks.trip.oracle import onward
from tasks.trip.picture import caption, district_of
from tasks.trip.sight import observe, sight
from tasks.trip.travellers import Travellers
from tasks.trip.world import DISTRICT, PICKUP, step
from tests.tasks.trip_states import crowd, journeys

NUM_EPISODES, NUM_STEPS, NUM_PAIRS = 13, 41, 53
TRIP = trip_task(0, name="trip")


def _generator() -> np.random.Generator:
    return np.random.default_rng(3)


def test_a_trip_is_a_task():
    for name in TRIPS:
        task = trip_task(0, name=name)
        assert isinstance(task, Task)
        suite = task.suite(episodes_per_bin=2, seed=1)
        assert isinstance(task.batch(suite.starts), Worlds)
        ((_, low, high),) = suite.bins
        assert ((suite.optimal_steps >= low) & (suite.optimal_steps <= high)).all()
        assert suite.budgets.tolist() == [3 * high + 20] * 2
        obs = task.observe(suite.goals)
        assert obs.shape == (2, *task.spec.shape) and obs.dtype == task.spec.dtype
        assert (obs < task.spec.num_values).all()


def test_a_goal_looks_as_it_will_when_it_is_reached():
    states, _ = journeys()
    entering = np.diff(states[:, :, DISTRICT], axis=1) == 1
    for name in ("trip-street", "trip-airport"):
        goals = trip_task(0, name=name).goal[None]
        arrived = states[:, 1:][entering & (states[:, 1:, DISTRICT] == goals[0, DISTRICT])]
        assert len(arrived) > 5 and (observe(arrived) == observe(goals)).all()


def test_episodes_are_those_of_the_generator():
    store = TRIP.wander(NUM_EPISODES, NUM_STEPS, _generator())
    same = TRIP.wander(NUM_EPISODES, NUM_STEPS, _generator())
    assert np.array_equal(store.frames, same.frames)
    assert np.array_equal(store.actions, same.actions)
    other = TRIP.wander(NUM_EPISODES, NUM_STEPS, np.random.default_rng(4))
    assert not np.array_equal(store.actions, other.actions)
    assert store.actions.shape == (NUM_EPISODES, NUM_STEPS)
    first = np.unique(store.frame_index, return_index=True)[1]
    assert (np.diff(first) > 0).all()  # in order of first occurrence
    hasty = TRIP.wander(NUM_EPISODES, NUM_STEPS, _generator(), Travellers(mistake=1.0))
    assert np.bincount(hasty.actions.ravel()).min() > 0.1 * hasty.actions.size
    with pytest.raises(ValueError, match="'trip' wanders by itself, .* 'me' is none"):
        TRIP.wander(1, 1, _generator(), "me")


def test_data_has_every_district_and_episodes_join_many():
    states, actions = journeys()
    share = np.bincount(states[:, :, DISTRICT].ravel(), minlength=len(District))
    assert (share > 0.03 * share.sum()).all() and (share < 0.3 * share.sum()).all()
    assert np.bincount(actions.ravel(), minlength=6).min() > 0.005 * actions.size
    assert (states[:, -1, DISTRICT] - states[:, 0, DISTRICT]).mean() > 2.5


@pytest.mark.parametrize("repeat", [0.0, 0.75])
def test_mistakes_are_gone_on_with(repeat):
    travellers = Travellers(mistake=0.05, repeat=repeat)
    taken = TRIP.wander(NUM_EPISODES, NUM_STEPS, _generator(), travellers).actions
    picks_up = taken == PICKUP  # which nobody intends twice
    share = (picks_up[:, 1:] & picks_up[:, :-1]).sum() / picks_up[:, :-1].sum()
    assert share > 0.5 if repeat else share < 0.1


def test_validation_pairs_are_joined_in_the_steps_they_say():
    pairs = TRIP.validation_pairs(NUM_PAIRS, seed=0)
    assert len(pairs.starts) == NUM_PAIRS
    states, wanted = pairs.starts, sight(pairs.goals)
    first = np.full(NUM_PAIRS, -1)
    for now in range(int(pairs.optimal_steps.max()) + 1):
        first[(sight(states) == wanted) & (first < 0)] = now
        states = step(states, onward(states))
    assert np.array_equal(first, pairs.optimal_steps) and first.min() > 0
    assert len(np.unique(pairs.goals[:, DISTRICT])) > 5
    with pytest.raises(ValueError, match="num_pairs = 0"):
        TRIP.validation_pairs(0, seed=0)


def test_distances_are_to_one_goal():
    obs, steps = TRIP.distances_to_a_goal(NUM_PAIRS)
    again, _ = TRIP.distances_to_a_goal(NUM_PAIRS)
    assert np.array_equal(obs, again) and len(obs) == len(steps) == NUM_PAIRS
    assert steps[0] == 0 and (steps[1:] >= 0).all() and steps.max() > 150


def test_travellers_out_of_bounds_are_refused():
    with pytest.raises(ValueError, match=r"travellers.mistake = 1.5 is outside \[0, 1\]"):
        Travellers(mistake=1.5)
    with pytest.raises(ValueError, match="must not exceed 1"):
        Travellers(onward=0.8, roam=0.4)
    with pytest.raises(ValueError, match="must add up to 1"):
        Travellers(starts=(0.2,) * 10)


def test_a_person_reads_where_he_is_and_what_to_do():
    states, _ = journeys()
    flat = states.reshape(-1, states.shape[-1])[::83]
    for row, obs in zip(flat, observe(flat), strict=True):
        assert district_of(obs) == row[DISTRICT]
    said = {
        "lift on floor 2: wait": crowd(1, District.CORRIDOR, (1, 8, 0), switch=1, floor=2),
        "hail a taxi at the post": crowd(1, District.STREET, (5, 8, 3)),
        "wait for a taxi": crowd(1, District.STREET, (5, 8, 3), switch=1),
        "a taxi: get in": crowd(1, District.STREET, (5, 8, 3), switch=1, bay=2),
        "3 in the queue; wait for the gate": crowd(1, District.AIRPORT, (1, 9, 0), queue=3),
        "here you are": TRIP.goal[None],
    }
    for words, state in said.items():
        assert caption(observe(state)[0])[-1] == words
    pocket = caption(observe(crowd(1, District.AIRPORT, (1, 9, 0), gate=2))[0])[1]
    assert pocket == "pocket: passport, ticket, green gate"
    picture = TRIP.picture(observe(TRIP.goal[None])[0])
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    assert not np.array_equal(picture[-43:], TRIP.picture(observe(flat[:1])[0])[-43:])


def test_a_change_of_how_strollers_walk_shows_and_older_data_stay_valid():
    task = trip_task(0, name="trip")
    # What datasets of before these were written down say.
    assert sorted(task.behaviour) == sorted(
        ["policy", "onward", "roam", "persistence", "mistake", "repeat", "forward", "pause"]
        + ["at_desk", "starts"]
    )
    for name in ("into_walls", "other_sense"):
        other = replace(task, travellers=Travellers(**{name: 0.3}))
        assert other.behaviour == {**task.behaviour, name: 0.3}
        walks = [each.wander(20, 60, np.random.default_rng(0)).actions for each in (task, other)]
        assert not np.array_equal(*walks)
