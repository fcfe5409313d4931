"""Encoders: from an observation, or from the latent below, to a level's latent."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hplan.level import LevelSpec
from levels.layers import mlp

NUM_BUMPS = 16  # for each number of a vector
RARE = 0.005  # share of the data below the first bump, and above the last
BLOCKS = 8  # of an image, along each side
SMALL_SPREAD = 0.05  # of a pixel's mean brightness, as a share of the largest there is
IMAGES_AT_ONCE = 32  # so that they stay in the cache


class AxialEncoder(nn.Module):
    """Encodes a symbolic grid by what stands in each row and in each column.

    Every channel of every cell is one-hot coded and summed over rows and over columns; the two
    short sequences go through an MLP. Position is then a linear function of the features, which a
    strided convolution has to learn from scratch; and the sums take no gradient, so they cost
    little. The counts are standardised by their mean and spread in the data: what never changes
    would drown what does.

    Needs a grid of shape (width, height, channels) and the size of each channel's vocabulary.
    """

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        self.num_values = spec.num_values
        width, height, _ = spec.obs_shape
        num_features = (width + height) * sum(spec.num_values)
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("scale", torch.ones(num_features))
        self.mlp = mlp(num_features, spec.latent_dim, spec.hidden_dim, spec.num_hidden)
        if spec.sample_obs is not None:
            counts = self.features(spec.sample_obs)
            self.mean.copy_(counts.mean(0))
            self.scale.copy_(1.0 / counts.std(0).clamp(min=0.05))

    def features(self, obs: Tensor) -> Tensor:
        """Counts by value, row and column (B, F) of grids (B, width, height, channels).

        Those of the first grid, and for each other one what differs in it: mostly a few cells.
        """
        pooled = []
        for channel, size in enumerate(self.num_values):
            values = obs[..., channel]
            first = values[:1]
            one_hot = F.one_hot(first.long(), size).float()
            counts = torch.cat([one_hot.sum(2), one_hot.sum(1)], dim=1).repeat(len(obs), 1, 1)
            grid, x, y = (values != first).nonzero().unbind(-1)
            for line in (x, obs.shape[1] + y):
                for value, sign in ((values, 1.0), (first.expand_as(values), -1.0)):
                    place = (grid, line, value[grid, x, y].long())
                    counts.index_put_(place, counts.new_tensor(sign), accumulate=True)
            pooled.append(counts.flatten(1))
        return torch.cat(pooled, dim=-1)

    def forward(self, obs: Tensor) -> Tensor:
        """Latents (B, D) of grids (B, width, height, channels) of uint8."""
        return self.mlp((self.features(obs) - self.mean) * self.scale)


class LinearAxialEncoder(AxialEncoder):
    """An axial encoder whose latent also holds the standardised counts, linearly projected.

    An MLP trained to predict keeps what changes most; a lamp that lights once in a hundred steps
    hardly moves its latent, however much depends on it. Through the projection every count does.
    """

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__(spec)
        num_features = len(self.mean)
        self.projection = nn.Linear(num_features, spec.latent_dim, bias=False)
        nn.init.normal_(self.projection.weight, std=num_features**-0.5)

    def forward(self, obs: Tensor) -> Tensor:
        """Latents (B, D) of grids (B, width, height, channels) of uint8."""
        counts = (self.features(obs) - self.mean) * self.scale
        return self.mlp(counts) + self.projection(counts)


class VectorEncoder(nn.Module):
    """Encodes a vector of numbers by where each of them lies in its range in the data.

    Every number becomes a row of smooth bumps, evenly over the range of the data, beside the number
    itself, standardised; then follows an MLP. What differs from place to place, such as walls, is
    then nearly linear in the features, while an MLP on bare numbers takes long to learn it.

    Source: radial basis functions as in Broomhead and Lowe, "Multivariable functional interpolation
    and adaptive networks" (Complex Systems 2, 1988), one dimension at a time.
    """

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        (size,) = spec.obs_shape
        for name, value in (("low", -1.0), ("spacing", 2.0 / (NUM_BUMPS - 1)), ("mean", 0.0)):
            self.register_buffer(name, torch.full((size,), value))
        self.register_buffer("scale", torch.ones(size))
        num_features = size * (NUM_BUMPS + 1)
        self.mlp = mlp(num_features, spec.latent_dim, spec.hidden_dim, spec.num_hidden)
        if spec.sample_obs is not None:
            sample = spec.sample_obs.float()
            low, high = sample.quantile(torch.tensor([RARE, 1.0 - RARE]), dim=0)
            spacing = (high - low) / (NUM_BUMPS - 1)
            self.low.copy_(low)
            # A number that never changes has one bump, wherever it strays.
            self.spacing.copy_(torch.where(spacing > 1e-6, spacing, 1.0))
            self.mean.copy_(sample.mean(0))
            self.scale.copy_(1.0 / torch.where(spacing > 1e-6, sample.std(0), 1.0))

    def features(self, obs: Tensor) -> Tensor:
        """Bumps and standardised numbers (B, F) of vectors (B, N)."""
        at = ((obs - self.low) / self.spacing).unsqueeze(-1)  # in units of bumps
        away = at - torch.arange(NUM_BUMPS, dtype=at.dtype, device=at.device)
        bumps = (-0.5 * away.square()).exp()
        return torch.cat([bumps.flatten(-2), (obs - self.mean) * self.scale], dim=-1)

    def forward(self, obs: Tensor) -> Tensor:
        """Latents (B, D) of vectors (B, N) of float32."""
        return self.mlp(self.features(obs))


class PixelsEncoder(nn.Module):
    """Encodes an image by the mean brightness of its rows, its columns and its coarse blocks.

    As in `AxialEncoder` these sums take no gradient and make the place of a thing that moves easy
    to tell, much finer than a block; the blocks say which row goes with which column. They are
    standardised by the data, so that a background that never changes does not drown what does; then
    follows an MLP. A convolution learned from the pixels would cost ten times as much and more.

    Needs an image of shape (height, width, channels).
    """

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        height, width, channels = spec.obs_shape
        num_features = (height + width + BLOCKS * BLOCKS) * channels
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("scale", torch.ones(num_features))
        self.mlp = mlp(num_features, spec.latent_dim, spec.hidden_dim, spec.num_hidden)
        if spec.sample_obs is not None:
            means = self.features(spec.sample_obs)
            spread = means.std(0)
            least = max(float(SMALL_SPREAD * spread.max()), 1e-6)
            self.mean.copy_(means.mean(0))
            self.scale.copy_(1.0 / spread.clamp(min=least))

    def features(self, obs: Tensor) -> Tensor:
        """Mean brightness (B, F), 0 to 1, of images (B, height, width, channels) of uint8."""
        return torch.cat([_pooled(images) for images in obs.split(IMAGES_AT_ONCE)])

    def forward(self, obs: Tensor) -> Tensor:
        """Latents (B, D) of images (B, height, width, channels) of uint8."""
        return self.mlp((self.features(obs) - self.mean) * self.scale)


def _pooled(images: Tensor) -> Tensor:
    """(B, (height + width + BLOCKS^2) * channels) of a few images (B, height, width, channels)."""
    size, height, width, channels = images.shape
    bright = images.reshape(size, height, width * channels).float() / 255.0
    bands = torch.stack([band.sum(1) for band in bright.tensor_split(BLOCKS, dim=1)], dim=1)
    lanes = bands.view(size, BLOCKS, width, channels)
    blocks = torch.stack([lane.sum(2) for lane in lanes.tensor_split(BLOCKS, dim=2)], dim=2)
    # In two steps: to add up what lies far apart is much faster than neighbours.
    folds = math.gcd(width, BLOCKS)
    rows = bright.view(size, height, folds, -1).sum(2).view(size, height, -1, channels).sum(2)
    sums = (rows / width, bands.sum(1) / height, blocks * BLOCKS**2 / (height * width))
    return torch.cat([part.flatten(1) for part in sums], dim=1)


class MLPEncoder(nn.Module):
    """Encodes a vector: the latent of the level below."""

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        self.mlp = mlp(spec.below_dim, spec.latent_dim, spec.hidden_dim, spec.num_hidden)

    def forward(self, below: Tensor) -> Tensor:
        """Latents (..., D) of vectors (..., in_dim)."""
        return self.mlp(below.float())


class IdentityEncoder(nn.Module):
    """Shares the latent space of the level below, as HWM does (arXiv 2604.03208, section 3)."""

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()

    def forward(self, below: Tensor) -> Tensor:
        """`below` (..., D) itself."""
        return below


class OneHotActions(nn.Module):
    """The bottom level's action encoder for discrete actions."""

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        self.num_actions = spec.action_dim

    def forward(self, actions: Tensor) -> Tensor:
        """(..., A) of action numbers (...,)."""
        return F.one_hot(actions.long(), self.num_actions).float()

    def to_env(self, actions: Tensor) -> Tensor:
        """Action numbers (...,) of what is the largest of (..., A)."""
        return actions.argmax(-1)
