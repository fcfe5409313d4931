"""What world models are trained for: rollouts, macro-actions, gradients between levels, terms."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from hplan.level import rollout
from hplan.objective import (
    encode_clips,
    inverse_loss,
    level_loss,
    prior_loss,
    rollout_errors,
    stack_loss,
)
from tests.hplan.dot_walks import (
    NUM_ACTIONS,
    A,
    B,
    Constant,
    D,
    H,
    S,
    T,
    bare_level,
    clips_of,
    dot_walks,
    seeded,
    small_configs,
    small_stack,
)

pytestmark = pytest.mark.usefixtures("one_thread")


# Rollouts


def test_a_rollout_is_so_many_predictions_and_begins_with_the_start():
    levels, _ = small_stack(2)
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
    errors = rollout_errors(bare_level(stride, Adder()), clips_of(z, action), H, S, seeded())
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
        bare_level(stride, Recorder()), clips_of(z, action), depth, 997, seeded()
    )
    assert errors.tolist() == [0.0] * depth
    assert seen == set(range(T + 1 - stride)), "every start, and each later step but the last"


# Macro-actions


def test_a_macro_action_depends_on_the_actions_of_its_own_step_alone():
    levels, configs = small_stack(3)
    batch = dot_walks()
    before = encode_clips(levels, configs, batch, seeded())
    for moment in (0, 13, T - 1):
        actions = batch.actions.clone()
        actions[:, moment] = (actions[:, moment] + 1) % NUM_ACTIONS
        after = encode_clips(levels, configs, replace(batch, actions=actions), seeded())
        for k, stride in enumerate((1, 3, 6)):
            changed = (before[k].action != after[k].action).any(-1)
            assert changed.shape == (B, T + 1 - stride)
            start = torch.arange(T + 1 - stride)
            expected = (start <= moment) & (moment < start + stride)
            assert torch.equal(changed, expected.expand(B, -1)), (moment, k)


def test_a_macro_action_is_that_of_its_chunk_and_start_taken_by_themselves():
    levels, configs = small_stack(3)
    batch = dot_walks()
    bottom, middle, top = encode_clips(levels, configs, batch, seeded())
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
    levels, configs = small_stack(2)
    batch = dot_walks()
    draws = torch.stack(
        [encode_clips(levels, configs, batch, seeded(s))[1].action for s in range(200)]
    )
    clips = encode_clips(levels, configs, batch, seeded())[1]
    noise = (draws - clips.action_mean) / clips.action_std
    assert abs(noise.mean().item()) < 0.01
    assert noise.std().item() == pytest.approx(1.0, abs=0.01)


def test_latents_are_those_of_their_observations_at_every_level():
    levels, configs = small_stack(3)
    batch = dot_walks()
    below = batch.frames[batch.index[1, 4]].unsqueeze(0)
    goal = batch.frames[batch.goals[2]].unsqueeze(0)
    for level, clips in zip(levels, encode_clips(levels, configs, batch, seeded()), strict=True):
        below, goal = level.encode(below), level.encode(goal)
        torch.testing.assert_close(clips.z[1, 4], below[0])
        torch.testing.assert_close(clips.goals[2], goal[0])


# Gradients between levels


@pytest.mark.parametrize("num_levels", [2, 3])
@pytest.mark.parametrize("gradient", ["stop", "end_to_end"])
def test_gradients_cross_levels_unless_they_are_stopped(num_levels, gradient):
    levels, configs = small_stack(num_levels, **{"loss.gradient": [gradient]})
    clips = encode_clips(levels, configs, dot_walks(), seeded())
    terms = level_loss(levels[-1], clips[-1], configs[-1], seeded())
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
        stack = small_stack(3, **{"loss.gradient": [gradient]})
        losses.append(stack_loss(*stack, dot_walks(), seeded())[0].item())
    assert losses[0] == losses[1]


# Terms


def test_the_prior_loss_is_the_divergence_of_normal_distributions():
    mean, std = torch.randn(B, T, A), torch.rand(B, T, A) + 0.1
    prior_mean, prior_std = torch.randn(B, T, A), torch.rand(B, T, A) + 0.1
    level = bare_level()
    level.action_prior = Prior(prior_mean, prior_std)
    clips = clips_of(torch.randn(B, T + 1, D), action=mean, action_mean=mean, action_std=std)
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
    level = bare_level(stride)
    level.inverse = Difference()
    clips = clips_of(z, action, action_mean=action, action_std=torch.ones_like(action))
    assert inverse_loss(level, clips).item() == pytest.approx(0.0, abs=1e-9)
    level.num_actions = A
    one_hot = nn.functional.one_hot(action.argmax(-1), A).float()
    expected = -action.log_softmax(-1).max(-1).values.mean()
    torch.testing.assert_close(inverse_loss(level, clips_of(z, one_hot)), expected)


def test_the_loss_is_the_sum_of_weighted_terms_and_weights_turn_them_off():
    batch = dot_walks()
    terms = {}
    for factor in (1.0, 3.0):
        weights = {
            "loss.prediction_weight": [factor],
            "loss.regulariser_weight": [2 * factor],
            "loss.prior_weight": [0.5 * factor],
            "loss.inverse_weight": [factor],
            "loss.smoothness_weight": [factor],
            "loss.walk_weight": [1.0],  # times the regulariser's
            "loss.walk_std": [5.0],
        }
        loss, terms[factor] = stack_loss(*small_stack(2, **weights), batch, seeded())
        torch.testing.assert_close(loss, torch.stack(list(terms[factor].values())).sum())
    kinds = ["prediction", "variance", "covariance", "inverse", "smoothness", "walk"]
    expected = {f"level{k}/{kind}_loss" for k in (0, 1) for kind in kinds}
    assert set(terms[1.0]) == expected | {"level1/prior_loss"}
    for name, term in terms[1.0].items():
        torch.testing.assert_close(terms[3.0][name], 3 * term)
        assert term > 0, name
    _, least = stack_loss(*small_stack(1), batch, seeded())
    assert {name.split("/")[1] for name in least} == {
        "prediction_loss", "variance_loss", "covariance_loss"
    }  # fmt: skip


def test_the_smoothness_loss_is_the_mean_squared_change_over_one_step():
    configs = small_configs(1, **{"loss.smoothness_weight": [2.0], "model.ratio": [3]})
    level = bare_level(stride=3, predictor=Adder(), distance=Constant(1.0))
    z = (torch.arange(T + 1).float() * 0.5).repeat(B, 1).unsqueeze(-1)
    clips = clips_of(z, action=torch.zeros(B, T - 2, 1))
    terms = level_loss(level, clips, configs[0], seeded())
    assert terms["smoothness_loss"].item() == pytest.approx(2.0 * 1.5**2)


@pytest.mark.parametrize(("free", "charged"), [(0.0, 2.0), (1.5, 2.0), (3.0, 3.0)])
def test_macro_actions_are_charged_for_what_they_tell_beyond_what_is_free(free, charged):
    weights = {"loss.prior_weight": [0.1], "loss.free_nats": [free], "model.ratio": [3]}
    (config,) = small_configs(1, **weights)
    level = bare_level(stride=3, predictor=Adder(), distance=Constant(1.0))
    z = (torch.arange(T + 1).float() * 0.5).repeat(B, 1).unsqueeze(-1)
    mean = torch.full((B, T - 2, 1), 2.0)
    clips = clips_of(z, action=mean, action_mean=mean, action_std=torch.ones_like(mean))
    level.action_prior = Prior(torch.zeros_like(mean), torch.ones_like(mean))
    terms = level_loss(level, clips, config, seeded())  # of two standard deviations: 2 nats
    assert terms["prior_loss"].item() == pytest.approx(0.1 * charged)
