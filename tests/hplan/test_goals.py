"""Goals: of one observation, of any of several, of an energy of one's own."""

import pytest
import torch

from hplan.energy import TargetEnergy, energy_left
from hplan.goals import Goals
from tests.hplan.line_world import line_stack, noise

B, G, N, D, RATIO, RATIO_ABOVE = 2, 5, 11, 3, 7, 13
STRIDES = (1, RATIO, RATIO * RATIO_ABOVE)
MOVES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
NAMES = ("distance", "l2", "cosine", "smooth_l1")
LEVELS = range(len(STRIDES))


def _stack():
    return line_stack(RATIO, RATIO_ABOVE, moves=MOVES)


def _obs(*shape, seed=1):
    return torch.randn(*shape, D, 1, 1, generator=noise(seed))


def _latents(*shape, k=0, seed=0):
    return torch.randn(*shape, D, generator=noise(seed)) / STRIDES[k]


def _far(k, z):
    """Env steps from the origin, said of the bottom and of the top."""
    return None if k == 1 else z.abs().sum(-1) * STRIDES[k]


@pytest.mark.parametrize("k", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_an_observed_goal_is_the_energy_to_its_latent(k, name):
    levels, obs, z = _stack(), _obs(B), _latents(B, N, k=k)
    goals = Goals.observed(levels, obs)
    target = obs.flatten(1) / STRIDES[k]
    assert torch.allclose(goals.latents[k], target.unsqueeze(1), atol=1e-6)
    known = TargetEnergy(level=levels[k], target=target.unsqueeze(1), name=name)(z)
    assert torch.allclose(goals.energy(levels, k, name)(z), known, atol=1e-5)
    assert torch.equal(goals.nearest(levels, k, z[:, 0], name), goals.latents[k][:, 0])


@pytest.mark.parametrize("k", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_any_of_several_is_the_least_of_each_alone(k, name):
    levels, obs, z = _stack(), _obs(B, G), _latents(B, N, k=k)
    goals = Goals.any_of(levels, obs)
    alone = [Goals.observed(levels, obs[:, g]).energy(levels, k, name)(z) for g in range(G)]
    found = goals.energy(levels, k, name)(z)
    assert torch.allclose(found, torch.stack(alone).amin(0), atol=1e-5)
    assert (found < alone[0]).any()


@pytest.mark.parametrize("k", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_the_nearest_alternative_is_the_one_that_the_energy_is_measured_to(k, name):
    levels, z = _stack(), _latents(N, k=k)
    goals = Goals.any_of(levels, _obs(N, G))
    nearest = goals.nearest(levels, k, z, name)
    assert (nearest.unsqueeze(1) == goals.latents[k]).all(-1).any(1).all()
    known = goals.energy(levels, k, name)(z.unsqueeze(1)).squeeze(1)
    assert torch.allclose(energy_left(levels[k], z, nearest, name), known, atol=1e-5)
    assert not torch.equal(nearest, goals.latents[k][:, 0])


@pytest.mark.parametrize("rows", [torch.tensor([1]), torch.tensor([True, False])])
@pytest.mark.parametrize("potential", [None, _far])
def test_goals_of_some_episodes_are_theirs(rows, potential):
    levels, z = _stack(), _latents(B, N)
    if potential is None:
        goals = Goals.any_of(levels, _obs(B, G))
    else:
        goals = Goals.of_energy(levels, potential, B)
    whole, some = (part.energy(levels, 0, "distance") for part in (goals, goals.of(rows)))
    assert torch.allclose(some(z[rows]), whole(z)[rows])
    assert torch.allclose(whole.of(rows)(z[rows]), whole(z)[rows])
    assert [len(latents) for latents in goals.of(rows).latents] == [1] * len(STRIDES)


@pytest.mark.parametrize("k", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_an_energy_as_a_goal_is_measured_where_it_speaks(k, name):
    """Of the level in the middle it says nothing, so latents there are encoded up to the top."""
    levels, z = _stack(), _latents(B, N, k=k)
    goals = Goals.of_energy(levels, _far, B)
    known = z.abs().sum(-1) * STRIDES[k]
    assert torch.allclose(goals.energy(levels, k, name)(z), known, rtol=1e-4)
    assert goals.latents[k].shape == (B, 0, D)
    assert torch.equal(goals.nearest(levels, k, z[:, 0], name), z[:, 0])


def test_an_energy_as_a_goal_agrees_with_the_observation_that_it_describes():
    levels, z = _stack(), _latents(B, N)
    here = torch.zeros(B, D, 1, 1)
    seen, stated = Goals.observed(levels, here), Goals.of_energy(levels, _far, B)
    found, known = (goals.energy(levels, 0, "distance")(z) for goals in (stated, seen))
    assert torch.allclose(found, known)


def test_where_an_energy_says_nothing_observations_count_if_there_are_any():
    levels, z = _stack(), _latents(B, N, k=1)
    seen = Goals.any_of(levels, _obs(B, G))
    both = Goals(latents=seen.latents, potential=_far, has_potential=[True, False, True])
    for k in LEVELS:
        known = seen if k == 1 else Goals.of_energy(levels, _far, B)
        assert torch.equal(both.energy(levels, k, "l2")(z), known.energy(levels, k, "l2")(z))


@pytest.mark.parametrize(
    "potential, message",
    [
        (lambda k, z: None if k == 2 else z.sum(-1), "nothing of level 2, the top"),
        (lambda k, z: z, r"returned a tensor \(3, 5, 3\)"),
        (lambda k, z: z.sum(-1).sqrt(), "NaN"),
    ],
)
def test_an_energy_that_cannot_be_a_goal_is_refused(potential, message):
    with pytest.raises(ValueError, match=f"^the goal's energy .*{message}"):
        Goals.of_energy(_stack(), potential, B)


def test_no_observation_is_no_goal():
    with pytest.raises(ValueError, match="any of 0 observations; give at least one"):
        Goals.any_of(_stack(), _obs(B, 0))
