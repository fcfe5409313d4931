"""What a level is made of, and stacks built from settings."""

import math

import pytest
import torch
from torch import nn

from hplan.dataset import ObservationSpec
from hplan.level import LevelSpec
from hplan.level_config import HierarchyConfig, LevelConfig, ModelConfig, level_configs
from levels.build import build_levels, find_part
from levels.distances import EmbeddingDistance, TwoEmbeddingsDistance
from levels.encoders import AxialEncoder, IdentityEncoder, OneHotActions
from levels.macro_actions import GaussianMacroActions, GaussianPrior
from levels.predictors import BilinearMLP, GatedBilinearMLP, ResidualMLP

B, T, D, A, RATIO, D_BELOW, A_BELOW = 2, 11, 7, 5, 3, 13, 17
WIDTH, HEIGHT, VALUES = 5, 3, (2, 7)
SPEC = ObservationSpec(shape=(WIDTH, HEIGHT, 2), num_values=VALUES, num_actions=19)


def _part_spec(sample_obs=None):
    return LevelSpec(
        obs_shape=SPEC.shape,
        num_values=VALUES,
        ratio=RATIO,
        stride=2 * RATIO,
        below_dim=D_BELOW,
        below_action_dim=A_BELOW,
        latent_dim=D,
        action_dim=A,
        hidden_dim=23,
        num_hidden=2,
        sample_obs=sample_obs,
    )


def _grids(num_grids, seed=0):
    generator = torch.Generator().manual_seed(seed)
    channels = [
        torch.randint(size, (num_grids, WIDTH, HEIGHT), generator=generator) for size in VALUES
    ]
    return torch.stack(channels, dim=-1).to(torch.uint8)


def _configs(num_levels, **overrides):
    template = LevelConfig(
        model=ModelConfig(predictor="bilinear", latent_dim=D, action_dim=A, hidden_dim=23)
    )
    paths = {
        "model.ratio": [1, RATIO],
        "model.encoder": ["axial", "mlp"],
        "model.action_encoder": ["one_hot", "gaussian"],
        **overrides,
    }
    return level_configs(HierarchyConfig(num_levels=num_levels, level=template, overrides=paths))


class DoublingPredictor(nn.Module):
    """A predictor of one's own."""

    def __init__(self, spec):
        super().__init__()

    def forward(self, z, action):
        return 2 * z


def test_axial_features_count_every_value_by_row_and_by_column():
    obs = _grids(B)
    features = AxialEncoder(_part_spec()).features(obs)
    for b in range(B):
        expected = []
        for channel, size in enumerate(VALUES):
            grid = obs[b, :, :, channel].tolist()
            expected += [grid[x].count(v) for x in range(WIDTH) for v in range(size)]
            columns = [[grid[x][y] for x in range(WIDTH)] for y in range(HEIGHT)]
            expected += [column.count(v) for column in columns for v in range(size)]
        assert features[b].tolist() == expected


def test_axial_features_of_no_grid_are_none_and_values_beyond_the_vocabulary_are_refused():
    encoder, obs = AxialEncoder(_part_spec()), _grids(B)
    assert encoder.features(obs[:0]).shape == encoder.features(obs)[:0].shape
    for b in range(B):
        strange = obs.clone()
        strange[b, -1, -1, 0] = VALUES[0]
        with pytest.raises((RuntimeError, IndexError)):
            encoder.features(strange)


def test_axial_features_are_standardised_by_the_data():
    sample = _grids(101)
    sample[:, 0, :, 0] = 0
    encoder = AxialEncoder(_part_spec(sample))
    scaled = (encoder.features(sample) - encoder.mean) * encoder.scale
    std = scaled.std(0)
    constant = encoder.features(sample).std(0) == 0
    assert torch.all(std[constant] == 0) and constant.any()
    assert torch.allclose(std[~constant], torch.ones(()), atol=1e-4)
    assert torch.allclose(scaled.mean(0), torch.zeros(()), atol=1e-4)
    assert torch.equal(encoder(sample), encoder.mlp(scaled))
    assert {"mean", "scale"} <= set(encoder.state_dict()), "the scale is part of the weights"


