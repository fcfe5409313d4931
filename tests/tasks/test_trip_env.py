"""The trip as a gymnasium environment: MiniGrid's own view of it, and its limits."""

import numpy as np
import pytest
from minigrid.wrappers import FullyObsWrapper

from tasks.trip.bench import batched_steps, minigrid_steps
from tasks.trip.env import TripEnv
from tasks.trip.world import PASSPORT
from tests.tasks.trip_states import journeys


def _env(trip: str = "trip", **options) -> TripEnv:
    return TripEnv(trip=trip, **options)


def test_minigrids_own_full_view_is_the_simulators():
    env = FullyObsWrapper(_env())
    env.reset(seed=0)
    states, _ = journeys()
    flat = states.reshape(-1, states.shape[-1])[::401]
    for row in flat:
        obs, info = env.unwrapped.reset(options={"start": row})
        assert np.array_equal(info["state"], row)
        assert np.array_equal(env.observation(obs)["image"], obs["image"])
        assert (env.unwrapped.carrying is not None) == bool(row[PASSPORT])


def test_an_episode_may_last_as_long_as_the_suite_allows():
    env = _env("trip-street")
    assert env.max_steps == env.task.budget == 380


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="trip = 'trip-rome' is unknown; known: trip, trip-st"):
        _env("trip-rome")
    with pytest.raises(ValueError, match="max_steps = 0 must be at least 1"):
        _env(max_steps=0)
    env = _env()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="actions hold values from 6 to 6"):
        env.step(6)
    with pytest.raises(ValueError, match="x = 40; allowed is 0 to 10"):
        start = env.state.copy()
        start[3] = 40
        env.reset(options={"start": start})


def test_bench_counts_the_steps_it_takes():
    assert batched_steps() == 256 * 50
    assert minigrid_steps() == 200
