"""A bottom encoder with a memory, for worlds of which one observation shows only a part."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hplan.level import LevelSpec
from levels.encoders import AxialEncoder, PixelsEncoder, VectorEncoder


class RecurrentEncoder(nn.Module):
    """Encodes what was seen and done since the episode began: a GRU over encoded observations.

    Each observation is encoded by itself first, as a bottom level without memory would (`frame`).
    The GRU reads that and the action before it; the latent is a linear function of what is seen now
    and of what is remembered.

    A single observation, which is all that there is of a goal, of an observation in a bank and of a
    validation pair, is encoded as the first of an episode: one step from an empty memory.

    Source: the recurrent state of Ha, Schmidhuber, "World Models" (arXiv 1803.10122), moved from
    the predictor into the encoder, so that a search predicts latents alone and carries no memory.

    Attributes:
        memory_dim: M; zeros are an empty memory.
    """

    def __init__(
        self, spec: LevelSpec, frame: Callable[[LevelSpec], nn.Module] | None = None
    ) -> None:
        """Half the hidden width is what is kept of a frame, F, and what is remembered, M.

        Args:
            frame: encodes one observation; None takes what suits its kind.
        """
        super().__init__()
        self.memory_dim = num_features = spec.hidden_dim // 2
        self.action_dim = spec.action_dim
        build = frame or frame_encoder(spec)
        self.frame = build(replace(spec, latent_dim=num_features))
        self.gru = nn.GRU(num_features + spec.action_dim, self.memory_dim, batch_first=True)
        self.latent = nn.Linear(num_features + self.memory_dim, spec.latent_dim)

    def features(self, obs: Tensor) -> Float[Tensor, "U F"]:
        """What is kept (U, F) of observations (U, *obs_shape), each by itself."""
        return self.frame(obs)

    def remember(
        self,
        features: Float[Tensor, "B T F"],
        actions: Float[Tensor, "B T A"],
        memory: Float[Tensor, "B M"],
    ) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B T M"]]:
        """Latents at each of T env steps, and the memory after each.

        Args:
            actions: taken before each observation; zeros where an episode begins.
            memory: before the first of them; zeros where an episode begins.
        """
        seen = torch.cat([features, actions], dim=-1)
        memories, _ = self.gru(seen, memory.unsqueeze(0).contiguous())
        return self.latent(torch.cat([features, memories], dim=-1)), memories

    def forward(self, obs: Tensor) -> Float[Tensor, "U D"]:
        """Latents (U, D) of observations (U, *obs_shape), each the first of an episode."""
        features = self.features(obs).unsqueeze(1)
        nothing = features.new_zeros(len(features), 1, self.action_dim)
        latents, _ = self.remember(
            features, nothing, features.new_zeros(len(features), self.memory_dim)
        )
        return latents.squeeze(1)


def frame_encoder(spec: LevelSpec) -> Callable[[LevelSpec], nn.Module]:
    """The encoder without memory that suits the observations of `spec`."""
    if spec.num_values:
        return AxialEncoder
    return PixelsEncoder if len(spec.obs_shape) == 3 else VectorEncoder
