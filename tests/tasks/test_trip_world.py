"""What happens on the trip: the rules of each district, and chance."""

import numpy as np
import pytest

from tasks.trip.districts import (
    CLOSURES,
    ENTRIES,
    KINDS,
    NUM_BAYS,
    NUM_GATES,
    ROAD_CELLS,
    ROUTE,
    District,
    Kind,
)
from tasks.trip.oracle import LONGEST, onward
from tasks.trip.sight import TripBatch, observe, sight
from tasks.trip.travellers import anywhere
from tasks.trip.world import (
    BAY,
    BOARDING,
    CLOSED,
    DISTRICT,
    FLOOR,
    FORWARD,
    GATE,
    HEADING,
    LEFT,
    PASSPORT,
    PICKUP,
    QUEUE,
    RIGHT,
    SEED,
    SEEN,
    STEP,
    SWITCH,
    TOGGLE,
    WAIT,
    X,
    Y,
    at_desk,
    step,
)
from tests.tasks.trip_states import crowd, journeys

MANY = 701


def _after(states: np.ndarray, *actions: int) -> np.ndarray:
    for action in actions:
        states = step(states, np.full(len(states), action))
    return states


def test_a_states_future_is_its_own():
    states, actions = journeys()
    now, then, taken = states[:, 50], states[:, 51], actions[:, 50]
    order = np.random.default_rng(1).permutation(len(now))[:31]
    assert np.array_equal(step(now[order], taken[order]), then[order])
    kept = now.copy()
    step(now, taken)
    assert np.array_equal(now, kept)  # and no state is changed by going on from it


def test_what_looks_alike_is_alike():
    states, _ = journeys()
    flat = states.reshape(-1, states.shape[-1])
    looks, first = np.unique(sight(flat), return_index=True)
    images = observe(flat[first])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(looks) > 1000
    other = flat[::7].copy()
    other[:, [SEED, STEP]] += 3
    other[:, CLOSED] |= 1 << 11
    assert np.array_equal(observe(other), observe(flat[::7]))


@pytest.mark.parametrize(
    ("district", "before", "after"),
    [
        pytest.param(District.CORRIDOR, {"floor": 2}, {"switch": 1}, id="lift is called"),
        pytest.param(District.CORRIDOR, {"floor": 3, "switch": 1}, {"floor": 4}, id="lift is here"),
        pytest.param(District.LIFT, {"floor": 4}, {"switch": 1}, id="lift is sent down"),
        pytest.param(District.LIFT, {"floor": 1, "switch": 1}, {"floor": 0}, id="lift is down"),
        pytest.param(District.STREET, {}, {"switch": 1}, id="taxi is hailed"),
        *(
            pytest.param(District.STREET, {"switch": 1}, {"bay": bay}, id=f"taxi is at bay {bay}")
            for bay in range(1, NUM_BAYS + 1)
        ),
        pytest.param(District.AIRPORT, {"queue": 1}, {"queue": 0}, id="security is free"),
        *(
            pytest.param(District.AIRPORT, {}, {"gate": gate}, id=f"gate {gate} is called")
            for gate in range(1, NUM_GATES + 1)
        ),
        pytest.param(District.LOUNGE, {}, {"boarding": 1}, id="boarding is open"),
    ],
)
def test_what_is_waited_for_shows_as_another_object(district, before, after):
    """Of what showed as a colour or a state alone, encoders were measured to keep nothing."""
    place = tuple(ENTRIES[district])
    now, then = (observe(crowd(1, district, place, **facts)) for facts in (before, before | after))
    assert (now[..., 0] != then[..., 0]).any()


def test_travellers_stand_where_one_can_stand_and_only_go_on():
    states, _ = journeys()
    district, x, y = (states[:, :, c] for c in (DISTRICT, X, Y))
    kinds = KINDS[district, x, y]
    lanes = (kinds >= Kind.LANE) & (kinds < Kind.GATE)
    flying = district == District.FLIGHT
    assert ((kinds == Kind.FREE) | lanes | (kinds >= Kind.ROADWORK) | flying).all()
    assert (states[:, :, QUEUE][lanes] <= (kinds - Kind.LANE)[lanes]).all()
    assert np.isin(np.diff(district, axis=1), [0, 1]).all()
    assert (states[:, :, PASSPORT][district > District.OFFICE] == 1).all()
    assert set(np.unique(district)) == set(District)
    assert (states[:, :, SEEN] & ~states[:, :, CLOSED] == 0).all()
    closed = np.isin(kinds - Kind.ROADWORK, np.arange(12)) & (
        states[:, :, CLOSED] >> np.maximum(kinds - Kind.ROADWORK, 0) & 1 == 1
    )
    assert not closed.any()


