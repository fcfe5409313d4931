"""Distances, learnt by temporal differences on frozen latents; and whole stacks that learn."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from hplan.diagnostics import latent_std
from hplan.level import LevelSpec
from hplan.level_config import LossConfig
from hplan.objective import distance_loss, distances_loss, encode_clips, stack_loss
from levels.distances import EmbeddingDistance
from tests.hplan.dot_walks import (
    SPEC,
    A,
    B,
    Between,
    Constant,
    D,
    G,
    T,
    bare_level,
    clips_of,
    dot_walks,
    seeded,
    small_stack,
)

pytestmark = pytest.mark.usefixtures("one_thread")


# Distances


def _marked_clips(stride):
    """Latents that say which clip and which time they are; other walks are clip -1."""
    clip, time = torch.meshgrid(torch.arange(B), torch.arange(T + 1), indexing="ij")
    goals = torch.stack([-torch.ones(G), torch.arange(G)], -1).float()
    action = torch.zeros(B, T + 1 - stride, A)
    return clips_of(torch.stack([clip, time], -1).float(), action, goals)


@pytest.mark.parametrize(("stride", "backup"), [(1, 1), (5, 1), (2, 3)])
def test_distances_are_asked_for_goals_of_all_clips_and_of_other_walks(stride, backup):
    distance, target, clips = Constant(1.0), Constant(1.0), _marked_clips(stride)
    config = LossConfig(distance_starts=401, distance_own_goals=301, distance_backup=backup)
    distance_loss(bare_level(stride, distance=distance), target, clips, config, seeded())
    (start, goals), (later, same_goals) = distance.asked, target.asked
    assert len(start) == B * 401
    assert set(start[:, 1].tolist()) == set(range(T + 1 - stride * backup)), "every step"
    clip, steps = (later - start).unbind(-1)
    assert not clip.any() and set(steps.tolist()) == {stride * (n + 1) for n in range(backup)}
    assert torch.equal(goals, same_goals)
    own, others = goals.split([B * 301, G])
    assert torch.equal(others, clips.goals)
    for clip in range(B):
        assert set(own[own[:, 0] == clip][:, 1].tolist()) == set(range(T + 1))


@pytest.mark.parametrize(("stride", "backup"), [(1, 1), (5, 1), (2, 3)])
@pytest.mark.parametrize(("guess", "promised", "num_own"), [(3.0, 1.5, 1), (1.2, 7.0, 3)])
def test_the_distance_loss_is_what_a_loop_over_its_pairs_gives(
    stride, backup, guess, promised, num_own
):
    discount, low = 0.9, 0.2
    config = LossConfig(
        distance_discount=discount,
        distance_expectile=low,
        distance_starts=101,
        distance_own_goals=num_own,
        distance_backup=backup,
    )
    distance, target, clips = Constant(guess), Constant(promised), _marked_clips(stride)
    level = bare_level(stride, distance=distance)
    loss = distance_loss(level, target, clips, config, seeded())
    estimate = 1 - discount**guess

    def term(cost):
        share = 1 - discount**cost
        entropy = -share * math.log(estimate) - (1 - share) * math.log(1 - estimate)
        return ((1 - low) if cost < guess else low) * entropy

    starts, goals = (x.tolist() for x in distance.asked)
    later = target.asked[0][:, 1].tolist()
    means, from_other_walks = [], []
    for (clip, time), backed_up in zip(starts, later, strict=True):
        terms, steps = [], (backed_up - time) / stride
        from_other_walks.append(term(steps + promised))
        for other, moment in goals[: B * num_own]:
            walked = (moment - time) / stride
            if clip == other and time <= moment:
                weight = 1 / (1 + (moment - time) / (4 * stride + 12))
                cost = walked if walked <= steps else min(steps + promised, walked)
                terms.append((weight * term(cost), weight))
        if terms:
            means.append(sum(t for t, _ in terms) / sum(w for _, w in terms))
    assert len(goals) == B * num_own + G and len(means) > 10
    expected = sum(means) / len(means) + sum(from_other_walks) / len(from_other_walks)
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_goals_of_a_walk_that_all_lie_behind_teach_nothing():
    clips = _marked_clips(1)
    distance, target = Constant(3.0), Constant(1.0)
    config = LossConfig(distance_starts=1, distance_own_goals=1)
    level = bare_level(1, distance=distance)
    losses = {}
    for seed in range(30):
        loss = distance_loss(level, target, clips, config, torch.Generator().manual_seed(seed))
        (start, goals) = distance.asked
        ahead = (goals[:B] - start)[:, 1]
        losses.setdefault(bool((ahead >= 0).any()), []).append(loss.item())
    assert len(set(losses[False])) == 1 and min(losses[True]) > losses[False][0]


def test_latents_and_the_target_take_no_gradient_from_the_distance():
    z, goals = torch.randn(B, T + 1, D), torch.randn(G, D)
    clips = clips_of(z.requires_grad_(), goals=goals.requires_grad_())
    distance, target = Between(), Between()
    loss = distance_loss(bare_level(distance=distance), target, clips, LossConfig(), seeded())
    loss.backward()
    assert z.grad is None and goals.grad is None and target.weight.grad is None
    assert distance.weight.grad.abs() > 0


def test_distances_and_world_models_are_trained_apart():
    levels, configs = small_stack(3, **{"loss.inverse_weight": [1.0]})
    targets = nn.ModuleList(copy.deepcopy(level.distance) for level in levels)
    batch = dot_walks()

    def trained():
        return {
            name.split(".")[1]
            for name, p in levels.named_parameters()
            if p.grad is not None and p.grad.abs().sum() > 0
        }

    stack_loss(levels, configs, batch, seeded())[0].backward()
    parts = {"encoder", "action_encoder", "action_prior", "predictor", "inverse"}
    assert trained() == parts
    levels.zero_grad()
    loss, terms = distances_loss(levels, targets, configs, batch, seeded())
    loss.backward()
    assert trained() == {"distance"}
    assert all(p.grad is None for p in targets.parameters())
    generator = seeded()
    clips = encode_clips(levels, configs, batch, seeded())
    for k, (level, target) in enumerate(zip(levels, targets, strict=True)):
        expected = distance_loss(level, target, clips[k], configs[k].loss, generator)
        torch.testing.assert_close(terms[f"level{k}/distance_loss"], expected)
    torch.testing.assert_close(loss, torch.stack(list(terms.values())).sum())


def test_a_distance_that_shapes_latents_is_the_same_loss_with_a_gradient_in_them():
    z, goals = torch.randn(B, T + 1, D), torch.randn(G, D)
    clips = clips_of(z.requires_grad_(), goals=goals.requires_grad_())
    level, target = bare_level(distance=Between()), Between()
    apart = distance_loss(level, target, clips, LossConfig(), seeded())
    shaping = distance_loss(level, target, clips, LossConfig(), seeded(), shapes=True)
    assert torch.equal(apart, shaping)
    shaping.backward()
    assert z.grad.abs().sum() > 0 and goals.grad.abs().sum() > 0 and target.weight.grad is None


def test_only_levels_with_a_distance_weight_are_shaped_by_distance():
    levels, configs = small_stack(2, **{"loss.distance_weight": [0.0, 0.5]})
    targets = nn.ModuleList(copy.deepcopy(level.distance) for level in levels)
    _, plain = stack_loss(levels, small_stack(2)[1], dot_walks(), seeded())
    _, terms = stack_loss(levels, configs, dot_walks(), seeded(), targets)
    assert terms.keys() - plain.keys() == {"level1/shaping_loss"}
    for name, term in plain.items():
        assert torch.equal(term, terms[name]), "nothing else is drawn anew"
    terms["level1/shaping_loss"].backward()
    reached = {
        name.split(".")[0]
        for name, p in levels[1].named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert reached == {"encoder", "distance"}
    assert any(p.grad is not None for p in levels[0].encoder.parameters()), "end to end"


def _line_walks(num_places, num_walks, length, stride):
    """Walks to and fro on a line, whose latent is the place, one-hot; they turn now and then."""
    random = np.random.default_rng(0)
    turns = np.where(random.random((num_walks, length)) < 0.15, -1, 1).cumprod(1)
    walk = random.integers(num_places, size=(num_walks, 1)) + turns.cumsum(1)
    last = num_places - 1
    walk = np.abs((walk - last) % (2 * last) - last)
    z = nn.functional.one_hot(torch.from_numpy(walk), num_places).float()
    return clips_of(z, action=torch.zeros(num_walks, length - stride, A), goals=z[:, 0])


@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_distance_learns_the_steps_along_a_line_from_walks_to_and_fro(stride):
    num_places, discount, num_updates = 11, 0.9, 300
    clips = _line_walks(num_places, 23, 41, stride)
    torch.manual_seed(0)
    spec = LevelSpec(
        obs_shape=SPEC.shape, num_values=SPEC.num_values, ratio=1, stride=1, below_dim=1,
        below_action_dim=0, latent_dim=num_places, action_dim=A, hidden_dim=31, num_hidden=2,
        sample_obs=None,
    )  # fmt: skip
    level = bare_level(stride, distance=EmbeddingDistance(spec))
    target = copy.deepcopy(level.distance).requires_grad_(False)
    optimizer = torch.optim.Adam(level.distance.parameters())
    config = LossConfig(distance_discount=discount)
    generator = seeded()
    for update in range(num_updates):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - update / num_updates)
        optimizer.zero_grad()
        distance_loss(level, target, clips, config, generator).backward()
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(target.parameters(), level.distance.parameters(), strict=True):
                slow.lerp_(fast, 0.1)
    place = torch.eye(num_places)
    with torch.no_grad():
        steps = level.steps_left(
            place[:, None].expand(-1, num_places, -1), place.expand(num_places, -1, -1)
        )
    truth = (torch.arange(num_places)[:, None] - torch.arange(num_places)).abs()
    assert (steps - truth).abs().mean() < 0.45 * stride
    # From one end to the other, and back, it grows with every step of the level.
    assert torch.all(steps[0, stride:] > steps[0, :-stride])
    assert torch.all(steps[-1, :-stride] > steps[-1, stride:])


# Learning


def _train(num_updates, **overrides):
    """Losses by update, and the spread of the latents before and after, of one batch learnt."""
    levels, configs = small_stack(2, **overrides)
    batch = dot_walks()

    def spread():
        with torch.no_grad():
            clips = encode_clips(levels, configs, batch, seeded())
            return [latent_std(at_level.z.flatten(0, 1)).item() for at_level in clips]

    before = spread()
    optimizer = torch.optim.Adam(levels.parameters())
    history = []
    for update in range(num_updates):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - update / num_updates)
        optimizer.zero_grad()
        loss, terms = stack_loss(levels, configs, batch, seeded(update))
        loss.backward()
        optimizer.step()
        history.append([terms[f"level{k}/prediction_loss"].item() for k in (0, 1)])
    return history, before, spread()


@pytest.mark.slow
def test_a_stack_learns_one_batch_and_keeps_its_spread():
    history, _, spread = _train(500, **{"model.num_hidden": [2]})
    for k in (0, 1):
        assert np.mean([losses[k] for losses in history[-10:]]) < history[0][k] / 10
        assert spread[k] > 0.8


def test_without_the_regulariser_the_latents_collapse():
    history, before, after = _train(80, **{"loss.regulariser_weight": [0.0]})
    for k in (0, 1):
        assert history[-1][k] < history[0][k] / 10, "the prediction loss alone sees nothing wrong"
        assert after[k] < before[k] / 4
