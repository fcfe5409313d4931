"""Figures on the health of a level, against brute force and in cases whose answer is known."""

import math
import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import hplan.diagnostics
from hplan.diagnostics import (
    ValidationPairs,
    effective_rank,
    latent_std,
    rank_correlation,
    validate,
)
from hplan.level import Level
from hplan.level_config import LevelConfig, LossConfig, ModelConfig
from hplan.objective import ClipBatch, encode_clips
from hplan.support import support_percentile
from tests.hplan.dot_walks import dot_walks, seeded, small_stack

M, D, B, T, G, H, NUM_ACTIONS = 29, 7, 5, 23, 3, 2, 2
"""Latents, their width, clips, env steps, goals, rollout depth, actions (left and right)."""


def _latents(num_rows, scales):
    """Latents whose covariance is exactly diagonal, with these standard deviations."""
    z = torch.randn(num_rows, len(scales), generator=torch.Generator().manual_seed(0)).double()
    z = z - z.mean(0)
    root = torch.linalg.cholesky(z.T @ z / (num_rows - 1))
    white = torch.linalg.solve_triangular(root, z.T, upper=False).T
    turn = torch.linalg.qr(torch.randn(len(scales), len(scales)).double()).Q
    return (white * torch.tensor(scales, dtype=torch.float64)) @ turn


def _brute_force_spearman(x, y):
    def ranks(values):
        below = [sum(w < v for w in values) for v in values]
        ties = [sum(w == v for w in values) for v in values]
        return [b + (t + 1) / 2 for b, t in zip(below, ties, strict=True)]

    a, b = ranks(x), ranks(y)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    top = sum((p - mean_a) * (q - mean_b) for p, q in zip(a, b, strict=True))
    spread = sum((p - mean_a) ** 2 for p in a) * sum((q - mean_b) ** 2 for q in b)
    return top / math.sqrt(spread) if spread else 0.0


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-5, 5)), min_size=2, max_size=20))
def test_rank_correlation_matches_brute_force_with_ties(pairs):
    x, y = zip(*pairs, strict=True)
    found = rank_correlation(torch.tensor(x), torch.tensor(y).float())
    assert found.item() == pytest.approx(_brute_force_spearman(x, y), abs=1e-5)


def test_rank_correlation_sees_order_alone():
    x = torch.tensor(random.Random(0).sample(range(1000), M)).float()
    assert rank_correlation(x, (x / 100).exp()).item() == pytest.approx(1.0)
    assert rank_correlation(x, -(x**3)).item() == pytest.approx(-1.0)
    assert rank_correlation(x, torch.full((M,), 3.0)) == 0


@pytest.mark.parametrize("rank", [1, 3, D])
def test_effective_rank_counts_equal_dimensions(rank):
    scales = [2.0] * rank + [0.0] * (D - rank)
    assert effective_rank(_latents(M, scales)).item() == pytest.approx(rank, rel=1e-4)


def test_effective_rank_of_a_known_spectrum():
    # Variances 3 and 1: shares 3/4 and 1/4.
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    found = effective_rank(_latents(M, [math.sqrt(3), 1.0, 0.0]))
    assert found.item() == pytest.approx(math.exp(entropy), rel=1e-5)


@pytest.mark.parametrize("width", [1, D])
def test_collapsed_latents_have_no_spread_and_rank_one(width):
    collapsed = torch.full((M, width), 0.3)
    assert effective_rank(collapsed).item() == pytest.approx(1.0, abs=1e-3)
    assert latent_std(collapsed).item() == pytest.approx(0.0, abs=1e-6)


def test_latent_std_is_the_mean_over_dimensions():
    z = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    assert latent_std(z).item() == pytest.approx(math.sqrt(2) / 2)


