"""Searches of discrete actions against the enumeration of all plans."""

from dataclasses import replace
from itertools import product

import pytest
import torch

from tests.hplan.line_world import line_stack, noise
from tests.hplan.search_problems import (
    CONFIG,
    NUM_ACTIONS,
    WIDTH,
    Band,
    H,
    assert_same,
    bent_level,
    found,
    line_problem,
    predicted,
    problem_on,
    rows_of,
)

B, SHORT = 2, 4
NUM_ROWS = sum(NUM_ACTIONS**depth for depth in range(1, H + 1))


def brute_force(problem, b, *, horizon, judged="end") -> tuple[float, tuple[int, ...]]:
    """Score and actions of the best of all sequences from start `b`, each rolled out by itself."""
    best, one = (float("inf"), ()), problem.of(torch.tensor([b]))
    for length in range(1, horizon + 1):
        plans = torch.tensor(list(product(range(NUM_ACTIONS), repeat=length)))
        at, energies, violations = one.z.expand(len(plans), -1).unsqueeze(0), [], 0.0
        for numbers in plans.T:
            at = one.model.predict(at, torch.eye(NUM_ACTIONS)[numbers].unsqueeze(0))
            energies.append(one.energy(at)[0])
            violations = violations + (0.0 if one.guard is None else one.guard(at)[0])
        end = energies[-1] if judged == "end" else sum(energies) / length
        score = one.cost * length + end + 1e5 * violations
        if length < horizon:
            allowed = (energies[-1] <= one.arrival) & (violations == torch.zeros(()))
            score = torch.where(allowed, score, torch.inf)
        best = min(best, (score.min().item(), tuple(plans[score.argmin()].tolist())))
    return best


def bent_problem(seed, **settings):
    """From two starts: the first goal is met after three actions, the other may be anywhere."""
    level, z = bent_level(seed), torch.randn(B, WIDTH, generator=noise(seed))
    goal, at = torch.randn(B, WIDTH, generator=noise(seed + 1)), z[0]
    for number in (2, 0, 1):
        at = level.predictor(at, torch.eye(NUM_ACTIONS)[number])
    goal[0] = at
    return problem_on(level, z, goal, **({"cost": 0.1} | settings))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("arrival", [0.3, torch.inf])
def test_tree_equals_brute_force(seed, arrival):
    problem = bent_problem(seed, arrival=arrival)
    result = found("tree", problem)
    for b in range(B):
        score, numbers = brute_force(problem, b, horizon=H)
        assert result.score[b].item() == pytest.approx(score, abs=1e-5)
        assert result.num_steps[b] == len(numbers)
        assert tuple(result.actions[b].argmax(-1)[: len(numbers)].tolist()) == numbers
    assert result.actions[0, :3].argmax(-1).tolist() == [2, 0, 1]
    assert result.left[0] < 1e-5


@pytest.mark.parametrize("judged", ["end", "path"])
@pytest.mark.parametrize("arrival", [-1.0, 2.0])
def test_tree_equals_brute_force_with_a_guard_and_along_the_path(judged, arrival):
    problem = bent_problem(1, arrival=arrival, guard=Band(middle=0.0, half=0.5))
    config = replace(CONFIG, horizon=SHORT, judged=judged)
    result = found("tree", problem, config=config)
    for b in range(B):
        score, numbers = brute_force(problem, b, horizon=SHORT, judged=judged)
        assert result.score[b].item() == pytest.approx(score, rel=1e-5)
        assert tuple(result.actions[b].argmax(-1)[: len(numbers)].tolist()) == numbers


@pytest.mark.parametrize("judged", ["end", "path"])
@pytest.mark.parametrize("converged", [0.0, 0.2])
def test_a_beam_of_full_width_is_the_tree(judged, converged):
    problem = bent_problem(2, arrival=1.0, guard=Band(middle=0.0, half=0.1))
    config = replace(CONFIG, judged=judged, converged=converged)
    wide = replace(config, num_candidates=3**4, max_candidates=3**4)
    assert_same(found("beam", problem, config=wide), found("tree", problem, config=config))


