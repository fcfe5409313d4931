"""What a stack is trained for: rollouts, macro-actions, gradients between levels, distances."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hplan.config import HierarchyConfig, LevelConfig, LossConfig, ModelConfig, level_configs
from hplan.data import ClipSampler
from hplan.dataset import EpisodeStore, ObservationSpec
from hplan.diagnostics import latent_std
from hplan.level import Level, LevelSpec, rollout
from hplan.objective import (
    EncodedClips,
    distance_loss,
    distances_loss,
    encode_clips,
    inverse_loss,
    level_loss,
    prior_loss,
    rollout_errors,
    stack_loss,
)
from levels.build import build_levels
from levels.distances import EmbeddingDistance

B, H, NUM_ACTIONS, D, A, S, G, T, WIDTH, HEIGHT = 2, 3, 5, 7, 11, 13, 19, 29, 17, 23
"""Clips, rollout depth, actions, latent, macro-action, starts, goals, env steps, the world."""
RATIOS = [1, 3, 2]
SPEC = ObservationSpec(shape=(WIDTH, HEIGHT, 1), num_values=(2,), num_actions=NUM_ACTIONS)
MOVES = np.array([[1, 0], [0, 1], [0, 0], [-1, 0], [0, -1]])


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Matrices this small are slower on many threads, and very slow where others want the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _batch():
    """Random walks of a dot on a torus."""
    random = np.random.default_rng(0)
    actions = random.integers(NUM_ACTIONS, size=(31, 2 * T))
    start = random.integers((WIDTH, HEIGHT), size=(31, 1, 2))
    places = (np.concatenate([start, start + MOVES[actions].cumsum(1)], 1)) % (WIDTH, HEIGHT)
    frames = np.eye(WIDTH * HEIGHT, dtype=np.uint8).reshape(-1, WIDTH, HEIGHT, 1)
    store = EpisodeStore(
        frames=frames,
        frame_index=(places[..., 0] * HEIGHT + places[..., 1]).astype(np.int32),
        actions=actions.astype(np.int8),
        lengths=np.full(31, 2 * T),
        spec=SPEC,
    )
    return ClipSampler(store, batch_size=B, clip_length=T, num_goals=G, seed=0).draw(0)


def _configs(num_levels, **overrides):
    template = LevelConfig(
        model=ModelConfig(latent_dim=D, action_dim=A, hidden_dim=61, num_hidden=1),
        loss=LossConfig(rollout_depth=H, num_starts=S),
    )
    paths = {
        "model.ratio": RATIOS,
        "model.encoder": ["axial", "mlp"],
        "model.action_encoder": ["one_hot", "gaussian"],
        **overrides,
    }
    return level_configs(HierarchyConfig(num_levels=num_levels, level=template, overrides=paths))


def _stack(num_levels, **overrides):
    torch.manual_seed(0)
    configs = _configs(num_levels, **overrides)
    return build_levels(configs, SPEC, _batch().frames), configs


class Between(nn.Module):
    """A distance that is a multiple of the squared difference."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def steps(self, z, goal):
        return self.weight * (z - goal).square().sum(-1)

    def all_steps(self, z, goals):
        return self.steps(z.unsqueeze(1), goals)


class Constant(nn.Module):
    """A distance of so many steps wherever; it remembers what it was asked."""

    def __init__(self, num_steps):
        super().__init__()
        self.num_steps = nn.Parameter(torch.tensor(num_steps))

    def steps(self, z, goal):
        self.own = (z, goal)
        return self.num_steps.expand(len(z))

    def all_steps(self, z, goals):
        self.others = (z, goals)
        return self.num_steps.expand(len(z), len(goals))


def _bare_level(stride=1, predictor=None, distance=None):
    nothing = nn.Identity()
    return Level(
        encoder=nothing,
        action_encoder=nothing,
        action_prior=None,
        predictor=predictor or nothing,
        distance=distance or nothing,
        inverse=None,
        ratio=stride,
        stride=stride,
        latent_dim=D,
        num_actions=0,
        rollout_depth=H,
    )


def _clips(z, action=None, goals=None, **distribution):
    width = z.shape[-1]
    return EncodedClips(
        z=z,
        goals=torch.zeros(G, width) if goals is None else goals,
        action=torch.zeros(len(z), z.shape[1] - 1, A) if action is None else action,
        **{"action_mean": None, "action_std": None, **distribution},
    )


