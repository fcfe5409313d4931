"""Encoders: from an observation, or from the latent below, to a level's latent."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hplan.level import LevelSpec
from levels.layers import mlp


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
        """Counts by value, row and column (B, F) of grids (B, width, height, channels)."""
        pooled = []
        for channel, size in enumerate(self.num_values):
            values = obs[..., channel].long()
            for axis in (-1, -2):
                lines = values if axis == -1 else values.transpose(-1, -2)
                counts = torch.zeros(*lines.shape[:-1], size, device=obs.device)
                counts.scatter_add_(-1, lines, torch.ones_like(lines, dtype=counts.dtype))
                pooled.append(counts.flatten(1))
        return torch.cat(pooled, dim=-1)

    def forward(self, obs: Tensor) -> Tensor:
        """Latents (B, D) of grids (B, width, height, channels) of uint8."""
        return self.mlp((self.features(obs) - self.mean) * self.scale)


class MLPEncoder(nn.Module):
    """Encodes a vector: a flat observation, or the latent of the level below."""

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