def test_a_narrow_beam_predicts_less_and_finds_no_better():
    problem = bent_problem(0, arrival=0.3)
    exact = found("tree", problem)
    worse = []
    for width in (2, 5, 11):
        config = replace(CONFIG, num_candidates=width, max_candidates=width)
        with predicted(problem.model) as calls:
            narrow = found("beam", problem, config=config)
        kept = [min(width, 3**depth) for depth in range(H)]
        assert narrow.evaluations.tolist() == [3 * sum(kept)] * B
        assert rows_of(calls) == narrow.evaluations.sum()
        assert (narrow.score >= exact.score - 1e-5).all()
        worse.append((narrow.score - exact.score).sum().item())
    assert worse[0] >= worse[-1] >= 0 and worse[0] > 1e-3


def test_a_beam_widens_where_that_helps():
    problem = bent_problem(0, arrival=0.3)
    narrow = replace(CONFIG, num_candidates=2, max_candidates=2)
    wider = replace(narrow, max_candidates=3**4, converged=1e-6)
    first, result = (found("beam", problem, config=config) for config in (narrow, wider))
    assert (result.score <= first.score).all() and (result.score < first.score).any()
    assert (result.evaluations > first.evaluations).any()


def test_an_exact_search_of_five_steps_and_three_actions_takes_363_rows():
    problem = line_problem("tree", 2.0, 40.0)
    with predicted(problem.model) as calls:
        result = found("tree", problem)
    assert result.evaluations.tolist() == [363, 363] == [NUM_ROWS] * 2
    assert rows_of(calls) == 2 * 363


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("judged", ["end", "path"])
def test_a_tree_that_stops_early_is_still_exact(seed, judged):
    problem = bent_problem(seed, arrival=2.0, cost=1.0)
    config = replace(CONFIG, judged=judged)
    with predicted(problem.model) as calls:
        early = found("tree", problem, config=replace(config, converged=0.01))
    assert rows_of(calls) == early.evaluations.sum()
    whole = found("tree", problem, config=config)
    assert torch.allclose(early.score, whole.score) and torch.equal(early.left, whole.left)
    assert (early.evaluations[0] <= 3 + 9 + 27) == (judged == "end")


def test_a_tree_drops_the_starts_that_are_done():
    goals = (3.0, 0.0, 40.0, -1.0, 5.0, -2.0)
    problem = line_problem("tree", *goals)
    result = found("tree", problem, config=replace(CONFIG, converged=0.01))
    assert result.evaluations.tolist() == [3 + 9 + 27, 3, 363, 3, 363, 3 + 9]
    whole = found("tree", problem)
    for name in ("score", "left", "num_steps", "latents"):
        assert torch.equal(getattr(result, name), getattr(whole, name)), name


def test_far_from_the_goal_a_plan_goes_on_where_ending_at_once_looks_cheaper():
    """Free to end anywhere, the negative control, it stops as a step costs more than it gains."""
    problem = line_problem("tree", 40.0, cost=1.5, arrival=1.0)
    held, free = found("tree", problem), found("tree", replace(problem, arrival=torch.inf))
    assert held.num_steps.item() == H and held.latents[0, -1].item() == H
    assert free.num_steps.item() == 1


@pytest.mark.parametrize("name", ["tree", "beam"])
def test_starts_are_planned_for_as_each_alone(name):
    goals = (2.0, -4.0, 0.5, 40.0)
    problem = line_problem(name, *goals)
    config = replace(CONFIG, num_candidates=7, max_candidates=31, converged=0.1)
    whole = found(name, problem, config=config)
    for b in range(len(goals)):
        alone = found(name, problem.of(torch.tensor([b])), config=config)
        assert_same(alone, whole.of(torch.tensor([b])))


def test_a_corner_is_cut_only_where_nothing_forbids_it():
    """Moves of one or two cells: cell 2 is jumped over, at the price of a step."""
    level = line_stack(moves=((-1.0,), (1.0,), (2.0,)))[0]
    problem = problem_on(level, torch.zeros(1, 1), torch.tensor([[4.0]]))
    free = found("tree", problem)
    assert free.latents[0, :, 0].tolist()[:3] == [0, 2, 4] and free.violation.item() == 0
    for name in ("tree", "beam"):
        result = found(name, replace(problem, guard=Band(middle=2.0, half=0.5)))
        assert result.num_steps.item() == 3 and 2 not in result.latents[0, :, 0].tolist()
        assert result.violation.item() == 0 and result.left.item() == 0