# Rollouts


def test_a_rollout_is_so_many_predictions_and_begins_with_the_start():
    levels, _ = _stack(2)
    for level, width in zip(levels, (NUM_ACTIONS, A), strict=True):
        z, actions = torch.randn(B, S, D), torch.randn(B, S, H, width)
        latents = rollout(level, z, actions)
        assert latents.shape == (B, S, H + 1, D)
        assert torch.equal(latents[:, :, 0], z)
        for h in range(H):
            z = level.predict(z, actions[:, :, h])
            assert torch.equal(latents[:, :, h + 1], z)


class Adder(nn.Module):
    """z' = z + action + 1."""

    def forward(self, z, action):
        return z + action + 1.0


@pytest.mark.parametrize("stride", [1, 5])
def test_rollout_errors_grow_with_depth_in_closed_form(stride):
    # The action of the step that starts at a time says how far it leads; a predictor that adds 1
    # too much is off by h after h steps.
    time = torch.arange(T + 1).float() ** 2
    z = (time + torch.tensor([[0.0], [1000.0]])).unsqueeze(-1)
    action = z[:, stride:] - z[:, :-stride]
    errors = rollout_errors(_bare_level(stride, Adder()), _clips(z, action), H, S, _generator())
    assert errors.tolist() == pytest.approx([1.0, 4.0, 9.0], rel=1e-3)


def test_rollouts_start_everywhere_and_stay_in_the_clip():
    class Recorder(nn.Module):
        def forward(self, z, action):
            seen.update(z.flatten().tolist())
            return action

    seen = set()
    z = torch.arange(T + 1).float().repeat(B, 1).unsqueeze(-1)
    stride, depth = 2, 3
    action = z[:, stride:]
    errors = rollout_errors(
        _bare_level(stride, Recorder()), _clips(z, action), depth, 997, _generator()
    )
    assert errors.tolist() == [0.0] * depth
    assert seen == set(range(T + 1 - stride)), "every start, and each later step but the last"


# Macro-actions


def test_a_macro_action_depends_on_the_actions_of_its_own_step_alone():
    levels, configs = _stack(3)
    batch = _batch()
    before = encode_clips(levels, configs, batch, _generator())
    for moment in (0, 13, T - 1):
        actions = batch.actions.clone()
        actions[:, moment] = (actions[:, moment] + 1) % NUM_ACTIONS
        after = encode_clips(levels, configs, replace(batch, actions=actions), _generator())
        for k, stride in enumerate((1, 3, 6)):
            changed = (before[k].action != after[k].action).any(-1)
            assert changed.shape == (B, T + 1 - stride)
            start = torch.arange(T + 1 - stride)
            expected = (start <= moment) & (moment < start + stride)
            assert torch.equal(changed, expected.expand(B, -1)), (moment, k)


def test_a_macro_action_is_that_of_its_chunk_and_start_taken_by_themselves():
    levels, configs = _stack(3)
    batch = _batch()
    bottom, middle, top = encode_clips(levels, configs, batch, _generator())
    t = 5
    one_hot = nn.functional.one_hot(batch.actions[:, t : t + 3], NUM_ACTIONS).float()
    mean, std = levels[1].action_encoder(one_hot, bottom.z[:, t])
    torch.testing.assert_close(middle.action_mean[:, t], mean)
    torch.testing.assert_close(middle.action_std[:, t], std)
    chunk = torch.stack([middle.action_mean[:, t], middle.action_mean[:, t + 3]], dim=1)
    torch.testing.assert_close(
        top.action_mean[:, t], levels[2].action_encoder(chunk, middle.z[:, t])[0]
    )


def test_macro_actions_are_drawn_from_their_distribution():
    levels, configs = _stack(2)
    batch = _batch()
    draws = torch.stack(
        [encode_clips(levels, configs, batch, _generator(s))[1].action for s in range(200)]
    )
    clips = encode_clips(levels, configs, batch, _generator())[1]
    noise = (draws - clips.action_mean) / clips.action_std
    assert abs(noise.mean().item()) < 0.01
    assert noise.std().item() == pytest.approx(1.0, abs=0.01)


