"""Temporal distances: how many steps of a level lie between a latent and a goal's latent."""

from torch import Tensor, nn

from hplan.level import LevelSpec
from levels.layers import mlp

EMBEDDING_DIM = 128
SCALE = 0.2  # the distances of an untrained network are a few steps


class EmbeddingDistance(nn.Module):
    """Squared Euclidean distance of two embeddings, one of where one is, one of where one goes.

    Path lengths in trees and in grids embed without distortion as *squared* Euclidean distances,
    and all pairs of many latents and goals cost one matrix product. Two embeddings, since the way
    there and the way back may differ.
    """

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        self.here = mlp(spec.latent_dim, EMBEDDING_DIM, spec.hidden_dim, spec.num_hidden)
        self.there = mlp(spec.latent_dim, EMBEDDING_DIM, spec.hidden_dim, spec.num_hidden)

    def steps(self, z: Tensor, goal: Tensor) -> Tensor:
        """Steps of the level (...,) from `z` to `goal`, (..., D) each, which may broadcast."""
        return (SCALE * (self.here(z) - self.there(goal))).square().sum(-1)

    def all_steps(self, z: Tensor, goals: Tensor) -> Tensor:
        """Steps of the level (N, G) from each of `z` (N, D) to each of `goals` (G, D)."""
        here, there = SCALE * self.here(z), SCALE * self.there(goals)
        lengths = here.square().sum(-1, keepdim=True) + there.square().sum(-1)
        return (lengths - 2 * here @ there.T).clamp(min=0.0)
