"""Compiled networks: the same names, tensors and results; CUDA graphs' reused memory is copied."""

import shutil

import pytest
import torch
from torch import Tensor, nn

from hplan.compiled import compiled, forward_of
from hplan.goals import Goals
from hplan.level import encode_stack
from hplan.level_config import level_configs
from hplan.planner import plan_level
from tests.hplan.stacks import tiny_config, tiny_stack, tiny_task

B, N, D, A = 3, 7, 5, 2
NUM_STARTS = 11
NETWORKS = ("predictor", "action_prior", "distance.here")


class Pair(nn.Module):
    """Two results of two inputs, as a prior has."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(D + A, D)

    def forward(self, z: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        result = self.linear(torch.cat([z, action], dim=-1))
        return result, result.square()[..., :A]


class Replay:
    """`network` as a CUDA graph runs it: for each number of rows its result has one place."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.places: dict[int, tuple[Tensor, ...]] = {}

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(*inputs)
        places = self.places.setdefault(len(inputs[0]), outputs)
        for place, output in zip(places, outputs, strict=True):
            place.copy_(output)
        return places


@torch.no_grad()
def test_results_outlive_the_next_replay_and_few_graphs_are_recorded():
    torch.manual_seed(0)
    network = Pair()
    replay = Replay(network)
    forward = forward_of(network.forward, lambda: replay, replays=True)
    calls = [(torch.randn(B, n, D), torch.randn(B, n, A)) for n in (N, 6, 11, N, 1)]
    results = [forward(*inputs) for inputs in calls]
    for inputs, result in zip(calls, results, strict=True):
        for output, expected in zip(result, network(*inputs), strict=True):
            assert output.shape == expected.shape
            torch.testing.assert_close(output, expected)
    assert sorted(replay.places) == [4, 32, 64]
    naive = [replay(torch.full((B, D), x), torch.zeros(B, A))[0] for x in (0.0, 1.0)]
    assert naive[0] is naive[1]  # what the copies are for


def test_where_gradients_are_recorded_the_network_itself_runs():
    network = Pair()
    forward = forward_of(network.forward, lambda: Replay(network), replays=True)
    action = torch.zeros(B, A, requires_grad=True)
    forward(torch.zeros(B, D), action)[0].sum().backward()
    expected = network.linear.weight[:, D:].sum(0).expand(B, -1)
    torch.testing.assert_close(action.grad, expected)


def test_a_compiled_stack_shares_names_and_tensors_and_leaves_the_first_alone():
    levels = tiny_stack(tiny_config(2), num_updates=0)
    own, shared = levels.state_dict(), compiled(levels).state_dict()
    assert list(own) == list(shared)
    assert all(own[name].data_ptr() == shared[name].data_ptr() for name in own)
    for level in levels:
        for name in NETWORKS:
            network = dict(level.named_modules()).get(name)
            assert network is None or "forward" not in vars(network)


def test_no_compiler_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ValueError, match="agent.compile = true needs a C\\+\\+ compiler"):
        compiled(nn.ModuleList())


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="there is no compiler")
@pytest.mark.filterwarnings("ignore")  # of torch's own, about itself
def test_compiled_and_not_the_plans_are_the_same():
    config = tiny_config(2)
    task, levels = tiny_task(config), tiny_stack(config, num_updates=5)
    suite = task.suite(episodes_per_bin=NUM_STARTS, seed=0)
    starts, goals = (
        torch.from_numpy(task.observe(x[:NUM_STARTS])) for x in (suite.starts, suite.goals)
    )
    stacks = (levels, compiled(levels))
    for k in range(2):  # the bottom through the encoder above, as towards a subgoal
        for first in (0, 1, 5):  # shapes change as starts drop out
            plain, fast = (
                planned(stack, config, k, starts[first:], goals[first:]) for stack in stacks
            )
            assert torch.equal(plain.num_steps, fast.num_steps)
            for name in ("actions", "latents", "score"):
                assert (getattr(plain, name) - getattr(fast, name)).abs().max() < 1e-4


@torch.no_grad()
def planned(levels, config, k, starts, goals):
    return plan_level(
        levels,
        k,
        encode_stack(levels, starts)[k],
        Goals.observed(levels, goals).energy(levels, 1, "distance"),
        target_level=1,
        energy_name="distance",
        config=level_configs(config.hierarchy)[k].planner,
        generator=torch.Generator().manual_seed(0),
    )
