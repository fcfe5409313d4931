"""Suites: bins, hashes, streams."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import GridWorld, build_task
from tasks.oracle import optimal_steps
from tasks.seeds import Stream, stream_generator
from tasks.suite import fitting_bins, make_suite, validation_pairs

LAYOUT_SEED = 2
TINY = build_task("rooms-tiny", LAYOUT_SEED)


@pytest.mark.parametrize("name", ["rooms", "rooms-tiny", "four-rooms"])
def test_every_pair_lies_in_its_bin(name):
    task = build_task(name, LAYOUT_SEED)
    suite = task.suite(episodes_per_bin=13, seed=0)
    assert np.bincount(suite.bin_index).tolist() == [13] * len(task.bins)
    assert np.array_equal(suite.optimal_steps, optimal_steps(task.world, suite.starts, suite.goals))
    for index, (_, low, high) in enumerate(suite.bins):
        steps = suite.optimal_steps[suite.bin_index == index]
        assert steps.min() >= low + (index > 0) and steps.max() <= high


@given(low=st.integers(1, 5), width=st.integers(1, 3), seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_bins_share_no_length(low, width, seed):
    middle, high = low + width, low + 2 * width
    bins = (("near", low, middle), ("beyond", middle, high))
    suite = make_suite(TINY.world, name="tiny", bins=bins, episodes_per_bin=23, seed=seed)
    near, beyond = suite.optimal_steps[:23], suite.optimal_steps[23:]
    assert low <= near.min() and near.max() <= middle < beyond.min() and beyond.max() <= high


def test_first_bin_holds_its_lower_edge():
    bins = (("first", 3, 4), ("second", 4, 5))
    suite = make_suite(TINY.world, name="tiny", bins=bins, episodes_per_bin=41, seed=0)
    assert set(suite.optimal_steps[:41]) == {3, 4} and set(suite.optimal_steps[41:]) == {5}


def test_hash_is_stable_and_tells_suites_apart():
    suite = TINY.suite(episodes_per_bin=5, seed=3)
    assert suite.sha256 == TINY.suite(episodes_per_bin=5, seed=3).sha256
    # Of another version of numpy, networkx or of us: look why before you write it anew.
    assert suite.sha256.startswith("c683cf54e16fcbeb")
    others = [
        TINY.suite(episodes_per_bin=5, seed=4),
        TINY.suite(episodes_per_bin=7, seed=3),
        build_task("rooms-tiny", LAYOUT_SEED + 1).suite(episodes_per_bin=5, seed=3),
    ]
    assert suite.sha256 not in {other.sha256 for other in others}


def test_validation_pairs_spread_over_distances_and_are_not_the_suites():
    task = build_task("rooms", LAYOUT_SEED)
    pairs = task.validation_pairs(200, seed=0)
    assert (pairs.optimal_steps >= 1).all()
    shares = np.histogram(pairs.optimal_steps, bins=[1, 11, 21, 31])[0] / 200
    assert (shares > 0.1).all(), shares
    suite = task.suite(episodes_per_bin=50, seed=0)
    as_rows = [
        {tuple(row) for row in np.hstack([drawn.starts, drawn.goals]).tolist()}
        for drawn in (pairs, suite)
    ]
    assert len(as_rows[0] & as_rows[1]) <= 2
    again = task.validation_pairs(200, seed=0)
    assert np.array_equal(again.starts, pairs.starts)


def test_bin_that_the_world_does_not_hold_is_refused():
    bins = (("short", 2, 5), ("farthest", 160, 240))
    with pytest.raises(ValueError, match="bin 'farthest' of 161 to 240 .* 13 x 13 world"):
        make_suite(TINY.world, name="tiny", bins=bins, episodes_per_bin=3, seed=0)


def test_fitting_bins_drops_what_is_too_far():
    bins = (("short", 2, 5), ("farthest", 160, 240))
    assert fitting_bins(TINY.world, bins) == bins[:1]
    with pytest.raises(ValueError, match="too small"):
        fitting_bins(TINY.world, bins[1:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"episodes_per_bin": 0, "seed": 0}, "episodes_per_bin = 0"),
        ({"episodes_per_bin": 1, "seed": -1}, "seed = -1"),
    ],
)
def test_impossible_numbers_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TINY.suite(**arguments)


def test_validation_pairs_need_a_world_to_walk_in():
    with pytest.raises(ValueError, match="num_pairs = 0"):
        TINY.validation_pairs(0, seed=0)
    walls = np.ones((3, 3), bool)
    walls[1, 1] = False
    with pytest.raises(ValueError, match=r"cell \(1, 1\) has walls all round"):
        validation_pairs(GridWorld.from_walls(walls), num_pairs=1, seed=0)


def test_random_streams_never_meet():
    keys = [(stream, seed, part) for stream in Stream for seed in (0, 1, 2**32) for part in (0, 1)]
    firsts = {stream_generator(*key).integers(2**62) for key in keys}
    assert len(firsts) == len(keys)
