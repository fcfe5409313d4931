"""Temporal distances: how many steps of a level lie between a latent and a goal's latent."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hplan.level import LevelSpec
from levels.layers import mlp


class MLPDistance(nn.Module):
    """A discounted cost-to-go from an MLP of both latents.

    The MLP's output x stands for the discounted cost of n steps at one each, as a share of its limit:
    sigmoid(x) = 1 - discount^n, and so n = softplus(x) / -ln(discount).
    """

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        self.mlp = mlp(2 * spec.latent_dim, 1, spec.hidden_dim, spec.num_hidden)
        self.log_discount = math.log(spec.discount)

    def forward(self, z: Tensor, goal: Tensor) -> Tensor:
        """The logit (...,) of the discounted cost's share, for latents and goals (..., D)."""
        return self.mlp(torch.cat([z, goal], dim=-1)).squeeze(-1)

    def steps(self, z: Tensor, goal: Tensor) -> Tensor:
        """Steps of the level (...,) from `z` to `goal`, both (..., D)."""
        return F.softplus(self(z, goal)) / -self.log_discount
