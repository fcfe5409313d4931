"""A batch of clips, and what the levels of a stack make of it.

Every frame is encoded once for all levels; where the stack remembers, every frame of every clip.
Shapes: B clips of T env steps, D latent width, G goals.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from hplan.distributed import batch_randn
from hplan.level import Level, remembered
from hplan.level_config import LevelConfig


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """B clips as indices into the distinct observations that they hold.

    Attributes:
        frames: (U, *obs_shape) distinct observations.
        index: (B, T + 1) observation at each env step.
        actions: (B, T) action taken after it, (B, T, A) where actions are continuous.
        goals: (G,) observations of other walks, the same for all processes.
    """

    frames: Shaped[Tensor, "U ..."]
    index: Int[Tensor, "B T_plus_1"]
    actions: Shaped[Tensor, "B T *A"]
    goals: Int[Tensor, " G"]

    def to(self, device: torch.device) -> "ClipBatch":
        """The same batch on `device`; Lightning cannot move a frozen dataclass by itself."""
        return ClipBatch(
            frames=self.frames.to(device),
            index=self.index.to(device),
            actions=self.actions.to(device),
            goals=self.goals.to(device),
        )


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a level makes of a batch, each latent once.

    Attributes:
        latents: (V, D).
        index: (B, T + 1) the latent at each env step; goals: (G,) of the other walks.
        alone: (B, T + 1) the latent of the same observation by itself, as that of a goal; None
            where it is the same one, since nothing is remembered.
    """

    latents: Float[Tensor, "V D"]
    index: Int[Tensor, "B T_plus_1"]
    goals: Int[Tensor, " G"]
    alone: Int[Tensor, "B T_plus_1"] | None

    @classmethod
    def at_bottom(cls, level: Level, batch: ClipBatch) -> "Seen":
        """Every frame is encoded once; a memory starts empty with each clip."""
        if not level.memory_dim:
            latents = level.encode(batch.frames)
            return cls(latents=latents, index=batch.index, goals=batch.goals, alone=None)
        features = level.encoder.features(batch.frames)
        actions = level.action_encoder(batch.actions)
        along = remembered(level, features[batch.index], actions).flatten(0, 1)
        none_yet = actions.new_zeros(len(features), 0, level.action_dim)
        alone = remembered(level, features.unsqueeze(1), none_yet).squeeze(1)
        return cls(
            latents=torch.cat([along, alone]),
            index=torch.arange(len(along), device=along.device).view_as(batch.index),
            goals=len(along) + batch.goals,
            alone=len(along) + batch.index,
        )

    def at(self, level: Level, *, cut: bool) -> "Seen":
        """The same one level up; `cut` keeps gradients from the levels below."""
        return replace(self, latents=level.encode(self.latents.detach() if cut else self.latents))

    def clips(self) -> "EncodedClips":
        """The latents alone."""
        return EncodedClips(
            z=self.latents[self.index],
            goals=self.latents[self.goals],
            alone=None if self.alone is None else self.latents[self.alone],
        )


@dataclass(frozen=True, kw_only=True)
class EncodedClips:
    """A batch at one level.

    Attributes:
        z: (B, T + 1, D) latents at every env step.
        goals: (G, D) latents of other walks, each of its observation by itself.
        alone: (B, T + 1, D) latents of every env step's observation by itself; None where they are
            `z`, since nothing is remembered.
        action: (B, T + 1 - stride, A) action of the level's step that starts at each env step.
        action_mean, action_std: (B, T + 1 - stride, A) its distribution; None at the bottom.
        Where only distances are trained, there are no actions either.
    """

    z: Float[Tensor, "B T_plus_1 D"]
    goals: Float[Tensor, "G D"]
    alone: Float[Tensor, "B T_plus_1 D"] | None = None
    action: Float[Tensor, "B L A"] | None = None
    action_mean: Float[Tensor, "B L A"] | None = None
    action_std: Float[Tensor, "B L A"] | None = None


def encode_clips(
    levels: nn.ModuleList, configs: list[LevelConfig], batch: ClipBatch, generator: torch.Generator
) -> list[EncodedClips]:
    """Latents and actions of a batch at every level, bottom first."""
    seen = Seen.at_bottom(levels[0], batch)
    encoded = [replace(seen.clips(), action=levels[0].action_encoder(batch.actions))]
    for level, config in zip(levels[1:], configs[1:], strict=True):
        cut = config.loss.gradient == "stop"
        seen = seen.at(level, cut=cut)
        mean, std = _encode_macro_actions(level, encoded[-1], cut=cut)
        action = mean + std * batch_randn(tuple(mean.shape), generator).to(mean)
        clips = replace(seen.clips(), action=action, action_mean=mean, action_std=std)
        encoded.append(clips)
    return encoded


def _encode_macro_actions(level: Level, below: EncodedClips, *, cut: bool) -> tuple[Tensor, Tensor]:
    """Mean and std (B, T + 1 - stride, A) of the macro-action that starts at each env step."""
    actions = below.action if below.action_mean is None else below.action_mean
    step = level.stride // level.ratio
    length = below.z.shape[1] - level.stride
    chunk = torch.stack([actions[:, j * step :][:, :length] for j in range(level.ratio)], dim=2)
    start = below.z[:, :length]
    return level.action_encoder(*((chunk.detach(), start.detach()) if cut else (chunk, start)))
