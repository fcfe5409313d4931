"""Searches of macro-actions: support, guard, effort, and what makes each what it is."""

from dataclasses import replace
from importlib import import_module

import pytest
import torch

from hplan.search import CONTINUOUS_SEARCHES, SEARCHES
from tests.hplan.line_world import noise
from tests.hplan.search_problems import (
    ADAPTIVE,
    BOUND,
    CONFIG,
    STRIDE,
    Band,
    Bounded,
    H,
    found,
    line_problem,
    predicted,
)

ICEM = import_module("hplan.search.icem")  # the package has a function of that name


@pytest.mark.parametrize("name", CONTINUOUS_SEARCHES)
@pytest.mark.parametrize("is_warm", [False, True])
def test_candidates_never_leave_the_support(name, is_warm):
    support = Bounded(mean=5.0, std=0.5)
    problem = line_problem(name, -1e4, 1e4, support=support)
    warm_start = torch.full((2, H, 1), 7.0) if is_warm else None
    with predicted(problem.model) as calls:
        result = found(name, problem, config=CONFIG, warm_start=warm_start)
    outside = (torch.cat([x.flatten() for _, x in calls]) - 5.0).abs() / 0.5
    assert outside.max() <= BOUND + 1e-5
    assert outside.max() > BOUND - 1e-5 or not is_warm  # the warm start is outside
    assert result.actions.abs().max() <= BOUND
    assert torch.allclose(result.macro_actions, 5 + 0.5 * result.actions)


@pytest.mark.parametrize("name", CONTINUOUS_SEARCHES)
def test_a_forbidden_band_is_jumped_over(name):
    """In two steps, of 2.5 at most each, nobody comes near 4 but by way of 1.4 to 2.5."""
    problem, band = line_problem(name, 4.0), Band(middle=2.0, half=0.7)
    warm = torch.tensor([1.9, 2.1, 0.0, 0.0, 0.0]).view(1, H, 1)
    free = found(name, problem, warm_start=warm)
    assert free.num_steps.item() == 2 and band(free.latents[:, 1]) > 0
    assert free.violation.item() == 0
    guarded = found(name, replace(problem, guard=band), warm_start=warm)
    assert guarded.violation.item() == 0 and (band(guarded.latents[0]) == 0).all()
    assert guarded.num_steps.item() >= 3 and guarded.left.item() <= 0.1 * STRIDE


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("arrival", [-1.0, 0.3])
def test_where_all_is_forbidden_the_plan_says_so(name, arrival):
    problem = line_problem(name, 1.0, arrival=arrival, guard=Band(middle=0.0, half=1e3))
    result = found(name, problem)
    assert result.violation.item() > H * 900
    assert result.num_steps.item() == H


@pytest.mark.parametrize("name", ["categorical_cem", *CONTINUOUS_SEARCHES])
def test_a_search_is_not_done_while_its_best_plan_is_forbidden(name):
    """Everywhere is forbidden for the first start, equally, so that nothing improves."""

    class Plateau(Band):
        def __call__(self, z):
            return (z[..., 0].abs() < self.half).to(z)

    problem = line_problem(name, 1.0, guard=Plateau(middle=0.0, half=1e3))
    config = replace(ADAPTIVE, num_candidates=13, max_candidates=13, num_iterations=4)
    result = found(name, problem, config=config)
    assert result.evaluations.item() == 4 * 13 * H and result.violation.item() == H
    assert found(name, line_problem(name, 0.0), config=config).evaluations < 4 * 13 * H


@pytest.mark.parametrize("name", CONTINUOUS_SEARCHES)
def test_an_action_cost_prefers_small_macro_actions(name):
    problem = line_problem(name, 5.0, arrival=-1.0)
    warm = torch.tensor([2.5, 2.5, 0.0, 0.0, 0.0]).view(1, H, 1)
    config = replace(CONFIG, num_iterations=19)
    free, frugal = (
        found(name, problem, config=replace(config, action_cost=cost), warm_start=warm)
        for cost in (0.0, 0.3)
    )
    # Of all ways to go as far, even steps have the least squares.
    assert frugal.actions.std() < 0.3 < free.actions.std()
    assert frugal.left.item() < 0.5


@pytest.mark.parametrize("name", CONTINUOUS_SEARCHES)
def test_judged_along_its_path_a_plan_hurries(name):
    problem = line_problem(name, 5.0, arrival=-1.0)
    path = found(name, problem, config=replace(CONFIG, judged="path", num_iterations=17))
    assert path.latents[0, 2:, 0].tolist() == pytest.approx([5.0] * (H - 1), abs=0.4)
    on_the_way = problem.energy(path.latents[:, 1:]).mean()
    end = found(name, problem, config=CONFIG)
    assert on_the_way < problem.energy(end.latents[:, 1:]).mean()


def test_coloured_noise_has_unit_variance_and_goes_together():
    white, pink = (ICEM._colouring(8, colour) for colour in (0.0, 2.0))
    assert torch.allclose(white, torch.eye(8, dtype=torch.float64), atol=1e-12)
    covariance = pink.T @ pink
    assert torch.allclose(covariance.diagonal(), torch.ones(8, dtype=torch.float64))
    assert (covariance.diagonal(1) > 0.3).all()


def test_power_falls_with_the_frequency():
    noise_ = torch.randn(4001, 16, generator=noise(), dtype=torch.float64)
    power = torch.fft.rfft(noise_ @ ICEM._colouring(16, 2.0)).abs().square().mean(0)
    expected = torch.arange(1, 9, dtype=torch.float64) ** -2.0
    ratio = power[1:] / expected
    assert (ratio[:-1] / ratio[0]).sub(1).abs().max() < 0.15


def test_elites_are_tried_again():
    problem = line_problem("icem", 9.0)
    for kept in (0.3, 1.0):
        with predicted(problem.model) as calls:
            found("icem", problem, kept=kept)
        rounds = [torch.stack([x for _, x in calls[i : i + H]], 2) for i in range(0, len(calls), H)]
        first, second = ({tuple(plan) for plan in x[0, :, :, 0].tolist()} for x in rounds[:2])
        assert len(first & second) >= max(1, int(13 * kept))


def test_weights_follow_the_scores():
    """At a low temperature the mean is the best plan, at a high one that of all."""
    problem = line_problem("mppi", 9.0)
    for temperature, same in ((1e-6, True), (1e6, False)):
        with predicted(problem.model) as calls:
            found("mppi", problem, temperature=temperature)
        rounds = [torch.stack([x for _, x in calls[i : i + H]], 2) for i in range(0, len(calls), H)]
        mean, best = rounds[1][0, 0], rounds[1][0, 1]
        assert torch.allclose(mean, best, atol=1e-5) == same
        if not same:
            assert torch.allclose(mean, rounds[0][0].mean(0), atol=1e-4)


@pytest.mark.parametrize("name", CONTINUOUS_SEARCHES)
def test_options_change_the_plan(name):
    problem = line_problem(name, 7.3)
    plain, other = (found(name, problem, **given) for given in ({}, {"std": 0.05}))
    assert not torch.equal(plain.actions, other.actions)


def test_gradients_reach_no_parameter_and_need_no_grad_mode():
    problem = line_problem("gradient", 6.0)
    problem.model.requires_grad_(True)
    with torch.no_grad():
        inside = found("gradient", problem)
    outside = found("gradient", problem)
    assert torch.equal(inside.actions, outside.actions) and inside.left.item() < 0.1 * STRIDE
    assert all(p.grad is None for p in problem.model.parameters())
    assert not any(value.requires_grad for value in vars(outside).values())