def test_latents_are_those_of_their_observations_at_every_level():
    levels, configs = _stack(3)
    batch = _batch()
    below = batch.frames[batch.index[1, 4]].unsqueeze(0)
    goal = batch.frames[batch.goals[2]].unsqueeze(0)
    for level, clips in zip(
        levels, encode_clips(levels, configs, batch, _generator()), strict=True
    ):
        below, goal = level.encode(below), level.encode(goal)
        torch.testing.assert_close(clips.z[1, 4], below[0])
        torch.testing.assert_close(clips.goals[2], goal[0])


# Gradients between levels


@pytest.mark.parametrize("num_levels", [2, 3])
@pytest.mark.parametrize("gradient", ["stop", "end_to_end"])
def test_gradients_cross_levels_unless_they_are_stopped(num_levels, gradient):
    levels, configs = _stack(num_levels, **{"loss.gradient": [gradient]})
    clips = encode_clips(levels, configs, _batch(), _generator())
    terms = level_loss(levels[-1], clips[-1], configs[-1], _generator())
    torch.stack(list(terms.values())).sum().backward()
    reached = {
        (k, part): any(
            p.grad is not None and p.grad.abs().sum() > 0 for p in getattr(level, part).parameters()
        )
        for k, level in enumerate(levels)
        for part in ("encoder", "action_encoder")
    }
    top = num_levels - 1
    assert reached.pop((top, "encoder")) and reached.pop((top, "action_encoder"))
    assert not reached.pop((0, "action_encoder")), "one-hot actions learn nothing"
    assert set(reached.values()) == {gradient == "end_to_end"}, reached


def test_stopping_the_gradient_changes_no_loss():
    losses = []
    for gradient in ("stop", "end_to_end"):
        stack = _stack(3, **{"loss.gradient": [gradient]})
        losses.append(stack_loss(*stack, _batch(), _generator())[0].item())
    assert losses[0] == losses[1]


# Terms


def test_the_prior_loss_is_the_divergence_of_normal_distributions():
    mean, std = torch.randn(B, T, A), torch.rand(B, T, A) + 0.1
    prior_mean, prior_std = torch.randn(B, T, A), torch.rand(B, T, A) + 0.1
    level = _bare_level()
    level.action_prior = Prior(prior_mean, prior_std)
    clips = _clips(torch.randn(B, T + 1, D), action=mean, action_mean=mean, action_std=std)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, std), normal(prior_mean, prior_std))
    torch.testing.assert_close(prior_loss(level, clips), expected.sum(-1).mean())
    level.action_prior = Prior(mean, std)
    assert prior_loss(level, clips).item() == pytest.approx(0.0, abs=1e-6)


class Prior(nn.Module):
    """The same prior everywhere."""

    def __init__(self, mean, std):
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, z):
        return self.mean, self.std


class Difference(nn.Module):
    """Guesses the action as what changed."""

    def forward(self, pair):
        before, after = pair.chunk(2, dim=-1)
        return after - before


def test_inverse_dynamics_reads_the_latents_before_and_after():
    stride = 3
    z = torch.randn(B, T + 1, A)
    action = z[:, stride:] - z[:, :-stride]
    level = _bare_level(stride)
    level.inverse = Difference()
    clips = _clips(z, action, action_mean=action, action_std=torch.ones_like(action))
    assert inverse_loss(level, clips).item() == pytest.approx(0.0, abs=1e-9)
    level.num_actions = A
    one_hot = nn.functional.one_hot(action.argmax(-1), A).float()
    expected = -action.log_softmax(-1).max(-1).values.mean()
    torch.testing.assert_close(inverse_loss(level, _clips(z, one_hot)), expected)


def test_the_loss_is_the_sum_of_weighted_terms_and_weights_turn_them_off():
    batch = _batch()
    terms = {}
    for factor in (1.0, 3.0):
        weights = {
            "loss.prediction_weight": [factor],
            "loss.regulariser_weight": [2 * factor],
            "loss.prior_weight": [0.5 * factor],
            "loss.inverse_weight": [factor],
            "loss.smoothness_weight": [factor],
        }
        loss, terms[factor] = stack_loss(*_stack(2, **weights), batch, _generator())
        torch.testing.assert_close(loss, torch.stack(list(terms[factor].values())).sum())
    kinds = ["prediction", "variance", "covariance", "inverse", "smoothness"]
    expected = {f"level{k}/{kind}_loss" for k in (0, 1) for kind in kinds}
    assert set(terms[1.0]) == expected | {"level1/prior_loss"}
    for name, term in terms[1.0].items():
        torch.testing.assert_close(terms[3.0][name], 3 * term)
        assert term > 0, name
    _, least = stack_loss(*_stack(1), batch, _generator())
    assert {name.split("/")[1] for name in least} == {
        "prediction_loss", "variance_loss", "covariance_loss"
    }  # fmt: skip


