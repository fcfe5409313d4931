"""Predictors: one step of a level, from a latent and an action to the next latent."""

import torch
from torch import Tensor, nn

from hplan.level import LevelSpec
from levels.layers import mlp

SMALL = 1e-3  # the maps of an untrained network hardly matter beside its MLP
OPEN = 2.0  # logit of an untrained gate: it lets nearly all through


class ResidualMLP(nn.Module):
    """z' = z + f(z, m), with f an MLP."""

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        in_dim = spec.latent_dim + spec.action_dim
        self.mlp = mlp(in_dim, spec.latent_dim, spec.hidden_dim, spec.num_hidden)

    def forward(self, z: Tensor, action: Tensor) -> Tensor:
        """The next latents (..., D) of latents (..., D) under actions (..., A)."""
        return z + self.mlp(torch.cat([z, action], dim=-1))


class BilinearMLP(ResidualMLP):
    """z' = z + A(m) z + f(z, m), with A linear in the action and f an MLP.

    What an action does is often nearly linear in what is seen (to turn swaps the code of one
    heading for that of the next, wherever one stands) but a different map for each action, which an
    MLP has to build from units that are on for one action and place at a time.

    Source: multiplicative actions as in Memisevic and Hinton (Neural Computation 22, 2010) and in
    Oh et al., "Action-conditional video prediction" (arXiv 1507.08750, section 3.2).
    """

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__(spec)
        self.maps = nn.Linear(spec.latent_dim, spec.latent_dim * spec.action_dim, bias=False)
        nn.init.normal_(self.maps.weight, std=SMALL)

    def forward(self, z: Tensor, action: Tensor) -> Tensor:
        """The next latents (..., D) of latents (..., D) under actions (..., A)."""
        mapped = self.maps(z).unflatten(-1, (action.shape[-1], -1))
        return super().forward(z, action) + (action.unsqueeze(-1) * mapped).sum(-2)


class GatedBilinearMLP(BilinearMLP):
    """z' = z + g(z, m) (A(m) z + f(z, m)), with a gate g between 0 and 1.

    For actions that mostly do nothing: to pick up, to drop, to open. Their map A(m) always does
    something, which f then has to cancel wherever it should not; where f has not learned to, a
    search finds a key picked up from afar. A gate closes instead.

    Source: the transform gate of Srivastava et al., "Highway networks" (arXiv 1505.00387, eq. 3),
    one for all dimensions.
    """

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__(spec)
        self.gate = mlp(spec.latent_dim + spec.action_dim, 1, spec.hidden_dim, 1)
        nn.init.constant_(self.gate[-1].bias, OPEN)

    def forward(self, z: Tensor, action: Tensor) -> Tensor:
        """The next latents (..., D) of latents (..., D) under actions (..., A)."""
        gate = self.gate(torch.cat([z, action], dim=-1)).sigmoid()
        return z + gate * (super().forward(z, action) - z)
