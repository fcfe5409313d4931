"""Macro-actions: a small Gaussian code of what changes over one step of a level, and its prior."""

import torch
from torch import Tensor, nn

from hplan.level import LevelSpec
from levels.layers import mlp


class GaussianMacroActions(nn.Module):
    """q(m | chunk, z): a macro-action from the actions below *and the latent they start from*.

    Without the start an abstract latent, which has dropped fine detail, cannot know what "turn,
    forward, forward" leads to. Stochastic macro-actions follow Dual-WM (arXiv 2609.37644);
    conditioning on the start and the learned prior are ours.
    """

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        in_dim = spec.ratio * spec.below_action_dim + spec.below_dim
        self.mlp = mlp(in_dim, 2 * spec.action_dim, spec.hidden_dim, 1)

    def forward(self, chunk: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and std (..., A) of chunks (..., ratio, A below) begun in latents (..., D below)."""
        mean, log_std = self.mlp(torch.cat([chunk.flatten(-2), start], dim=-1)).chunk(2, dim=-1)
        return mean, log_std.clamp(-5.0, 2.0).exp()


class GaussianPrior(nn.Module):
    """p(m | z): what the data would do from here. Planning searches over its noise."""

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        self.action_dim = spec.action_dim
        self.mlp = mlp(spec.latent_dim, 2 * spec.action_dim, spec.hidden_dim, 1)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and std (..., A) at latents (..., D)."""
        mean, log_std = self.mlp(z).chunk(2, dim=-1)
        return mean, log_std.clamp(-5.0, 2.0).exp()