def test_the_smoothness_loss_is_the_mean_squared_change_over_one_step():
    configs = _configs(1, **{"loss.smoothness_weight": [2.0], "model.ratio": [3]})
    level = _bare_level(stride=3, predictor=Adder(), distance=Constant(1.0))
    z = (torch.arange(T + 1).float() * 0.5).repeat(B, 1).unsqueeze(-1)
    clips = _clips(z, action=torch.zeros(B, T - 2, 1))
    terms = level_loss(level, clips, configs[0], _generator())
    assert terms["smoothness_loss"].item() == pytest.approx(2.0 * 1.5**2)


# Distances


def _marked_clips(stride):
    """Latents that say which clip and which time they are; other walks are clip -1."""
    clip, time = torch.meshgrid(torch.arange(B), torch.arange(T + 1), indexing="ij")
    goals = torch.stack([-torch.ones(G), torch.arange(G)], -1).float()
    action = torch.zeros(B, T + 1 - stride, A)
    return _clips(torch.stack([clip, time], -1).float(), action, goals)


@pytest.mark.parametrize("stride", [1, 5])
def test_distances_are_asked_for_later_goals_of_the_walk_and_all_of_others(stride):
    distance, target, clips = Constant(1.0), Constant(1.0), _marked_clips(stride)
    config = LossConfig(distance_starts=4001)
    distance_loss(_bare_level(stride, distance=distance), target, clips, config, _generator())
    (start, goal), (later, same_goal) = distance.own, target.own
    assert len(start) == B * 4001
    assert set(start[:, 1].tolist()) == set(range(T + 1 - stride)), "every step of the level"
    assert torch.equal(later, start + torch.tensor([0, stride])), "the target looks a step later"
    assert torch.equal(goal, same_goal) and torch.equal(goal[:, 0], start[:, 0])
    ahead = (goal - start)[:, 1]
    assert ahead.min() == 0 and ahead.max() > stride and goal[:, 1].max() == T
    assert set(range(stride + 1)) <= set(ahead.tolist())
    for asked, origin in ((distance.others, start), (target.others, later)):
        assert torch.equal(asked[0], origin) and torch.equal(asked[1], clips.goals)


@pytest.mark.parametrize("stride", [1, 5])
@pytest.mark.parametrize(("guess", "promised"), [(3.0, 1.5), (1.2, 7.0)])
def test_the_distance_loss_is_what_a_loop_over_its_pairs_gives(stride, guess, promised):
    discount, low = 0.9, 0.2
    config = LossConfig(distance_discount=discount, distance_expectile=low, distance_starts=501)
    distance, target, clips = Constant(guess), Constant(promised), _marked_clips(stride)
    level = _bare_level(stride, distance=distance)
    loss = distance_loss(level, target, clips, config, _generator())
    estimate = 1 - discount**guess

    def term(cost):
        share = 1 - discount**cost
        entropy = -share * math.log(estimate) - (1 - share) * math.log(1 - estimate)
        return ((1 - low) if cost < guess else low) * entropy

    total = 0.0
    for start, goal in zip(*(x[:, 1].tolist() for x in distance.own), strict=True):
        walked = (goal - start) / stride
        total += term(walked if walked <= 1 else min(1 + promised, walked))
    expected = total / (B * 501) + term(1 + promised)
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_latents_and_the_target_take_no_gradient_from_the_distance():
    z, goals = torch.randn(B, T + 1, D), torch.randn(G, D)
    clips = _clips(z.requires_grad_(), goals=goals.requires_grad_())
    distance, target = Between(), Between()
    loss = distance_loss(_bare_level(distance=distance), target, clips, LossConfig(), _generator())
    loss.backward()
    assert z.grad is None and goals.grad is None and target.weight.grad is None
    assert distance.weight.grad.abs() > 0


