"""The encoder with a memory: what it carries, and from where."""

import numpy as np
import pytest
import torch

from hplan.dataset import ObservationSpec
from hplan.level import LevelSpec
from hplan.level_config import HierarchyConfig, LevelConfig, ModelConfig, level_configs
from levels.build import build_levels
from levels.encoders import AxialEncoder, PixelsEncoder, VectorEncoder
from levels.memory import RecurrentEncoder

B, T, D, A, SIZE, HIDDEN = 3, 11, 7, 5, 2, 26
VALUES = (2, 3)


def _part_spec(**changes):
    facts = dict(
        obs_shape=(SIZE, SIZE, 2), num_values=VALUES, action_low=(), action_high=(), ratio=1,
        stride=1, below_dim=2 * SIZE * SIZE, below_action_dim=0, latent_dim=D, action_dim=A,
        hidden_dim=HIDDEN, num_hidden=1, sample_obs=None,
    )  # fmt: skip
    return LevelSpec(**{**facts, **changes})


def _encoder(**changes):
    torch.manual_seed(0)
    return RecurrentEncoder(_part_spec(**changes)).requires_grad_(False)


def _episodes(seed=0):
    """Observations (B, T, ...) and the actions (B, T, A) before them, zeros first."""
    generator = torch.Generator().manual_seed(seed)
    shape = (B, T, SIZE, SIZE)
    obs = torch.stack([torch.randint(n, shape, generator=generator) for n in VALUES], dim=-1)
    actions = torch.eye(A)[torch.randint(A, (B, T), generator=generator)]
    actions[:, 0] = 0
    return obs.to(torch.uint8), actions


def _remembered(encoder, obs, actions):
    features = encoder.features(obs.flatten(0, 1)).unflatten(0, obs.shape[:2])
    return encoder.remember(features, actions, torch.zeros(len(obs), encoder.memory_dim))


def test_step_by_step_is_as_all_at_once():
    encoder, (obs, actions) = _encoder(), _episodes()
    latents, memories = _remembered(encoder, obs, actions)
    memory = torch.zeros(B, encoder.memory_dim)
    for t in range(T):
        features = encoder.features(obs[:, t]).unsqueeze(1)
        z, memory = encoder.remember(features, actions[:, t : t + 1], memory)
        memory = memory.squeeze(1)
        torch.testing.assert_close(z.squeeze(1), latents[:, t])
        torch.testing.assert_close(memory, memories[:, t])


def test_one_observation_is_encoded_as_the_first_of_an_episode():
    encoder, (obs, actions) = _encoder(), _episodes()
    latents, _ = _remembered(encoder, obs, actions)
    torch.testing.assert_close(encoder(obs[:, 0]), latents[:, 0])
    assert (encoder(obs[:, -1]) - latents[:, -1]).abs().max() > 1e-2, "later ones have a past"


def test_a_latent_depends_on_all_that_came_before_and_on_nothing_after():
    encoder, (obs, actions) = _encoder(), _episodes()
    latents, _ = _remembered(encoder, obs, actions)
    other_obs, other_actions = _episodes(1)
    for t in (1, T // 2):
        changed = obs.clone()
        changed[:, t] = other_obs[:, t]
        acted = actions.clone()
        acted[:, t] = actions[:, t].roll(1, dims=-1)
        for after, _ in (_remembered(encoder, changed, actions), _remembered(encoder, obs, acted)):
            gaps = (after - latents).abs().amax(dim=(0, 2))
            assert (gaps[:t] == 0).all() and (gaps[t:] > 0).all()
    assert not torch.equal(other_actions, actions)


def test_each_episode_remembers_only_itself():
    encoder, (obs, actions) = _encoder(), _episodes()
    latents, _ = _remembered(encoder, obs, actions)
    for b in range(B):
        alone, _ = _remembered(encoder, obs[b : b + 1], actions[b : b + 1])
        torch.testing.assert_close(alone[0], latents[b])


@pytest.mark.parametrize(
    ("kind", "shape", "num_values", "frame"),
    [
        ("grid", (SIZE, SIZE, 2), VALUES, AxialEncoder),
        ("pixels", (16, 16, 3), (), PixelsEncoder),
        ("vector", (13,), (), VectorEncoder),
    ],
)
def test_each_observation_is_first_encoded_by_what_suits_its_kind(kind, shape, num_values, frame):
    encoder = _encoder(obs_shape=shape, num_values=num_values)
    assert type(encoder.frame) is frame
    spec = ObservationSpec(kind=kind, shape=shape, num_values=num_values, num_actions=A)
    obs = torch.from_numpy(np.stack([np.full(shape, n, spec.dtype) for n in (0, 1)]))
    first, second = encoder(obs)
    assert first.shape == (D,) and (first - second).abs().max() > 0


@pytest.mark.parametrize("num_levels", [1, 2])
def test_only_a_bottom_level_remembers(num_levels):
    template = LevelConfig(
        model=ModelConfig(
            encoder="recurrent", predictor="residual_mlp", latent_dim=D, hidden_dim=HIDDEN
        )
    )
    actions = {"model.action_encoder": ["one_hot", "gaussian"]}
    configs = level_configs(
        HierarchyConfig(num_levels=num_levels, level=template, overrides=actions)
    )
    spec = ObservationSpec(shape=(SIZE, SIZE, 2), num_values=VALUES, num_actions=A)
    if num_levels == 1:
        assert build_levels(configs, spec)[0].memory_dim == HIDDEN // 2
    else:
        with pytest.raises(ValueError, match="'recurrent' of level 1.*allowed above the bottom"):
            build_levels(configs, spec)
