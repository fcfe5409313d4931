"""The benchmark of searches: its rows, and that each search is timed beside its own forwards."""

import pytest
import torch

from hplan.level_config import level_configs
from hplan.peers_bench import HORIZON
from hplan.search import CONTINUOUS_SEARCHES
from hplan.search_bench import (
    BATCH_SIZE,
    benchmark,
    forwards_and_backwards,
    recorded_calls,
    small_search,
    stack_search,
)
from tests.hplan.stacks import tiny_config, tiny_stack

SAMPLING = ("categorical_cem", *CONTINUOUS_SEARCHES)
N, NUM_ROUNDS = 31, 3


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr("hplan.search_bench.NUM_CANDIDATES", N)
    monkeypatch.setattr("hplan.search_bench.NUM_ROUNDS", NUM_ROUNDS)
    monkeypatch.setattr("hplan.search_bench.NUM_WARM_UPS", 1)


@pytest.mark.parametrize("num_levels", [1, 2])
def test_rows_are_whole_and_the_threads_as_before(num_levels):
    config = tiny_config(num_levels)
    levels, threads = tiny_stack(config, num_updates=0), torch.get_num_threads()
    rows = benchmark(levels, level_configs(config.hierarchy), num_repeats=1)
    names = [*CONTINUOUS_SEARCHES, "categorical_cem", "tree", "beam", "cem/prior"]
    assert [row["name"] for row in rows] == [f"search/{n}" for n in names[: 7 + num_levels]]
    for row in rows:
        assert set(row) == {"name", "value", "unit", "reference", "ratio"}
        assert row["ratio"] == pytest.approx(row["value"] / row["reference"])
        assert row["value"] > 0 and row["reference"] > 0 and row["unit"] == "ms"
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("name", SAMPLING)
def test_the_reference_predicts_as_many_rows_as_the_search(name):
    level, search = small_search(name)
    calls = recorded_calls(level, search)
    assert {module for module, _ in calls} == {level.predictor}
    shapes = {tuple(z.shape[:-1]) for _, (z, _) in calls}
    assert shapes == {(1, N)} and len(calls) == HORIZON * NUM_ROUNDS
    assert search().evaluations.tolist() == [HORIZON * NUM_ROUNDS * N]
    assert not level.predictor._forward_pre_hooks


@pytest.mark.parametrize(("name", "k"), [("tree", 0), ("beam", 0), ("cem", 1)])
def test_on_a_stack_the_learned_prior_counts_as_well(name, k):
    config = tiny_config(2)
    level, planner = (tiny_stack(config, num_updates=0)[k], level_configs(config.hierarchy)[k])
    level, search = stack_search(name, level, planner.planner)
    calls = recorded_calls(level, search)
    rows = sum(inputs[0].shape[:-1].numel() for part, inputs in calls if part is level.predictor)
    assert rows == search().evaluations.sum() == BATCH_SIZE * search().evaluations[0]
    priors = [part for part, _ in calls if part is level.action_prior]
    assert len(priors) == k * (planner.planner.horizon * planner.planner.num_iterations + 1)


def test_backwards_are_those_of_whole_rollouts():
    """Of all rounds but the last, each from its own start."""
    level, search = small_search("gradient")
    calls = recorded_calls(level, search)
    seen = []
    handle = level.predictor.register_forward_hook(
        lambda module, inputs, output: seen.append(output.requires_grad)
    )
    with torch.no_grad():
        forwards_and_backwards(calls, HORIZON)
    handle.remove()
    assert seen == [True] * 2 * HORIZON + [False] * HORIZON