def test_distances_and_world_models_are_trained_apart():
    levels, configs = _stack(3, **{"loss.inverse_weight": [1.0]})
    targets = nn.ModuleList(copy.deepcopy(level.distance) for level in levels)
    batch = _batch()

    def trained():
        return {
            name.split(".")[1]
            for name, p in levels.named_parameters()
            if p.grad is not None and p.grad.abs().sum() > 0
        }

    stack_loss(levels, configs, batch, _generator())[0].backward()
    parts = {"encoder", "action_encoder", "action_prior", "predictor", "inverse"}
    assert trained() == parts
    levels.zero_grad()
    loss, terms = distances_loss(levels, targets, configs, batch, _generator())
    loss.backward()
    assert trained() == {"distance"}
    assert all(p.grad is None for p in targets.parameters())
    generator = _generator()
    clips = encode_clips(levels, configs, batch, _generator())
    for k, (level, target) in enumerate(zip(levels, targets, strict=True)):
        expected = distance_loss(level, target, clips[k], configs[k].loss, generator)
        torch.testing.assert_close(terms[f"level{k}/distance_loss"], expected)
    torch.testing.assert_close(loss, torch.stack(list(terms.values())).sum())


def _line_walks(num_places, num_walks, length, stride):
    """Walks to and fro on a line, whose latent is the place, one-hot; they turn now and then."""
    random = np.random.default_rng(0)
    turns = np.where(random.random((num_walks, length)) < 0.15, -1, 1).cumprod(1)
    walk = random.integers(num_places, size=(num_walks, 1)) + turns.cumsum(1)
    last = num_places - 1
    walk = np.abs((walk - last) % (2 * last) - last)
    z = nn.functional.one_hot(torch.from_numpy(walk), num_places).float()
    return _clips(z, action=torch.zeros(num_walks, length - stride, A), goals=z[:, 0])


@pytest.mark.parametrize("stride", [1, 2])
def test_a_distance_learns_the_steps_along_a_line_from_walks_to_and_fro(stride):
    num_places, discount, num_updates = 11, 0.9, 300
    clips = _line_walks(num_places, 23, 41, stride)
    torch.manual_seed(0)
    spec = LevelSpec(
        obs_shape=SPEC.shape, num_values=SPEC.num_values, ratio=1, stride=1, below_dim=1,
        below_action_dim=0, latent_dim=num_places, action_dim=A, hidden_dim=31, num_hidden=2,
        sample_obs=None,
    )  # fmt: skip
    level = _bare_level(stride, distance=EmbeddingDistance(spec))
    target = copy.deepcopy(level.distance).requires_grad_(False)
    optimizer = torch.optim.Adam(level.distance.parameters())
    config = LossConfig(distance_discount=discount, distance_starts=8)
    generator = _generator()
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
    assert (steps - truth).abs().mean() < 0.4 * stride
    # From one end to the other, and back, it grows with every step of the level.
    assert torch.all(steps[0, stride:] > steps[0, :-stride])
    assert torch.all(steps[-1, :-stride] > steps[-1, stride:])


# Learning


def _train(num_updates, **overrides):
    """Losses by update, and the spread of the latents before and after, of one batch learnt."""
    levels, configs = _stack(2, **overrides)
    batch = _batch()

    def spread():
        with torch.no_grad():
            clips = encode_clips(levels, configs, batch, _generator())
            return [latent_std(at_level.z.flatten(0, 1)).item() for at_level in clips]

    before = spread()
    optimizer = torch.optim.Adam(levels.parameters())
    history = []
    for update in range(num_updates):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - update / num_updates)
        optimizer.zero_grad()
        loss, terms = stack_loss(levels, configs, batch, _generator(update))
        loss.backward()
        optimizer.step()
        history.append([terms[f"level{k}/prediction_loss"].item() for k in (0, 1)])
    return history, before, spread()


def test_a_stack_learns_one_batch_and_keeps_its_spread():
    history, _, spread = _train(280, **{"model.num_hidden": [2]})
    for k in (0, 1):
        assert np.mean([losses[k] for losses in history[-10:]]) < history[0][k] / 10
        assert spread[k] > 0.8


def test_without_the_regulariser_the_latents_collapse():
    history, before, after = _train(80, **{"loss.regulariser_weight": [0.0]})
    for k in (0, 1):
        assert history[-1][k] < history[0][k] / 10, "the prediction loss alone sees nothing wrong"
        assert after[k] < before[k] / 4
