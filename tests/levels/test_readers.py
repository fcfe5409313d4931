"""What reads vectors and images at the bottom, and what scales continuous actions."""

from dataclasses import replace

import pytest
import torch

from hplan.level import LevelSpec
from levels.continuous_actions import BoxActions
from levels.encoders import (
    BLOCKS,
    NUM_BUMPS,
    LinearAxialEncoder,
    PixelsEncoder,
    VectorEncoder,
)

B, D, A, SIZE, HEIGHT, WIDTH, CHANNELS = 2, 7, 3, 5, 24, 40, 3
LOW, HIGH = (-1.0, 0.0, 10.0), (1.0, 4.0, 30.0)


def _spec(shape, sample_obs=None):
    return LevelSpec(
        obs_shape=shape, num_values=(), action_low=LOW, action_high=HIGH, ratio=1, stride=1,
        below_dim=1, below_action_dim=0, latent_dim=D, action_dim=A, hidden_dim=23, num_hidden=2,
        sample_obs=sample_obs,
    )  # fmt: skip


def _vectors(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(count, SIZE, generator=generator)
    return drawn * torch.tensor([1.0, 100.0, 1e-3, 2.0, 0.0]) + torch.tensor([0, 50, 0, -1, 7.0])


def _images(count, seed=0, height=HEIGHT, width=WIDTH):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, height, width, CHANNELS)
    return torch.randint(256, shape, generator=generator, dtype=torch.uint8)


def test_every_number_of_a_vector_has_bumps_over_its_range_in_the_data():
    sample = _vectors(4001)
    encoder = VectorEncoder(_spec((SIZE,), sample))
    bumps = encoder.features(sample)[:, : SIZE * NUM_BUMPS].unflatten(1, (SIZE, NUM_BUMPS))
    moving = bumps[:, :-1]
    assert (moving.amax(0) > 0.999).all(), "each is on top somewhere"
    for number in range(SIZE - 1):
        order = sample[:, number].argsort()
        highest = moving[order, number].argmax(-1)
        assert (highest.diff() >= 0).all() and highest[0] == 0 and highest[-1] == NUM_BUMPS - 1
        share = (highest == NUM_BUMPS // 2).float().mean()
        assert share == pytest.approx(1 / (NUM_BUMPS - 1), rel=0.3)
    raw = encoder.features(sample)[:, SIZE * NUM_BUMPS :]
    assert torch.allclose(raw[:, :-1].std(0), torch.ones(()), atol=1e-3)
    assert torch.allclose(raw.mean(0), torch.zeros(()), atol=1e-2)


def test_a_number_that_never_changed_in_the_data_may_stray_a_little():
    encoder = VectorEncoder(_spec((SIZE,), _vectors(101)))
    obs = _vectors(B)
    moved = obs.clone()
    moved[:, -1] += 1e-3
    assert (encoder.features(moved) - encoder.features(obs)).abs().max() < 0.01


def _pooled_by_hand(image):
    """Rows, columns, blocks of (HEIGHT, WIDTH, CHANNELS) in [0, 1]."""
    rows, columns = image.mean(1), image.mean(0)
    tall, wide = HEIGHT // BLOCKS, WIDTH // BLOCKS
    blocks = [
        image[i * tall : (i + 1) * tall, j * wide : (j + 1) * wide].mean((0, 1))
        for i in range(BLOCKS)
        for j in range(BLOCKS)
    ]
    return torch.cat([rows.flatten(), columns.flatten(), *blocks])


def test_features_of_images_are_the_means_of_rows_columns_and_blocks():
    images = _images(67)
    features = PixelsEncoder(_spec((HEIGHT, WIDTH, CHANNELS))).features(images)
    for image, found in zip(images[::11], features[::11], strict=True):
        assert torch.allclose(found, _pooled_by_hand(image / 255.0), atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(7, 5), (23, 17), (1, 1)])