def test_the_axial_encoder_tells_any_two_places_apart():
    empty = torch.zeros(WIDTH * HEIGHT, WIDTH, HEIGHT, 2, dtype=torch.uint8)
    for place in range(WIDTH * HEIGHT):
        empty[place, place // HEIGHT, place % HEIGHT, 0] = 1
    torch.manual_seed(0)
    z = AxialEncoder(_part_spec())(empty)
    gaps = torch.cdist(z, z) + 99 * torch.eye(len(z))
    assert gaps.min() > 1e-3


def test_one_hot_actions_and_identity_are_what_they_say():
    actions = torch.tensor([[0, 4, 2], [1, 1, 3]])
    coded = OneHotActions(_part_spec())(actions)
    assert coded.shape == (2, 3, A)
    assert torch.equal(coded.argmax(-1), actions) and torch.all(coded.sum(-1) == 1)
    z = torch.randn(B, D)
    assert IdentityEncoder(_part_spec())(z) is z


@pytest.mark.parametrize("part", [EmbeddingDistance, TwoEmbeddingsDistance])
def test_a_distance_is_zero_or_more_and_the_same_one_by_one_and_all_at_once(part):
    torch.manual_seed(0)
    distance = part(_part_spec())
    z, goals = torch.randn(B, D), torch.randn(T, D)
    every = distance.all_steps(z, goals)
    assert every.shape == (B, T)
    torch.testing.assert_close(every, distance.steps(z.unsqueeze(1), goals), rtol=1e-4, atol=1e-4)
    one_by_one = [[distance.steps(z[b], goals[t]).item() for t in range(T)] for b in range(B)]
    torch.testing.assert_close(every, torch.tensor(one_by_one), rtol=1e-4, atol=1e-4)
    assert torch.all(every > 0)
    assert not torch.allclose(every.T, distance.all_steps(goals, z), atol=1e-2), "one way"


def test_a_state_is_near_itself_by_a_shared_embedding_from_the_first():
    torch.manual_seed(0)
    distance, other = EmbeddingDistance(_part_spec()), TwoEmbeddingsDistance(_part_spec())
    z = torch.randn(T, D)
    itself = distance.all_steps(z, z)
    assert itself.diagonal().max() < 0.1 * itself.mean() < other.all_steps(z, z).diagonal().max()
    for weight in distance.apart.parameters():
        nn.init.zeros_(weight)
    itself = distance.all_steps(z, z)
    assert torch.all(itself >= 0) and itself.diagonal().max() < 1e-4 < itself[0, 1]


def test_macro_actions_depend_on_the_chunk_in_its_order_and_on_the_start():
    torch.manual_seed(0)
    encoder = GaussianMacroActions(_part_spec())
    chunk, start = torch.randn(B, T, RATIO, A_BELOW), torch.randn(B, T, D_BELOW)
    mean, std = encoder(chunk, start)
    assert mean.shape == std.shape == (B, T, A)
    for changed in ((chunk.flip(2), start), (chunk, start + 1)):
        assert not torch.allclose(encoder(*changed)[0], mean, atol=1e-3)
    one_by_one = torch.stack([encoder(chunk[:, t], start[:, t])[0] for t in range(T)], dim=1)
    assert torch.allclose(one_by_one, mean, atol=1e-6)


@pytest.mark.parametrize("part", [GaussianMacroActions, GaussianPrior])
@pytest.mark.parametrize(("size", "expected"), [(1e6, math.exp(2)), (-1e6, math.exp(-5))])
def test_spread_of_macro_actions_is_bounded(part, size, expected):
    module = part(_part_spec())
    nn.init.constant_(module.mlp[-1].bias, size)
    inputs = (torch.randn(B, RATIO, A_BELOW), torch.randn(B, D_BELOW))
    _, std = module(*inputs) if part is GaussianMacroActions else module(torch.randn(B, D))
    assert torch.allclose(std, torch.full((), expected))


def test_the_residual_predictor_starts_from_where_it_is():
    predictor = ResidualMLP(_part_spec())
    z, action = torch.randn(B, T, D), torch.randn(B, T, A)
    assert not torch.allclose(predictor(z, action), predictor(z, action + 1), atol=1e-3)
    for parameter in predictor.mlp[-1].parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(predictor(z, action), z)


def test_a_bilinear_predictor_adds_the_map_of_each_action_in_proportion_to_it():
    predictor = BilinearMLP(_part_spec())
    z, action = torch.randn(B, T, D), torch.randn(B, T, A)
    maps = torch.randn(A, D, D)
    with torch.no_grad():
        predictor.maps.weight.copy_(maps.flatten(0, 1))
        rest = ResidualMLP.forward(predictor, z, action)
    expected = rest + torch.einsum("bta,aij,btj->bti", action, maps, z)
    assert torch.allclose(predictor(z, action), expected, atol=1e-4)


def test_a_gate_scales_what_the_bilinear_predictor_changes():
    predictor = GatedBilinearMLP(_part_spec())
    z, action = torch.randn(B, T, D), torch.randn(B, T, A)
    last = predictor.gate[-1]
    nn.init.zeros_(last.weight)
    for logit, share in ((-200.0, 0.0), (0.0, 0.5), (200.0, 1.0)):
        nn.init.constant_(last.bias, logit)
        expected = z + share * (BilinearMLP.forward(predictor, z, action) - z)
        assert torch.allclose(predictor(z, action), expected, atol=1e-6)


def _error_where_nothing_happens(part, seed):
    """After 200 updates in a world in which an action turns the latent, but only where z_0 > 1."""
    torch.manual_seed(seed)
    predictor, turn = part(_part_spec()), torch.linalg.qr(torch.randn(A, D, D))[0]
    optimizer = torch.optim.Adam(predictor.parameters(), lr=3e-3)
    for _ in range(200):
        z, action = torch.randn(256, D), torch.eye(A)[torch.randint(A, (256,))]
        works = z[:, :1] > 1
        after = torch.where(works, torch.einsum("na,aij,nj->ni", action, turn, z), z)
        off = (predictor(z, action) - after).square()
        optimizer.zero_grad()
        off.mean().backward()
        optimizer.step()
    return float(off[~works.squeeze(1)].mean().detach())


@pytest.mark.parametrize("seed", [0, 1])
def test_a_gate_soon_learns_where_an_action_does_nothing(seed):
    gated, open_ = (
        _error_where_nothing_happens(part, seed) for part in (GatedBilinearMLP, BilinearMLP)
    )
    assert gated < 0.4 * open_


@pytest.mark.parametrize("num_levels", [1, 2, 4])
def test_stacks_of_any_depth_fit_together(num_levels):
    overrides = {"model.latent_dim": [13, 7, 5], "model.action_dim": [99, 5, 3]}
    stack = build_levels(_configs(num_levels, **overrides), SPEC)
    widths, action_widths = [13, 7, 5, 5][:num_levels], [19, 5, 3, 3][:num_levels]
    below = _grids(B)
    for k, level in enumerate(stack):
        below = level.encode(below)
        action = torch.randn(B, action_widths[k])
        assert below.shape == level.predict(below, action).shape == (B, widths[k])
        assert level.latent_dim == widths[k]
        assert level.stride == RATIO**k
        assert level.steps_left(below, below.flip(0)).shape == (B,)
        assert (level.action_prior is None) == (k == 0)
        assert level.num_actions == (19 if k == 0 else 0)
        if k > 0:
            assert level.action_prior(below)[0].shape == (B, action_widths[k])
            chunk = torch.randn(B, RATIO, action_widths[k - 1])
            start = torch.randn(B, widths[k - 1])
            assert level.action_encoder(chunk, start)[0].shape == (B, action_widths[k])


def test_steps_left_are_env_steps_at_every_level():
    for level in build_levels(_configs(3), SPEC):
        z, goal = torch.randn(B, D), torch.randn(B, D)
        expected = level.distance.steps(z, goal) * level.stride
        assert torch.equal(level.steps_left(z, goal), expected)


def test_the_same_seed_gives_the_same_weights_below_whatever_the_depth():
    stacks = []
    for num_levels in (1, 3, 3):
        torch.manual_seed(5)
        stacks.append(build_levels(_configs(num_levels), SPEC).state_dict())
    for name, value in stacks[1].items():
        assert torch.equal(value, stacks[2][name])
    for name, value in stacks[0].items():
        assert torch.equal(value, stacks[1][name])


def test_an_identity_encoder_shares_the_latent_below():
    configs = _configs(3, **{"model.encoder": ["axial", "identity"], "model.latent_dim": [7, 99]})
    stack = build_levels(configs, SPEC)
    assert [level.latent_dim for level in stack] == [7, 7, 7]


def test_a_class_of_ones_own_is_named_by_its_import_path():
    name = f"{__name__}.DoublingPredictor"
    (level,) = build_levels(_configs(1, **{"model.predictor": [name]}), SPEC)
    z = torch.randn(B, D)
    assert torch.equal(level.predict(z, torch.randn(B, 19)), 2 * z)


@pytest.mark.parametrize("kind", ["encoder", "action_encoder", "predictor", "distance"])
@pytest.mark.parametrize("name", ["nothing", "no_such_module.Part", "levels.encoders.Nothing"])
def test_unknown_parts_are_refused_with_their_path(kind, name):
    with pytest.raises(ValueError) as error:
        find_part(kind, name)
    assert f"hierarchy.level.model.{kind} = {name!r}" in str(error.value)
    assert "or module.Class of your own" in str(error.value)
