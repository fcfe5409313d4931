"""Energies in closed form."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from hplan.energy import (
    LATENT_REACHED,
    LATENT_STEP_COST,
    Avoiding,
    EncodedUp,
    Energy,
    TargetEnergy,
    arrival_energy,
    energy_left,
    levels_judged,
    step_cost,
)
from tests.hplan.line_world import line_stack, noise

B, G, N, M, D, RATIO, RATIO_ABOVE = 2, 17, 11, 5, 3, 7, 13
STRIDE = RATIO * RATIO_ABOVE
MOVES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
NAMES = ("distance", "l2", "cosine", "smooth_l1")
ROWS = (torch.tensor([1]), torch.tensor([True, False]), torch.tensor([1, 0, 1]))


@dataclass(frozen=True, kw_only=True)
class Total:
    """The sum of a latent's dimensions, and something of each start."""

    offset: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        return z.sum(-1) + self.offset.unsqueeze(1)

    def of(self, rows: Tensor) -> "Total":
        return Total(offset=self.offset[rows])


def _latents(*shape, seed=0):
    return torch.randn(*shape, D, generator=noise(seed))


def _level():
    return line_stack(RATIO, moves=MOVES)[1]


def _aiming(name="l2", alternatives=G, level=None):
    target = _latents(B, alternatives, seed=1)
    return TargetEnergy(level=level or _level(), target=target, name=name)


def _avoiding():
    valid = torch.ones(B, M, dtype=torch.bool)
    valid[1, 2] = False
    return Avoiding(
        energy=Total(offset=torch.tensor([0.0, 19.0])),
        places=_latents(B, M, seed=1),
        valid=valid,
        radius=0.7,
        penalty=4.0,
    )


def _encoded_up(name="l2"):
    above = list(line_stack(RATIO, RATIO_ABOVE, moves=MOVES)[1:])
    return EncodedUp(levels=above, energy=_aiming(name, 1, above[-1]))


@pytest.mark.parametrize(
    "name, z, target, known",
    [
        ("distance", (0.0, 0.0, 0.0), (1.0, -2.0, 3.0), 6 * RATIO),  # in env steps
        ("l2", (0.0, 0.0, 0.0), (1.0, -2.0, 3.0), 14 / 3),
        ("cosine", (1.0, 2.0, 2.0), (3.0, -1.0, 2.0), 1 - 5 / (3 * 14**0.5)),
        ("smooth_l1", (0.0, 0.0, 0.0), (0.5, -4.0, 0.0), (0.5**2 / 2 + 4 - 0.5) / 3),
    ],
)
def test_what_is_left_in_closed_form(name, z, target, known):
    left = energy_left(_level(), torch.tensor([z]), torch.tensor([target]), name)
    assert left.tolist() == [pytest.approx(known, rel=1e-6)]