def test_images_of_any_size_are_read(height, width):
    encoder = PixelsEncoder(_spec((height, width, CHANNELS)))
    features = encoder.features(_images(B, height=height, width=width))
    assert features.isfinite().all() and features.std() > 0
    bright = torch.full((1, height, width, CHANNELS), 255, dtype=torch.uint8)
    lines = encoder.features(bright)[:, : (height + width) * CHANNELS]
    assert torch.allclose(lines, torch.ones(()))


def test_images_are_standardised_by_the_data_and_a_background_is_nothing():
    sample = _images(101)
    sample[:, 3] = 99  # a row that is always alike
    encoder = PixelsEncoder(_spec((HEIGHT, WIDTH, CHANNELS), sample))
    scaled = (encoder.features(sample) - encoder.mean) * encoder.scale
    row = slice(3 * CHANNELS, 4 * CHANNELS)
    assert scaled[:, row].abs().max() < 1e-3
    rest = torch.cat([scaled[:, : row.start], scaled[:, row.stop :]], dim=1)
    assert torch.allclose(rest.std(0), torch.ones(()), atol=1e-3)
    assert {"mean", "scale"} <= set(encoder.state_dict())
    assert torch.equal(encoder(sample), encoder.mlp(scaled))


@pytest.mark.parametrize("kind", [VectorEncoder, PixelsEncoder])
def test_weights_without_a_sample_read_alike_once_loaded(kind):
    obs = _vectors(33) if kind is VectorEncoder else _images(33)
    torch.manual_seed(0)
    trained = kind(_spec(tuple(obs.shape[1:]), obs))
    loaded = kind(_spec(tuple(obs.shape[1:])))
    assert not torch.allclose(loaded(obs), trained(obs))
    loaded.load_state_dict(trained.state_dict())
    assert torch.equal(loaded(obs), trained(obs)) and loaded(obs).shape == (33, D)


def test_actions_are_scaled_to_one_and_back():
    box = BoxActions(_spec((SIZE,)))
    bounds = torch.tensor([LOW, HIGH])
    assert torch.equal(box(bounds), torch.tensor([[-1.0] * A, [1.0] * A]))
    actions = bounds[0] + torch.rand(B, 4, A) * (bounds[1] - bounds[0])
    assert torch.allclose(box.to_env(box(actions)), actions, atol=1e-5)
    assert torch.allclose(box(actions[0, 0]), 2 * (actions[0, 0] - bounds[0]) / (
        bounds[1] - bounds[0]) - 1)  # fmt: skip


def test_what_the_env_is_given_is_within_its_bounds_to_the_last_bit():
    low, high = (-0.1, 1e-3, -7.3), (0.3, 0.7, 1e4)
    spec = _spec((SIZE,))
    box = BoxActions(LevelSpec(**(vars(spec) | {"action_low": low, "action_high": high})))
    given = box.to_env(torch.tensor([[1.0] * A, [-1.0] * A, [99.0] * A, [-99.0] * A]))
    for row, bound in zip(given, (high, low, high, low), strict=True):
        assert torch.equal(row, torch.tensor(bound))


def test_a_count_that_is_rare_moves_a_linear_axial_latent():
    """A lamp that is lit in one grid of a hundred, beside an agent that is everywhere."""
    generator = torch.Generator().manual_seed(0)
    grids = torch.zeros(1000, 6, 5, 1, dtype=torch.uint8)
    rows = torch.arange(1000)
    grids[rows, torch.randint(6, (1000,), generator=generator), 1, 0] = 1
    grids[::100, 0, 4, 0] = 2
    spec = replace(_spec((6, 5, 1), grids), num_values=(3,), latent_dim=64)
    torch.manual_seed(0)
    encoder = LinearAxialEncoder(spec)
    lit, dark = grids[::100], grids[::100].clone()
    dark[:, 0, 4, 0] = 0
    with torch.no_grad():
        moved = (encoder(lit) - encoder(dark)).square().mean()
        spread = encoder(grids).var(0).mean()
        for weights in encoder.mlp.parameters():
            weights.zero_()  # an MLP that ignores it
        kept = (encoder(lit) - encoder(dark)).square().mean()
    assert moved > 0.1 * spread and kept > 0.1 * spread
