"""Continuous searches at the bottom: a double integrator, whose best plans are known exactly."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from hplan.level_config import PlannerConfig
from hplan.search import CONTINUOUS_SEARCHES, SEARCHES
from hplan.search.problem import Problem, SearchResult
from hplan.support import ActionBox
from tests.hplan.line_world import noise

H, GAIN, COST, EFFORT = 7, 0.5, 0.25, 0.5
CONFIG = PlannerConfig(
    horizon=H, num_candidates=128, max_candidates=128, num_elites=12, num_iterations=12,
    action_cost=EFFORT / COST,
)  # fmt: skip
STEPWISE = replace(CONFIG, num_candidates=24, max_candidates=24, num_iterations=45)
PATIENT = replace(CONFIG, num_iterations=60)
EFFORTS = {"gradient": STEPWISE, "predictive_sampling": PATIENT, "mppi": PATIENT}
OPTIONS = {"predictive_sampling": {"std": 0.3}, "mppi": {"temperature": 0.1, "std": 0.5}}


@dataclass(frozen=True)
class DoubleIntegrator:
    """Latents are (place, speed): the action is added to the speed, and the speed to the place."""

    num_actions: int = 0

    def predict(self, z: Tensor, action: Tensor) -> Tensor:
        speed = z[..., 1:] + GAIN * action
        return torch.cat([z[..., :1] + speed, speed], dim=-1)

    def of(self, rows: Tensor) -> "DoubleIntegrator":
        return self


@dataclass(frozen=True)
class SquaredGap:
    """|z - target|^2 of latents (B, N, 2) and targets (B, 2)."""

    target: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        return (z - self.target.unsqueeze(1)).square().sum(-1)

    def of(self, rows: Tensor) -> "SquaredGap":
        return SquaredGap(self.target[rows])


def _problem(targets):
    """From rest at 0 to each of `targets`, (place, speed), at the last step of the plan."""
    target = torch.tensor(targets)
    return Problem(
        model=DoubleIntegrator(),
        z=torch.zeros(len(target), 2),
        energy=SquaredGap(target),
        cost=COST,
        arrival=-1.0,
        support=ActionBox(action_dim=1),
        guard=None,
        deadline=None,
    )


@cache
def _best_plan(place: float, speed: float) -> np.ndarray:
    """(H,) the least of |A u - target|^2 + EFFORT |u|^2 within [-1, 1], by projected gradients."""
    # An action of step h moves the end by (H - h) GAIN, and its speed by GAIN.
    effect = GAIN * np.stack([np.arange(H, 0, -1), np.ones(H)])
    hessian = effect.T @ effect + EFFORT * np.eye(H)
    pull = effect.T @ np.array([place, speed])
    plan = np.clip(np.linalg.solve(hessian, pull), -1, 1)
    for _ in range(2000):
        plan = np.clip(plan - (hessian @ plan - pull) / np.linalg.norm(hessian, 2), -1, 1)
    return plan


def _score_of(plan: np.ndarray, place: float, speed: float) -> float:
    effect = GAIN * np.stack([np.arange(H, 0, -1), np.ones(H)])
    gap = effect @ plan - np.array([place, speed])
    return COST * H + gap @ gap + EFFORT * plan @ plan


# Out of reach; to rest at a place; to a speed at a place; a little way, against its own speed.
TARGETS = [(99.0, 0.0), (3.0, 0.0), (5.0, 1.5), (1.0, -1.0)]


@cache
def _found(name: str) -> SearchResult:
    return SEARCHES[name](
        _problem(TARGETS),
        config=EFFORTS.get(name, CONFIG),
        warm_start=None,
        generator=noise(),
        **OPTIONS.get(name, {}),
    )


@pytest.mark.parametrize("name", CONTINUOUS_SEARCHES)
def test_plans_come_near_the_best_there_is(name):
    result = _found(name)
    for b, target in enumerate(TARGETS):
        best = _best_plan(*target)
        own = result.actions[b, :, 0].double().numpy()
        assert result.score[b].item() == pytest.approx(_score_of(own, *target), rel=1e-4)
        assert result.score[b].item() <= 1.03 * _score_of(best, *target), target
        assert np.abs(own - best).max() < 0.35, target
    assert (result.actions[0] > 0.9).all(), "at full power towards what is out of reach"
    assert (result.num_steps == H).all()


@pytest.mark.parametrize("name", CONTINUOUS_SEARCHES)
def test_plans_stay_within_the_box_and_the_model_is_given_just_them(name):
    result = _found(name)
    assert result.actions.abs().max() == 1.0
    assert torch.equal(result.actions, result.macro_actions)
    z = torch.zeros(len(TARGETS), 2)
    for h in range(H):
        z = DoubleIntegrator().predict(z, result.macro_actions[:, h])
        assert torch.allclose(z, result.latents[:, h + 1], atol=1e-5)


@pytest.mark.parametrize("name", CONTINUOUS_SEARCHES)
def test_a_few_rounds_are_worse_than_many(name):
    config = replace(EFFORTS.get(name, CONFIG), num_iterations=1)
    few = SEARCHES[name](_problem(TARGETS), config=config, warm_start=None, generator=noise(0))
    assert (_found(name).score < few.score).all()
