"""The quasimetric distance: unions of intervals, what they promise, and one-way steps learnt."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import levels.quasimetric
from hplan.level import LevelSpec
from levels.build import find_part
from levels.distances import EmbeddingDistance
from levels.quasimetric import COMPONENTS, INTERVALS, QuasimetricDistance, _union_lengths

N, G, D, M = 11, 13, 7, 4001
"""Latents, goals, their width, triples."""


def _distance(part=QuasimetricDistance, latent_dim=D):
    torch.manual_seed(0)
    spec = LevelSpec(
        obs_shape=(1,), num_values=(2,), ratio=1, stride=1, below_dim=1, below_action_dim=0,
        latent_dim=latent_dim, action_dim=3, hidden_dim=23, num_hidden=1, sample_obs=None,
    )  # fmt: skip
    return part(spec)


_intervals = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=6)


@given(_intervals)
def test_the_length_of_a_union_is_the_number_of_cells_that_it_covers(intervals):
    cells = {cell for start, end in intervals for cell in range(start, end)}
    ordered = sorted(intervals, key=lambda interval: -interval[1])
    starts, ends = zip(*torch.tensor(ordered).float().unbind(0), strict=True)
    assert _union_lengths(starts, ends).item() == len(cells)


def test_the_distance_is_what_its_definition_gives():
    distance, share = _distance(), 0.3
    torch.nn.init.constant_(distance.largest, torch.tensor(share).logit())
    z, goal = torch.randn(2, D)
    here, there = (distance._coordinates(x).T for x in (z, goal))
    lengths = []
    for starts, ends in zip(here.tolist(), there.tolist(), strict=True):
        places = sorted([*starts, *ends])
        covered = 0.0
        for left, right in zip(places, places[1:], strict=False):
            middle = (left + right) / 2
            if any(a < middle < b for a, b in zip(starts, ends, strict=True)):
                covered += right - left
        lengths.append(covered)
    expected = share * max(lengths) + (1 - share) * sum(lengths) / COMPONENTS
    assert len(lengths) == COMPONENTS and len(places) == 2 * INTERVALS
    assert distance.steps(z, goal).item() == pytest.approx(expected, rel=1e-4)


def _excess(distance, where):
    """By how much a way over a third place is shorter than the way (M,), relative to it."""
    start, goal, other = torch.randn(3, M, D)
    between = (start + goal) / 2 if where == "halfway" else other
    with torch.no_grad():
        direct = distance.steps(start, goal)
        detour = distance.steps(start, between) + distance.steps(between, goal)
    return (direct - detour) / direct.clamp(min=1e-3)


@pytest.mark.parametrize("where", ["halfway", "anywhere"])
def test_no_detour_is_shorter(where):
    assert _excess(_distance(), where).max() < 1e-4


def test_a_detour_may_be_shorter_for_the_embedding_distance():
    distance = _distance(EmbeddingDistance)
    for weight in distance.apart.parameters():
        torch.nn.init.zeros_(weight)
    assert (_excess(distance, "halfway") > 0.1).float().mean() > 0.9


def test_it_is_zero_from_a_state_to_itself_and_above_zero_to_others():
    distance, z = _distance(), torch.randn(N, D)
    every = distance.all_steps(z, z)
    assert torch.all(every.diagonal() == 0) and torch.all(distance.steps(z, z) == 0)
    others = every[~torch.eye(N, dtype=torch.bool)]
    assert torch.all(others > 0)
    assert 1 < others.mean() < 30, "a few steps while untrained"


def test_the_way_back_may_be_longer():
    every = _distance().all_steps(z := torch.randn(N, D), z)
    assert ((every - every.T).abs() > 0.05 * every).float().mean() > 0.5


@pytest.mark.parametrize("chunk", [1, 5 * N * COMPONENTS, 10**9])
def test_one_by_one_or_all_at_once_is_the_same_distance_and_gradient(chunk, monkeypatch):
    monkeypatch.setattr(levels.quasimetric, "CHUNK", chunk)
    found = []
    for all_at_once in (False, True):
        distance = _distance()
        generator = torch.Generator().manual_seed(1)
        z = torch.randn(N, D, generator=generator).requires_grad_()
        goals = torch.randn(G, D, generator=generator).requires_grad_()
        weights = torch.randn(N, G, generator=generator)
        every = distance.all_steps(z, goals) if all_at_once else distance.steps(z[:, None], goals)
        (weights * every).sum().backward()
        found.append([every, z.grad, goals.grad, *(p.grad for p in distance.parameters())])
    assert found[0][0].shape == (N, G) and all(x.abs().sum() > 0 for x in found[0])
    for one_by_one, at_once in zip(*found, strict=True):
        torch.testing.assert_close(at_once, one_by_one, rtol=1e-4, atol=1e-4)


def test_latents_and_goals_broadcast():
    distance, z, goals = _distance(), torch.randn(2, N, 1, D), torch.randn(2, 1, G, D)
    every = distance.steps(z, goals)
    assert every.shape == (2, N, G)
    for b in range(2):
        torch.testing.assert_close(every[b], distance.all_steps(z[b, :, 0], goals[b, 0]))


def test_what_training_keeps_of_every_pair_is_not_every_interval_of_it():
    distance, num_starts, num_goals = _distance(), 97, 89
    kept = {}

    def keep(x):
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        every = distance.all_steps(torch.randn(num_starts, D), torch.randn(num_goals, D))
    assert every.requires_grad
    pairs = every.numel() * every.element_size()
    assert sum(kept.values()) < 3 * pairs * COMPONENTS


def test_it_is_known_by_its_name():
    assert find_part("distance", "quasimetric") is QuasimetricDistance


def test_it_learns_the_steps_around_a_one_way_ring():
    num_places, num_updates = 5, 120
    place = torch.eye(num_places)
    truth = (torch.arange(num_places) - torch.arange(num_places)[:, None]) % num_places
    distance = _distance(latent_dim=num_places)
    optimiser = torch.optim.Adam(distance.parameters())
    for update in range(num_updates):
        optimiser.param_groups[0]["lr"] = 1e-2 * (1 - update / num_updates)
        optimiser.zero_grad()
        (distance.all_steps(place, place) - truth).square().mean().backward()
        optimiser.step()
    steps = distance.steps(place[:, None], place).detach()
    assert (steps - truth).abs().mean() < 0.3 and (steps - truth).abs().max() < 0.6
