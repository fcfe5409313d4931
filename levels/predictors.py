"""Predictors: one step of a level, from a latent and an action to the next latent."""

import torch
from torch import Tensor, nn

from hplan.level import LevelSpec
from levels.layers import mlp


class ResidualMLP(nn.Module):
    """z' = z + f(z, m), with f an MLP."""

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        in_dim = spec.latent_dim + spec.action_dim
        self.mlp = mlp(in_dim, spec.latent_dim, spec.hidden_dim, spec.num_hidden)

    def forward(self, z: Tensor, action: Tensor) -> Tensor:
        """The next latents (..., D) of latents (..., D) under actions (..., A)."""
        return z + self.mlp(torch.cat([z, action], dim=-1))
