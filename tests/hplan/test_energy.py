"""Energies in closed form."""

import pytest
import torch

from hplan.energy import (
    L2_REACHED,
    L2_STEP_COST,
    arrival_energy,
    avoiding,
    encoded_up,
    energy_left,
    step_cost,
    target_energy,
)
from tests.hplan.line_world import line_stack, noise

B, N, M, D, RATIO, RATIO_ABOVE = 2, 11, 5, 3, 7, 13
STRIDE = RATIO * RATIO_ABOVE
MOVES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def _latents(*shape, seed=0):
    return torch.randn(*shape, D, generator=noise(seed))


def test_energy_left_is_in_env_steps_or_the_mean_squared_difference():
    level = line_stack(RATIO, moves=MOVES)[1]
    z, target = torch.zeros(1, D), torch.tensor([[1.0, -2.0, 3.0]])
    assert energy_left(level, z, target, "distance").tolist() == [6 * RATIO]
    assert energy_left(level, z, target, "l2").tolist() == [pytest.approx(14 / 3)]


@pytest.mark.parametrize("name", ["distance", "l2"])
def test_an_energy_is_zero_at_its_target_alone_and_of_each_start_its_own(name):
    level, target = line_stack(RATIO, moves=MOVES)[1], _latents(B, seed=1)
    z = _latents(B, N)
    z[:, 4] = target
    energies = target_energy(level, target, name)(z)
    assert energies.shape == (B, N)
    assert (energies[:, 4] == 0).all() and ((energies > 0).sum(1) == N - 1).all()
    for b in range(B):
        assert torch.equal(energies[b], energy_left(level, z[b], target[b : b + 1], name))


def test_costs_and_arrival_are_in_the_unit_of_the_energy():
    level = line_stack(RATIO)[1]
    level.move.fill_(0.25)
    assert step_cost(level, "distance") == RATIO
    assert step_cost(level, "l2") == pytest.approx(RATIO * L2_STEP_COST)
    assert arrival_energy(level, 1.5, "distance") == 1.5
    assert arrival_energy(level, 1.5, "l2") == pytest.approx(0.25 * L2_REACHED)


@pytest.mark.parametrize("name", ["distance", "l2"])
def test_latents_are_encoded_up_to_where_the_energy_is_measured(name):
    """Each encoder is linear: the position in units of the level's stride."""
    bottom, *above = line_stack(RATIO, RATIO_ABOVE, moves=MOVES)
    target, z = _latents(B, seed=1), _latents(B, N)
    found = encoded_up(above, target_energy(above[-1], target, name))(z)
    gap = z / STRIDE - target.unsqueeze(1)
    known = gap.abs().sum(-1) * STRIDE if name == "distance" else gap.square().mean(-1)
    assert torch.allclose(found, known, rtol=1e-4)
    at_bottom = target_energy(bottom, target, name)
    assert torch.equal(encoded_up([], at_bottom)(z), at_bottom(z))


def test_places_to_avoid_cost_a_penalty_each_within_their_radius():
    z, places = _latents(B, N), _latents(B, M, seed=1)
    places[:, 2] = z[:, 7]
    places[:, 3] = z[:, 7] + 1e-3
    valid = torch.ones(B, M, dtype=torch.bool)
    valid[1, 2] = False
    energy, radius, penalty = (lambda z: z.sum(-1)), 0.7, 4.0
    extra = (avoiding(energy, places, valid, radius, penalty)(z) - energy(z)) / penalty
    for b in range(B):
        for n in range(N):
            near = ((z[b, n] - places[b]).square().mean(-1) < radius) & valid[b]
            assert extra[b, n].item() == pytest.approx(near.sum().item(), abs=1e-5)
    assert extra[0, 7] >= 2 and 0 < (extra > 0.5).sum() < B * N


def test_nothing_is_avoided_where_nothing_is_remembered():
    z, places = _latents(B, N), _latents(B, N, seed=0)
    never = torch.zeros(B, N, dtype=torch.bool)
    found = avoiding(lambda z: z.sum(-1), places, never, 1.0, 4.0)(z)
    assert torch.equal(found, z.sum(-1))