class Position(nn.Module):
    """Latent (x, 0) of an observation (x,), times `scale`."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def forward(self, below):
        x = below.float()[..., :1]
        return self.scale * torch.cat([x, torch.zeros_like(x)], dim=-1)


class Moves(nn.Module):
    """Actions 0 and 1 as a move of -1 and 1."""

    def forward(self, actions):
        return (2.0 * actions - 1).unsqueeze(-1)


class Mover(nn.Module):
    """Adds `share` of the move to the position."""

    def __init__(self, share):
        super().__init__()
        self.share = share

    def forward(self, z, action):
        return z + self.share * torch.cat([action, torch.zeros_like(action)], dim=-1)


class Apart(nn.Module):
    """Twice the true distance."""

    def steps(self, z, goal):
        return 2 * (z - goal).abs().sum(-1)


def _level(share=1.0, scale=1.0):
    return Level(
        encoder=Position(scale),
        action_encoder=Moves(),
        action_prior=None,
        predictor=Mover(share),
        distance=Apart(),
        inverse=None,
        ratio=1,
        stride=1,
        latent_dim=2,
        action_dim=NUM_ACTIONS,
        num_actions=NUM_ACTIONS,
        rollout_depth=H,
    )


def _clips(actions):
    """A walk on a line under actions (B, T), every observation a frame of its own."""
    moves = torch.cat([torch.zeros(B, 1), 2.0 * actions - 1], dim=1)
    return ClipBatch(
        frames=moves.cumsum(1).reshape(-1, 1),
        index=torch.arange(B * (T + 1)).reshape(B, T + 1),
        actions=actions,
        goals=torch.zeros(G, dtype=torch.long),
    )


def _validate(level, actions, pairs=None):
    config = LevelConfig(model=ModelConfig(ratio=1), loss=LossConfig(rollout_depth=H))
    generator = torch.Generator().manual_seed(0)
    return validate(nn.ModuleList([level]), [config], _clips(actions), pairs, generator)


def test_validation_calibrates_a_level_in_closed_form():
    # Always to the right, half of each move predicted: after h steps the gap is h / 2 in one of the
    # two dimensions, and a move is 1 in one of them.
    level = _level(share=0.5)
    metrics = _validate(level, torch.ones(B, T, dtype=torch.long))
    assert level.rollout_error.tolist() == pytest.approx([0.25 / 2, 1.0 / 2])
    assert level.move.item() == pytest.approx(0.5)
    x = torch.arange(T + 1).float().repeat(B)
    assert metrics["level0/relative_error_2"].item() == pytest.approx(0.5 / (x.var() / 2).item())
    assert metrics["level0/latent_std"].item() == pytest.approx(x.std().item() / 2)
    assert metrics["level0/effective_rank"].item() == pytest.approx(1.0, abs=1e-3)
    assert not any("correlation" in name for name in metrics)


def test_a_perfect_predictor_has_no_error():
    actions = torch.randint(2, (B, T), generator=torch.Generator().manual_seed(1))
    metrics = _validate(_level(), actions)
    assert metrics["level0/relative_error_1"] == metrics["level0/relative_error_2"] == 0


def test_validation_compares_energies_with_true_distances():
    goals = torch.arange(1.0, 12.0).unsqueeze(-1)
    steps = torch.arange(1, 12)
    pairs = ValidationPairs(starts=torch.zeros(11, 1), goals=goals, steps=steps)
    metrics = _validate(_level(), torch.ones(B, T, dtype=torch.long), pairs)
    assert metrics["level0/l2_rank_correlation"].item() == pytest.approx(1.0)
    assert metrics["level0/distance_rank_correlation"].item() == pytest.approx(1.0)
    assert metrics["level0/distance_error"].item() == pytest.approx(math.log(2))
    backwards = ValidationPairs(starts=torch.zeros(11, 1), goals=goals, steps=steps.flip(0))
    metrics = _validate(_level(), torch.ones(B, T, dtype=torch.long), backwards)
    assert metrics["level0/l2_rank_correlation"].item() == pytest.approx(-1.0)


def test_a_collapsed_level_is_reported_in_finite_numbers():
    pairs = ValidationPairs(starts=torch.zeros(3, 1), goals=torch.ones(3, 1), steps=torch.ones(3))
    metrics = _validate(_level(scale=0.0), torch.ones(B, T, dtype=torch.long), pairs)
    assert metrics["level0/latent_std"] == 0
    assert metrics["level0/effective_rank"].item() == pytest.approx(1.0)
    assert all(torch.isfinite(metrics[f"level0/relative_error_{h}"]) for h in (1, 2))
    assert metrics["level0/l2_rank_correlation"] == 0


def _measured(num_levels=3, clips=None, seed=0):
    """A stack that validation has been through, its settings, its clips."""
    levels, configs = small_stack(num_levels)
    clips = dot_walks() if clips is None else clips
    validate(levels, configs, clips, None, seeded(seed))
    return levels, configs, clips


def _other_walks(row):
    """The same clips with the actions of one of them turned round."""
    clips = dot_walks()
    actions = clips.actions.clone()
    actions[row] = actions[row].flip(0)
    return replace(clips, actions=actions)


def test_other_real_macro_actions_spread_evenly_over_the_percentiles():
    levels, configs, clips = _measured()
    assert not levels[0].is_bank_measured and levels[0].bank.numel() == 0
    for k in (1, 2):
        # The bank is the first clip's. Draws of the other's macro-actions, and such from afar:
        drawn = [
            encode_clips(levels, configs, clips, seeded(s))[k].action[1:] for s in range(1, 12)
        ]
        found = support_percentile(levels[k], torch.cat(drawn).detach())
        assert found.mean().item() == pytest.approx(50, abs=4)
        for least in (0, 25, 50, 75):
            share = ((found >= least) & (found <= least + 25)).float().mean()
            assert share.item() == pytest.approx(0.25, abs=0.06)
        far = support_percentile(levels[k], torch.cat(drawn).detach() + 10 * levels[k].bank.std(0))
        assert (far == 100).all()
        assert (support_percentile(levels[k], levels[k].bank[None]) < 1).all(), "the bank itself"


def test_the_bank_and_its_gaps_come_from_different_clips():
    levels, _, _ = _measured(2)
    for row, changes in ((0, True), (1, False)):
        other, _, _ = _measured(2, _other_walks(row))
        assert torch.equal(other[1].bank, levels[1].bank) == (not changes)
        assert not torch.equal(other[1].bank_gaps, levels[1].bank_gaps)


def test_a_bank_is_drawn_as_in_training_from_its_seed_alone():
    levels, configs, clips = _measured(2)
    again, _, _ = _measured(2)
    assert torch.equal(levels[1].bank, again[1].bank)
    assert not torch.equal(levels[1].bank, _measured(2, seed=1)[0][1].bank)
    at_level = encode_clips(levels, configs, clips, seeded())[1]
    mean, std = at_level.action_mean[0].detach(), at_level.action_std[0].detach()
    bank = levels[1].bank
    assert bank.mean(0) == pytest.approx(mean.mean(0), abs=0.2)
    expected = (std.square().mean(0) + mean.var(0)).sqrt()
    assert torch.allclose(bank.std(0), expected, rtol=0.15)
    assert (mean.std(0) < 0.5 * bank.std(0)).all(), "means alone would be a narrower bank"


def test_metrics_do_not_depend_on_whether_banks_are_measured(monkeypatch):
    results = []
    for measure in (True, False):
        if not measure:
            monkeypatch.setattr(hplan.diagnostics, "_measure_bank", lambda *args: None)
        levels, configs = small_stack(3)
        generator, before = seeded(), torch.get_rng_state()
        metrics = validate(levels, configs, dot_walks(), None, generator)
        assert torch.equal(torch.get_rng_state(), before)
        results.append((metrics, generator.get_state()))
        assert bool(levels[2].is_bank_measured) == measure
    (with_banks, state), (without, same_state) = results
    assert with_banks.keys() == without.keys() and torch.equal(state, same_state)
    assert all(torch.equal(with_banks[name], without[name]) for name in without)
