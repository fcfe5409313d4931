"""Tasks seen through the egocentric view."""

import numpy as np
import pytest
from minigrid.core.constants import OBJECT_TO_IDX

from hplan.dataset import ObservationSpec
from tasks import build_task
from tasks.egocentric import egocentric
from tasks.objects import make_objects_task
from tasks.partial import partial_view
from tasks.trip.districts import District
from tasks.trip.travellers import anywhere
from tasks.trip.world import DISTRICT, GATE, HEADING, PASSPORT, X, Y

E, T = 5, 31


@pytest.fixture(scope="module", params=["rooms-tiny", "rooms-lava", "objects"])
def full(request):
    if request.param == "objects":
        return make_objects_task("MiniGrid-DoorKey-5x5-v0", 0)
    return build_task(request.param, 3)


def test_episodes_are_the_full_tasks_as_the_agent_saw_them(full):
    task = partial_view(full)
    store = task.wander(E, T, np.random.default_rng(2))
    whole = full.wander(E, T, np.random.default_rng(2))
    assert np.array_equal(store.actions, whole.actions)
    assert store.spec == task.spec and store.frames.shape[1:] == (7, 7, 3)
    for episode in range(E):
        seen = egocentric(whole.observations(episode))
        assert np.array_equal(store.observations(episode), seen)
    assert len(np.unique(store.frames.reshape(len(store.frames), -1), axis=0)) == len(store.frames)
    # In order of first occurrence.
    first = [np.argmax(store.frame_index.ravel() == frame) for frame in range(len(store.frames))]
    assert first == sorted(first)


def test_batch_goals_and_distances_go_through_the_view(full):
    task = partial_view(full)
    suite = task.suite(episodes_per_bin=3, seed=0)
    assert suite.sha256 == full.suite(episodes_per_bin=3, seed=0).sha256
    worlds, whole = task.batch(suite.starts), full.batch(suite.starts)
    actions = task.optimal_actions(worlds.states, suite.goals)
    worlds.step(actions)
    whole.step(actions)
    assert np.array_equal(worlds.states, whole.states)
    assert np.array_equal(worlds.observe(), egocentric(whole.observe()))
    assert np.array_equal(task.observe(worlds.states), worlds.observe())
    assert np.array_equal(task.goal_observations(suite.goals)[:, 0], task.observe(suite.goals))
    views, steps = task.distances_to_a_goal(11)
    assert np.array_equal(views, egocentric(full.distances_to_a_goal(11)[0]))
    assert steps.max() > 0
    assert task.picture(views[0]).shape == (28, 28, 3)


def test_lava_is_told_through_the_view():
    full = build_task("rooms-lava", 3)
    views, labels = partial_view(full).labelled_states("lava")
    assert views.shape[1:] == (7, 7, 3) and labels.any() and not labels.all()
    states = full.world.all_states[full.world.reachable]
    assert np.array_equal(partial_view(full).is_unsafe(states), labels)


def test_a_traveller_knows_what_is_in_the_pocket():
    task = partial_view(build_task("trip", 0))
    states = anywhere(300, np.random.default_rng(0))
    office, airport = ((states[:, DISTRICT] == d) for d in (District.OFFICE, District.AIRPORT))
    ticket, key = (OBJECT_TO_IDX["box"], 3, 0), (OBJECT_TO_IDX["key"], 4, 0)
    gates = [(OBJECT_TO_IDX["ball"], colour, 0) for colour in (0, 1, 3)]
    for rows, column, shown in ((office, PASSPORT, (ticket, key)), (airport, GATE, (key, *gates))):
        for value, thing in enumerate(shown):
            having = states[rows]
            having[:, column] = value
            assert len(having) > 20 and (task.observe(having)[:, 3, 6] == thing).all()
    out = states[states[:, DISTRICT] > District.LOUNGE]  # the ticket stays with the airline
    assert len(out) > 20 and (task.observe(out)[:, 3, 6] == key).all()
    # The pocket's row is no place that one could look at.
    back = states[:1]
    back[0, [DISTRICT, X, Y, HEADING, PASSPORT]] = District.RIDE, 1, 10, 1, 1
    assert task.full.observe(back)[0, 1, 11].tolist() == list(key)
    assert task.observe(back)[0, 3, 5].tolist() == [OBJECT_TO_IDX["wall"], 5, 0]
    assert task.behaviour["pocket"] != task.full.behaviour.get("pocket")


def test_task_without_grids_is_refused():
    class Vectors:
        name = "vectors"
        spec = ObservationSpec(kind="vector", shape=(3,), num_actions=2)

    with pytest.raises(ValueError, match=r"task\.view = partial, but task 'vectors'"):
        partial_view(Vectors())


def test_task_that_knows_no_ways_is_refused():
    class Grids:
        name = "grids"
        spec = build_task("rooms-tiny", 0).spec

    with pytest.raises(ValueError, match="task 'grids' knows no shortest ways"):
        partial_view(Grids())
