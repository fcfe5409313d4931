"""The peers' rows: all planners on one problem, timed beside the predictions that they make."""

import importlib

import pytest
import torch

from hplan import peers_bench
from hplan.bench import predictor_inputs
from hplan.peers_bench import ACTION_DIM, LATENT_DIM, PACKAGES, Costs, benchmark, small_level

N, ROUNDS, H = 11, 2, 3
pytestmark = pytest.mark.filterwarnings("ignore")  # of other packages, about themselves


@pytest.fixture
def small(monkeypatch):
    """A problem of a few plans."""
    sizes = {"NUM_CANDIDATES": N, "NUM_ELITES": 5, "NUM_ROUNDS": ROUNDS, "HORIZON": H}
    for name, value in sizes.items():
        monkeypatch.setattr(peers_bench, name, value)


def test_what_is_not_installed_is_named_in_one_line(small, monkeypatch):
    monkeypatch.setitem(PACKAGES, "no_such_package", PACKAGES["hplan"])
    told, threads = [], torch.get_num_threads()
    rows = benchmark(report=told.append, num_repeats=1)
    assert [row["name"] for row in rows][:3] == [
        "peers/hplan-cem",
        "peers/hplan-icem",
        "peers/hplan-mppi",
    ]
    assert not [row for row in rows if "no_such_package" in row["name"]]
    assert len(told) == 1 and "no_such_package" in told[0] and ".[peers]" in told[0]
    for row in rows:
        assert row["ratio"] == pytest.approx(row["value"] / row["reference"])
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("package", PACKAGES)
@torch.no_grad()
def test_every_planner_makes_the_same_number_of_predictions(small, package):
    try:
        importlib.import_module(package)
    except ImportError as error:
        pytest.skip(f"an optional peer: {error}")
    level = small_level()
    z, goal = torch.zeros(1, LATENT_DIM), torch.ones(1, LATENT_DIM)
    for name, run in PACKAGES[package](level, z, goal).items():
        batches = predictor_inputs(level, run)
        rows = sum(batch.shape[:-1].numel() for batch, _ in batches)
        assert (package, name, rows) == (package, name, ROUNDS * N * H)


@torch.no_grad()
def test_the_model_of_the_peers_is_ours(small):
    level = small_level()
    z, goal = torch.zeros(1, LATENT_DIM), torch.ones(1, LATENT_DIM)
    result = PACKAGES["hplan"](level, z, goal)["cem"]()
    info = {"z": z.unsqueeze(1), "goal": goal.unsqueeze(1)}
    cost = Costs(level).get_cost(info, result.macro_actions.unsqueeze(1))
    assert result.macro_actions.shape[-1] == ACTION_DIM
    torch.testing.assert_close(cost.squeeze(1), result.left)
    assert not torch.isclose(Costs(level).get_cost(info, torch.zeros(1, 1, H, ACTION_DIM)), cost)
