"""The trip as a gymnasium environment: the battery, and MiniGrid's own view of it."""

import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from minigrid.wrappers import FullyObsWrapper

from tasks.trip import TRIPS, trip_task
from tasks.trip.bench import batched_steps, minigrid_steps
from tasks.trip.env import TRIP_IDS, TripEnv
from tasks.trip.oracle import hindsight_plan
from tasks.trip.world import NUM_ACTIONS, PASSPORT, SEED, WAIT
from tests.tasks.trip_states import journeys

MAX_STEPS, LOCKSTEP = 29, 200


def _env(trip: str = "trip", **options) -> TripEnv:
    return TripEnv(trip=trip, **options)


@pytest.fixture(autouse=True)
def _without_a_screen(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


@pytest.mark.parametrize("trip", TRIPS)
def test_gymnasium_accepts_the_environment(trip):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(TRIP_IDS[trip]).unwrapped, skip_render_check=True)


def test_every_render_mode_draws():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(TRIP_IDS["trip"], render_mode="rgb_array").unwrapped)
    env = _env(render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    env.step(0)
    assert before.dtype == np.uint8 and not np.array_equal(before, env.render())
    seen = _env(render_mode="human")
    seen.reset(seed=0)
    shown = seen.window.copy()
    seen.step(0)
    assert seen.window.get_size() == before.shape[1::-1]
    assert seen.window.get_buffer().raw != shown.get_buffer().raw
    seen.close()
    assert _env().render() is None


def test_two_with_one_seed_stay_in_lockstep():
    first, second = _env(), _env()
    first.reset(seed=5)
    second.reset(seed=5)
    other = _env().reset(seed=6)[1]["state"]
    assert first.state[SEED] != other[SEED]
    for action in np.random.default_rng(0).integers(NUM_ACTIONS, size=LOCKSTEP):
        obs, reward, *ended, info = first.step(action)
        obs_too, reward_too, *ended_too, info_too = second.step(action)
        assert all(np.array_equal(obs[key], obs_too[key]) for key in obs)
        assert (reward, ended) == (reward_too, ended_too)
        assert np.array_equal(info["state"], info_too["state"])


def test_episode_is_truncated_at_the_limit():
    env = _env(max_steps=MAX_STEPS)
    env.reset(seed=0)
    ends = [env.step(WAIT)[2:4] for _ in range(MAX_STEPS)]
    assert ends == [(False, False)] * (MAX_STEPS - 1) + [(False, True)]
    assert _env("trip-street").max_steps == trip_task(0, name="trip-street").budget == 380


def test_pickled_environment_goes_on_alike():
    env = _env()
    env.reset(seed=0)
    copy = pickle.loads(pickle.dumps(env))
    for action in (2, 0, 2, 1, 2, 4):
        assert np.array_equal(env.step(action)[0]["image"], copy.step(action)[0]["image"])
    assert np.array_equal(env.reset()[1]["state"], copy.reset()[1]["state"])


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


@pytest.mark.parametrize("trip", TRIPS[1:])
def test_oracle_ends_in_the_goal_in_exactly_the_promised_steps(trip):
    suite = trip_task(0, name=trip).suite(episodes_per_bin=1, seed=0)
    env = gym.make(TRIP_IDS[trip])
    env.reset(seed=0, options={"start": suite.starts[0], "goal": suite.goals[0]})
    plan = hindsight_plan(suite.starts[0], suite.goals[0])
    assert len(plan) == suite.optimal_steps[0]
    ends = [env.step(action) for action in plan]
    assert [end[2] for end in ends] == [False] * (len(plan) - 1) + [True]
    assert [end[1] for end in ends] == [0.0] * (len(plan) - 1) + [1.0]
    assert np.array_equal(ends[-1][0]["image"][:, :, 0], ends[-1][0]["goal"][:, :, 0])


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