@pytest.mark.parametrize("name", NAMES)
def test_an_energy_is_zero_at_its_target_alone_and_of_each_start_its_own(name):
    energy, z = _aiming(name, 1), _latents(B, N)
    z[:, 4] = energy.target[:, 0]
    found = energy(z)
    assert found.shape == (B, N)
    assert (found >= 0).all() and torch.allclose(found[:, 4], torch.zeros(B), atol=1e-6)
    assert ((found > 1e-5).sum(1) == N - 1).all()
    for b in range(B):
        alone = energy_left(energy.level, z[b], energy.target[b], name)
        assert torch.allclose(found[b], alone, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_of_several_targets_the_nearest_counts(name):
    energy, z = _aiming(name), _latents(B, N)
    each = torch.stack(
        [
            TargetEnergy(level=energy.level, target=energy.target[:, g : g + 1], name=name)(z)
            for g in range(G)
        ]
    )
    found = energy(z)
    assert torch.allclose(found, each.amin(0), atol=1e-6)
    assert len(each.argmin(0).unique()) > 2  # not always the same one


def test_an_angle_knows_no_length_and_smooth_l1_is_half_of_l2_near_by():
    level, z, target = _level(), _latents(N), _latents(N, seed=1)
    angle = energy_left(level, z, target, "cosine")
    assert torch.allclose(energy_left(level, 5 * z, target, "cosine"), angle, atol=1e-6)
    near = z + 0.1 * torch.tanh(target)
    half = energy_left(level, z, near, "l2") / 2
    assert torch.allclose(energy_left(level, z, near, "smooth_l1"), half, rtol=1e-4)


def test_costs_and_arrival_are_in_the_unit_of_the_energy():
    level = _level()
    level.move.fill_(0.25)
    assert step_cost(level, "distance") == RATIO
    assert arrival_energy(level, 1.5, "distance") == 1.5
    for name, share in (("l2", 1.0), ("cosine", 0.5), ("smooth_l1", 0.5)):
        assert step_cost(level, name) == pytest.approx(RATIO * LATENT_STEP_COST)
        assert arrival_energy(level, 1.5, name) == pytest.approx(0.25 * share * LATENT_REACHED)


@pytest.mark.parametrize("name", ["l2", "cosine", "smooth_l1"])
def test_one_move_of_spread_latents_is_as_much_by_each_energy(name):
    """So that arrival means one thing: latents of variance one that move by a hundredth of it."""
    level, generator = _level(), noise(2)
    z = torch.randn(N * M, 997, generator=generator)
    z = z / z.square().mean(-1, keepdim=True).sqrt()
    step = 0.1 * torch.randn(z.shape, generator=generator)
    level.move.fill_(step.square().mean())
    left = energy_left(level, z, z + step, name)
    known = arrival_energy(level, 0.0, name) / LATENT_REACHED
    assert left.mean().item() == pytest.approx(known, rel=0.02)


@pytest.mark.parametrize("name", ["distance", "l2"])
def test_latents_are_encoded_up_to_where_the_energy_is_measured(name):
    """Each encoder is linear: the position in units of the level's stride."""
    energy, z = _encoded_up(name), _latents(B, N)
    gap = z / STRIDE - energy.energy.target
    known = gap.abs().sum(-1) * STRIDE if name == "distance" else gap.square().mean(-1)
    assert torch.allclose(energy(z), known, rtol=1e-4)
    nothing_between = EncodedUp(levels=[], energy=energy.energy)
    assert torch.equal(nothing_between(z), energy.energy(z))


def test_places_to_avoid_cost_a_penalty_each_within_their_radius():
    energy, z = _avoiding(), _latents(B, N)
    energy.places[:, 2] = z[:, 7]
    energy.places[:, 3] = z[:, 7] + 1e-3
    extra = (energy(z) - energy.energy(z)) / energy.penalty
    for b in range(B):
        for n in range(N):
            gaps = (z[b, n] - energy.places[b]).square().mean(-1)
            near = (gaps < energy.radius) & energy.valid[b]
            assert extra[b, n].item() == pytest.approx(near.sum().item(), abs=1e-5)
    assert extra[0, 7] >= 2 and 0 < (extra > 0.5).sum() < B * N


def test_nothing_is_avoided_where_nothing_is_remembered():
    z = _latents(B, N)
    whole = Total(offset=torch.zeros(B))
    never = torch.zeros(B, N, dtype=torch.bool)
    energy = Avoiding(energy=whole, places=z, valid=never, radius=1.0, penalty=4.0)
    assert torch.equal(energy(z), whole(z))


@pytest.mark.parametrize("rows", ROWS, ids=["index", "bool", "several"])
@pytest.mark.parametrize("make", [_aiming, _encoded_up, _avoiding])
def test_an_energy_of_some_starts_is_theirs(make, rows):
    energy, z = make(), _latents(B, N)
    assert isinstance(energy, Energy)
    assert torch.allclose(energy.of(rows)(z[rows]), energy(z)[rows], atol=1e-6)


def _missing(k, z):
    return z.shape[5]


@pytest.mark.parametrize(
    "judge, message",
    [
        (lambda k, z: z, r"returned a tensor \(3, 5, 3\) for latents \(3, 5, 3\) of level 0"),
        (lambda k, z: z.sum() if k else None, r"a tensor \(\) for latents \(3, 5, 3\) of level 1"),
        (lambda k, z: z.sum(-1).log(), "NaN or infinity"),
        (lambda k, z: z.abs().sum(-1) / 0, "NaN or infinity"),
        (lambda k, z: -z.square().sum(-1), "numbers from 0 up, or None"),
        (lambda k, z: z.tolist(), "a list"),
        (_missing, r"fails for latents \(3, 5, 3\) of level 0 \(IndexError"),
    ],
)
def test_what_a_users_function_does_wrong_is_one_clear_line(judge, message):
    with pytest.raises(ValueError, match=f"^my energy .*{message}") as refusal:
        levels_judged(judge, line_stack(RATIO, moves=MOVES), "my energy", least=0.0)
    assert "\n" not in str(refusal.value)


def test_a_users_function_may_speak_of_some_levels_and_be_negative_where_that_is_allowed():
    levels = line_stack(RATIO, RATIO_ABOVE, moves=MOVES)
    asked = []

    def judge(k, z):
        asked.append(k)
        return None if k == 1 else -z.square().sum(-1)

    assert levels_judged(judge, levels, "my energy") == [True, False, True]
    assert asked == [0, 1, 2]