def test_nobody_leaves_the_office_without_his_passport():
    at_door = (9, 9, 0)
    without = crowd(3, District.OFFICE, at_door, passport=0)
    assert (_after(without, TOGGLE, FORWARD)[:, DISTRICT] == District.OFFICE).all()
    shut = crowd(3, District.OFFICE, at_door)
    assert (_after(shut, FORWARD)[:, DISTRICT] == District.OFFICE).all()
    assert (_after(shut, TOGGLE)[:, SWITCH] == 1).all()
    assert (_after(shut, TOGGLE, TOGGLE)[:, SWITCH] == 0).all()
    outside = _after(shut, TOGGLE, FORWARD)
    assert (outside[:, DISTRICT : HEADING + 1] == [1, *ENTRIES[District.CORRIDOR]]).all()


def test_passport_is_picked_up_where_it_lies_and_nowhere_else():
    facing, aside = (7, 3, 3), (6, 3, 3)
    assert (_after(crowd(2, District.OFFICE, facing, passport=0), PICKUP)[:, PASSPORT] == 1).all()
    assert (_after(crowd(2, District.OFFICE, aside, passport=0), PICKUP)[:, PASSPORT] == 0).all()
    assert (_after(crowd(2, District.OFFICE, facing, passport=0), FORWARD)[:, Y] == 3).all()


def test_actions_turn_and_walk_as_in_minigrid():
    states = crowd(1, District.CAFE, (5, 8, 0))
    moves = {LEFT: (5, 8, 3), RIGHT: (5, 8, 1), FORWARD: (6, 8, 0), WAIT: (5, 8, 0)}
    for action, place in moves.items():
        assert tuple(_after(states, action)[0, X : HEADING + 1]) == place
    assert (_after(crowd(1, District.CAFE, (9, 8, 0)), FORWARD)[0, X]) == 9


def test_lift_comes_when_called_and_never_else():
    idle = crowd(MANY, District.CORRIDOR, (1, 1, 0), floor=3)
    floors = [idle[:, FLOOR]]
    for _ in range(30):
        idle = _after(idle, WAIT)
        floors.append(idle[:, FLOOR])
    assert set(np.unique(floors)) == {0, 1, 2, 3} and np.abs(np.diff(floors, axis=0)).max() == 1
    called = _after(idle, *[WAIT] * 60)
    called[:, SWITCH] = 1
    called = _after(called, *[WAIT] * 60)
    assert (called[:, FLOOR] == 4).all()
    called[:, X : HEADING + 1] = (4, 1, 3)
    inside = _after(called, FORWARD)
    assert (inside[:, DISTRICT] == District.LIFT).all() and (inside[:, FLOOR] == 4).all()
    assert (_after(inside, *[WAIT] * 20)[:, FLOOR] == 4).all()  # it waits for its button


def test_taxi_comes_to_every_corner_after_a_random_while():
    hailing = crowd(MANY, District.STREET, (5, 5, 3))
    assert (_after(hailing, *[WAIT] * 20)[:, BAY] == 0).all()
    hailed = _after(hailing, TOGGLE)
    came = (_after(hailed, WAIT)[:, BAY] > 0).mean()
    assert 0.08 < came < 0.3
    bays = _after(hailed, *[WAIT] * 100)[:, BAY]
    assert (np.bincount(bays, minlength=5)[1:] > MANY / 4 * 0.8).all()
    at_first = _after(hailed, *[WAIT] * 100)
    at_first[:, X : HEADING + 1] = (1, 2, 3)
    riding = _after(at_first, FORWARD)[:, DISTRICT] == District.RIDE
    assert np.array_equal(riding, at_first[:, BAY] == 1)


