"""The searches against worlds that can be solved by hand or by brute force."""

from dataclasses import replace
from importlib import import_module
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from hplan.config import PlannerConfig
from hplan.energy import target_energy
from hplan.search import SEARCHES, find_search
from hplan.search.cem import NOISE_BOUND, categorical_cem, cem
from hplan.search.result import SearchResult, concatenated, end_scores, repeat_after
from hplan.search.tree import tree
from tests.hplan.line_world import Position, Prior, line_level, line_stack, noise

B, A, H, D = 2, 3, 5, 7
NUM_ROWS = A + A**2 + A**3 + A**4 + A**5
CEM_MODULE = import_module("hplan.search.cem")  # the package has a function of that name
CONFIG = PlannerConfig(horizon=H, num_candidates=127, num_elites=13, num_iterations=5)


class Bent(nn.Module):
    """A random network: the order of the actions matters, so no two plans are alike."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(D + A, D, generator=noise(seed)))

    def forward(self, z: Tensor, action: Tensor) -> Tensor:
        return z + torch.tanh(torch.cat([z, action], dim=-1) @ self.weight)


def _bent_level(seed: int = 0):
    return line_level(encoder=Position(), predictor=Bent(seed), latent_dim=D, num_actions=A)


def _search(name, level, z, goal, *, seed=0, config=CONFIG, **settings) -> SearchResult:
    rest = {"cost": 1.0, "arrival": 0.1, "warm_start": None, **settings}
    energy = target_energy(level, goal, "distance")
    return SEARCHES[name](level, z, energy, config=config, generator=noise(seed), **rest)


def _brute_force(level, z, goal, *, horizon, cost, arrival) -> tuple[float, tuple[int, ...]]:
    """Score and actions of the best of all sequences from `z` (D,), each rolled out by itself."""
    best = (float("inf"), ())
    for length in range(1, horizon + 1):
        for numbers in product(range(level.num_actions), repeat=length):
            at = z
            for number in numbers:
                at = level.predictor(at, torch.eye(level.num_actions)[number])
            left = level.distance.steps(at, goal).item()
            if length == horizon or left <= arrival:
                best = min(best, (cost * length + left, numbers))
    return best


@pytest.fixture
def rows_predicted(request):
    """Counts the rows that pass a level's predictor."""

    def count(level):
        rows = []
        handle = level.predictor.register_forward_hook(
            lambda module, inputs, output: rows.append(output.numel() // output.shape[-1])
        )
        request.addfinalizer(handle.remove)
        return rows

    return count


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("arrival", [0.3, torch.inf])
def test_tree_equals_brute_force(seed, arrival):
    level = _bent_level(seed)
    z = torch.randn(B, D, generator=noise(seed))
    # The first goal is met after three actions, the other may be anywhere.
    goal = torch.randn(B, D, generator=noise(seed + 1))
    at = z[0]
    for number in (2, 0, 1):
        at = level.predictor(at, torch.eye(A)[number])
    goal[0] = at
    found = _search("tree", level, z, goal, arrival=arrival, cost=0.1)
    for b in range(B):
        score, numbers = _brute_force(level, z[b], goal[b], horizon=H, cost=0.1, arrival=arrival)
        assert found.score[b].item() == pytest.approx(score, abs=1e-5)
        assert found.num_steps[b] == len(numbers)
        assert tuple(found.actions[b].argmax(-1)[: len(numbers)].tolist()) == numbers
    assert found.actions[0, :3].argmax(-1).tolist() == [2, 0, 1]
    assert found.left[0] < 1e-5


def test_the_latents_of_a_plan_are_those_of_its_actions():
    level, z = _bent_level(), torch.randn(B, D, generator=noise())
    for name in ("tree", "categorical_cem"):
        found = _search(name, level, z, z + 1, arrival=torch.inf, cost=0.5)
        at, latents = z, [z]
        for h in range(H):
            after = level.predict(at, found.actions[:, h])
            at = torch.where((h < found.num_steps).unsqueeze(1), after, at)
            latents.append(at)
        assert torch.allclose(torch.stack(latents, dim=1), found.latents, atol=1e-5)
        left = level.steps_left(found.latents[:, -1], z + 1)
        assert torch.allclose(left, found.left, atol=1e-5)
        assert torch.allclose(found.num_steps * 0.5 + left, found.score, atol=1e-5)


def test_work_is_the_rows_that_the_predictor_saw(rows_predicted):
    level, above = line_stack(3)
    z = torch.zeros(B, 1)
    for name, on, expected in (
        ("tree", level, NUM_ROWS),
        ("categorical_cem", level, 127 * H * 5),
        ("cem", above, 127 * H * 5),
    ):
        rows = rows_predicted(on)
        found = _search(name, on, z, z + 2)
        assert found.evaluations == expected
        assert sum(rows) == B * expected
    assert NUM_ROWS == 363


@pytest.mark.parametrize("steps", range(-H, H + 1))
@pytest.mark.parametrize("name", ["tree", "categorical_cem"])
def test_a_reachable_goal_is_reached_in_as_few_actions_as_can_be(name, steps):
    level = line_stack()[0]
    found = _search(name, level, torch.tensor([[2.0]]), torch.tensor([[2.0 + steps]]))
    assert found.left.item() == 0
    # Where it already is at the goal, a plan still has one step.
    assert found.num_steps.item() == max(1, abs(steps))
    assert found.score.item() == max(1, abs(steps))
    assert found.latents[0, found.num_steps.item() :].unique().item() == 2.0 + steps


@pytest.mark.parametrize("goal", [-9.0, -2.0, 0.5, 3.0, 11.0])
def test_macro_actions_that_lead_to_the_goal_are_found(goal):
    above = line_stack(3)[1]
    found = _search("cem", above, torch.zeros(1, 1), torch.tensor([[goal]]), cost=3.0)
    assert found.left.item() < 3 * 0.1
    assert found.num_steps.item() >= abs(goal) / NOISE_BOUND
    assert found.support.item() <= NOISE_BOUND


@pytest.mark.parametrize("name", ["tree", "categorical_cem", "cem"])
def test_a_plan_ends_before_its_horizon_on_arrival_alone(name):
    level = line_stack(3)[name == "cem"]
    goal = torch.linspace(-8, 8, 33).unsqueeze(1) * (2 if name == "cem" else 1)
    found = _search(name, level, torch.zeros_like(goal), goal, cost=float(level.stride))
    early = found.num_steps < H
    assert 0 < early.sum() < len(goal)
    assert (found.left[early] <= 0.1).all()
    assert (found.num_steps >= 1).all() and (found.num_steps <= H).all()


def test_far_from_the_goal_a_plan_goes_on_where_ending_at_once_looks_cheaper():
    """Free to end anywhere, the negative control, it stops as a step costs more than it gains."""
    level, z, goal = line_stack()[0], torch.zeros(1, 1), torch.tensor([[40.0]])
    held = _search("tree", level, z, goal, cost=1.5, arrival=1.0)
    free = _search("tree", level, z, goal, cost=1.5, arrival=torch.inf)
    assert held.num_steps.item() == H and held.latents[0, -1].item() == H
    assert free.num_steps.item() == 1


def test_candidates_never_leave_the_noise_of_the_prior():
    above = line_stack(3)[1]
    above.action_prior = Prior(1, mean=5.0, std=0.5)
    seen = []
    handle = above.predictor.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    for goal in (-1e4, 1e4):
        for warm_start in (None, torch.full((1, H, 1), 7.0)):
            found = _search(
                "cem", above, torch.zeros(1, 1), torch.tensor([[goal]]), warm_start=warm_start
            )
            assert 2 < found.support.item() <= NOISE_BOUND
    handle.remove()
    outside = (torch.cat([x.flatten() for x in seen]) - 5.0).abs() / 0.5
    assert outside.max() == pytest.approx(NOISE_BOUND)


def test_a_warm_start_is_the_first_candidate():
    above, goal = line_stack(3)[1], torch.tensor([[6.0]])
    warm = torch.tensor([[[2.0], [2.0], [2.0], [0.0], [0.0]]])
    one = replace(CONFIG, num_candidates=2, num_elites=2, num_iterations=1)
    found = _search("cem", above, torch.zeros(1, 1), goal, config=one, warm_start=warm)
    assert torch.equal(found.actions, warm)
    assert (found.num_steps.item(), found.left.item()) == (3, 0)
    cold = _search("cem", above, torch.zeros(1, 1), goal, config=one)
    assert cold.left > 1


@pytest.mark.parametrize("name", ["tree", "cem"])
def test_several_starts_are_planned_for_as_each_alone(name, monkeypatch):
    """CEM draws the noise of a batch as one block, so here each start is given its share of it."""
    level = line_stack(3)[name == "cem"]
    z, goal = torch.tensor([[0.0], [5.0], [-7.0]]), torch.tensor([[2.0], [1.0], [-5.5]])
    block = torch.randn(CONFIG.num_iterations, 3, CONFIG.num_candidates, H, 1, generator=noise())
    for rows in (slice(0, 3), slice(0, 1), slice(1, 2), slice(2, 3)):
        draws = iter(block[:, rows])
        monkeypatch.setattr(CEM_MODULE, "_noise", lambda shape, generator, of=draws: next(of))
        found = _search(name, level, z[rows], goal[rows])
        if rows == slice(0, 3):
            whole = found
            continue
        for field in ("actions", "latents", "num_steps", "score", "left", "support"):
            assert torch.equal(getattr(found, field), getattr(whole, field)[rows]), field
        assert found.evaluations == whole.evaluations


@pytest.mark.parametrize("name", ["cem", "categorical_cem"])
def test_the_same_seed_gives_the_same_plan_and_another_seed_another(name):
    level, goal = line_stack(3)[name == "cem"], torch.tensor([[9.0], [-30.0]])
    if name == "categorical_cem":
        level, goal = _bent_level(), torch.randn(B, D, generator=noise())
    z = torch.zeros_like(goal)
    few = replace(CONFIG, num_candidates=11, num_elites=5, num_iterations=2)
    first, again, other = (
        _search(name, level, z, goal, seed=seed, config=few, arrival=0.0) for seed in (0, 0, 1)
    )
    assert torch.equal(first.actions, again.actions) and torch.equal(first.score, again.score)
    assert not torch.equal(first.actions, other.actions)


def test_latents_repeat_after_the_end_of_a_plan():
    latents = torch.arange(2 * 4 * 3.0).view(2, 4, 3)
    repeated = repeat_after(latents, torch.tensor([1, 3]))
    assert torch.equal(repeated[0], latents[0, [0, 1, 1, 1]])
    assert torch.equal(repeated[1], latents[1])


def test_scores_of_ending():
    lefts = torch.tensor([0.0, 1.0, 2.0])
    early = end_scores(lefts, step=2, horizon=3, cost=10.0, arrival=1.0)
    assert early.tolist() == [20.0, 21.0, torch.inf]
    assert end_scores(lefts, step=3, horizon=3, cost=10.0, arrival=1.0).tolist() == [30, 31, 32]


def test_results_of_several_searches_are_joined():
    level = line_stack()[0]
    z, goal = torch.tensor([[0.0], [5.0], [-7.0]]), torch.tensor([[2.0], [1.0], [-5.0]])
    parts = [_search("tree", level, z[rows], goal[rows]) for rows in ([0, 1], [2])]
    joined, whole = concatenated(parts), _search("tree", level, z, goal)
    assert torch.equal(joined.actions, whole.actions) and torch.equal(joined.score, whole.score)
    assert joined.evaluations == whole.evaluations == NUM_ROWS
    assert concatenated(parts[:1]) is parts[0]


def test_searches_are_named_and_one_of_your_own_is_imported():
    assert [find_search(name) for name in SEARCHES] == [tree, categorical_cem, cem]
    assert find_search("hplan.search.tree.tree") is tree
    with pytest.raises(ValueError, match=r"planner.search = 'beam' is unknown; known: categorical"):
        find_search("beam")
