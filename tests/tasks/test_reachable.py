"""What the tasks say can be reached, against what their data reach."""

import numpy as np
import pytest

from tasks.coverage import visited
from tasks.mazes import MAZES
from tasks.point_rooms import PointRoomsTask
from tasks.trip.districts import District
from tasks.trip.reachable import reachable_states
from tasks.trip.sight import sight
from tasks.trip.task import TRIPS
from tasks.trip.travellers import Travellers, travel
from tasks.trip.world import DISTRICT
from tests.tasks.every_task import GYM, NAMES, data_of, each, task_of

# Their states cannot be listed.
UNKNOWN = {"MiniGrid-Dynamic-Obstacles-6x6-v0", GYM, *MAZES}


@each(name for name in NAMES if name not in TRIPS)
def test_data_are_of_what_is_reachable(name):
    task, store = task_of(name), data_of(name)
    seen = visited(task, store.frames)
    if name in UNKNOWN:
        assert set(seen.values()) == {None}
    elif isinstance(task, PointRoomsTask):
        assert 0 < seen["visited"] <= 1 and seen["reachable"] == len(task.world.cells)
    else:
        assert round(seen["visited"] * seen["reachable"]) == len(store.frames)


@pytest.mark.slow
def test_travellers_see_what_is_listed_and_of_small_districts_all_of_it():
    states = reachable_states()
    listed = sight(states)
    assert len(np.unique(listed)) == len(listed)
    for district in District:
        begin = Travellers(starts=tuple(np.eye(len(District))[district]), at_desk=0.0)
        walks, _ = travel(1500, 300, np.random.default_rng(int(district)), begin)
        walks = walks.reshape(-1, walks.shape[-1])
        assert np.isin(sight(walks), listed).all()
        here = np.unique(sight(walks[walks[:, DISTRICT] == district]))
        share = len(here) / (states[:, DISTRICT] == district).sum()
        if district in (District.CORRIDOR, District.STREET, District.AIRPORT):
            assert share > 0.8
        else:
            assert share == 1.0 or district == District.RIDE


@pytest.mark.parametrize("name", ["point-rooms", "point-rooms-pixels"])
def test_an_observation_tells_its_free_cell(name):
    task = task_of(name)
    cells = np.repeat(np.arange(task.num_places), 3)
    states = task.world.random_states(cells, np.random.default_rng(0), speed=0.2)
    assert np.array_equal(task.places(task.observe(states)), cells)