def test_roads_are_closed_at_random_and_seen_on_arrival():
    riding = _after(crowd(MANY, District.STREET, (1, 2, 3), switch=1, bay=1), FORWARD)
    assert (riding[:, DISTRICT] == District.RIDE).all() and (riding[:, SEEN] == 0).all()
    assert set(riding[:, CLOSED]) <= set(CLOSURES.tolist())
    assert len(set(riding[:, CLOSED])) > 0.9 * len(CLOSURES)
    crossing = (5, 5, 0)
    arriving = crowd(MANY, District.RIDE, (4, 5, 0), closed=riding[:, CLOSED])
    arrived = _after(arriving, FORWARD)
    moved = (arrived[:, X : HEADING + 1] == crossing).all(axis=1)
    assert 0.7 < moved.mean() < 0.8  # traffic
    around = sum(
        1 << i for i, c in enumerate(ROAD_CELLS.tolist()) if abs(c[0] - 5) + abs(c[1] - 5) == 2
    )
    assert np.array_equal(arrived[moved, SEEN], arrived[moved, CLOSED] & around)
    assert arrived[moved, SEEN].max() > 0
    ahead = crowd(2, District.RIDE, (6, 5, 0), closed=[1 << 3, 0])  # the fourth road's middle
    assert (_after(ahead, *[FORWARD] * 20)[:, X] == [6, 9]).all()


def test_queue_shrinks_and_any_of_the_gates_is_called():
    inside = crowd(MANY, District.AIRPORT, (5, 7, 3), queue=4)
    queues = [inside[:, QUEUE]]
    for _ in range(80):
        inside = _after(inside, WAIT)
        queues.append(inside[:, QUEUE])
    assert np.isin(np.diff(queues, axis=0), [-1, 0]).all() and (queues[-1] == 0).all()
    assert (np.bincount(inside[:, GATE], minlength=4)[1:] > MANY / 3 * 0.8).all()
    blocked = crowd(1, District.AIRPORT, (5, 5, 3), queue=2)
    assert _after(blocked, FORWARD)[0, Y] == 5
    at_gate = crowd(3, District.AIRPORT, (1, 1, 3), gate=[0, 1, 2])
    assert (_after(at_gate, FORWARD)[:, DISTRICT] == [5, 6, 5]).all()


def test_boarding_opens_closes_and_opens_again():
    lounge = crowd(MANY, District.LOUNGE, (4, 1, 3))
    assert (_after(lounge, FORWARD)[:, DISTRICT] == District.LOUNGE).all()
    seen = []
    for _ in range(120):
        lounge = _after(lounge, WAIT)
        seen.append(lounge[:, BOARDING])
    changes = (np.diff(seen, axis=0) != 0).sum(axis=0)
    assert changes.mean() > 4 and 0.5 < np.mean(seen[-1]) < 0.8
    lounge[:, BOARDING] = 1
    assert (_after(lounge, FORWARD)[:, DISTRICT] == District.FLIGHT).all()


def test_flight_goes_its_way_whatever_one_does():
    flight = crowd(MANY, District.FLIGHT, tuple(ROUTE[0]))
    actions = np.random.default_rng(0).integers(6, size=(len(ROUTE) - 1, MANY))
    place = np.zeros(MANY, np.int64)
    for chosen in actions:
        flight = step(flight, chosen)
        flying = flight[:, DISTRICT] == District.FLIGHT
        now = (flight[:, None, X : HEADING + 1] == ROUTE).all(axis=2).argmax(axis=1)
        assert np.isin((now - place)[flying], [0, 1]).all()
        place = now
    landed = _after(flight, *[WAIT] * 80)
    assert (landed[:, DISTRICT : HEADING + 1] == [8, *ENTRIES[District.PARIS]]).all()


def test_every_mistake_can_be_mended():
    generator = np.random.default_rng(2)
    states = anywhere(499, generator)
    for _ in range(100):
        states = step(states, generator.integers(6, size=len(states)))
    for _ in range(LONGEST):
        states = step(states, onward(states))
        seated = (states[:, DISTRICT] == District.CAFE) & (states[:, X] == 1) & (states[:, Y] == 3)
        if seated.all():
            return
    pytest.fail("some never arrive")


def test_wrong_actions_and_states_are_refused():
    batch = TripBatch(at_desk(np.arange(2)))
    with pytest.raises(ValueError, match="values from 0 to 6; allowed"):
        batch.step(np.array([0, 6]))
    with pytest.raises(ValueError, match=r"shape \(1, 3\); a state .* a row of 15: seed, step"):
        TripBatch(np.zeros((1, 3)))
    wrong = at_desk(np.arange(2))
    wrong[1, DISTRICT] = 10
    with pytest.raises(ValueError, match="district = 10; allowed is 0 to 9"):
        TripBatch(wrong)
