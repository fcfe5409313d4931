"""Temporal distances: how many steps of a level lie between a latent and a goal's latent."""

from torch import Tensor, nn
from torch.nn import functional as F

from hplan.level import LevelSpec
from levels.layers import mlp

EMBEDDING_DIM = 128
SCALE = 0.2  # the distances of an untrained network are a few steps
APART = 0.1  # so much weaker is at first what tells the way there from the way back


class _Embeddings(nn.Module):
    """Squared Euclidean distance of two embeddings, `here` of a latent and `there` of a goal.

    Path lengths in trees and in grids embed without distortion as *squared* Euclidean distances,
    and all pairs of many latents and goals cost one matrix product.
    """

    def steps(self, z: Tensor, goal: Tensor) -> Tensor:
        """Steps of the level (...,) from `z` to `goal`, (..., D) each, which may broadcast."""
        return (SCALE * (self.here(z) - self.there(goal))).square().sum(-1)

    def all_steps(self, z: Tensor, goals: Tensor) -> Tensor:
        """Steps of the level (N, G) from each of `z` (N, D) to each of `goals` (G, D)."""
        here, there = SCALE * self.here(z), SCALE * self.there(goals)
        lengths = here.square().sum(-1, keepdim=True) + there.square().sum(-1)
        return (lengths - 2 * here @ there.T).clamp(min=0.0)


class EmbeddingDistance(_Embeddings):
    """Here and there share an embedding, but for a linear layer by which that of a goal differs.

    Were they two networks, both would have to learn the world's walls alone, and nothing would
    place a state near itself.
    """

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        self.here = mlp(spec.latent_dim, EMBEDDING_DIM, spec.hidden_dim, spec.num_hidden)
        self.apart = nn.Linear(self.here[-1].in_features, EMBEDDING_DIM)

    def there(self, goal: Tensor) -> Tensor:
        """The embedding (..., EMBEDDING_DIM) of a goal (..., D)."""
        last = self.here[-1]
        weight = last.weight + APART * self.apart.weight
        return F.linear(self.here[:-1](goal), weight, last.bias + APART * self.apart.bias)


class TwoEmbeddingsDistance(_Embeddings):
    """Here and there have a network each: for worlds in which most ways do not lead back."""

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        self.here = mlp(spec.latent_dim, EMBEDDING_DIM, spec.hidden_dim, spec.num_hidden)
        self.there = mlp(spec.latent_dim, EMBEDDING_DIM, spec.hidden_dim, spec.num_hidden)
