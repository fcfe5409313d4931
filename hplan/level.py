"""One level of the stack: the parts it is made of and the facts measured about it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

BANK_SIZE = 512


@dataclass(frozen=True, kw_only=True)
class LevelSpec:
    """All that a part of a level may need to know when it is built; every part takes just this.

    Attributes:
        obs_shape: shape of an observation.
        num_values: vocabulary sizes of a symbolic observation's channels.
        ratio, stride: as in `Level`.
        below_dim: width of what the encoder reads: the latent below, or a flat observation.
        below_action_dim: width of the actions below (0 at the bottom).
        latent_dim, action_dim: widths D and A of this level.
        hidden_dim, num_hidden: of its networks.
        sample_obs: (M, *obs_shape) observations of the data, from which an encoder may take the
            scale of its inputs; None where weights are loaded afterwards.
        action_low, action_high: bounds of the env's actions where they are continuous.
    """

    obs_shape: tuple[int, ...]
    num_values: tuple[int, ...]
    ratio: int
    stride: int
    below_dim: int
    below_action_dim: int
    latent_dim: int
    action_dim: int
    hidden_dim: int
    num_hidden: int
    sample_obs: Tensor | None
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()


@runtime_checkable
class Remembers(Protocol):
    """A bottom level's encoder that has a memory; `levels.memory` holds one.

    As a function of observations alone it encodes each as the first of an episode.

    Attributes:
        memory_dim: M; zeros are the memory of one to whom nothing has happened yet.
    """

    memory_dim: int

    def features(self, obs: Tensor) -> Tensor:
        """What is kept (U, F) of observations (U, *obs_shape), each by itself."""
        ...

    def remember(self, features: Tensor, actions: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (B, T, D) at each of T env steps, and the memory (B, T, M) after each.

        Args:
            features: (B, T, F).
            actions: (B, T, A) taken before each of these observations, zeros at the first ever.
            memory: (B, M) before them.
        """
        ...


class Level(nn.Module):
    """A joint-embedding predictive world model at one time scale.

    Its parts (encoder, action encoder, action prior, predictor, distance) are built by
    `levels.build.build_levels`; nothing here knows their architecture, nor its place in the stack.
    A distance has `steps(z, goal)`, `all_steps(z, goals)`, and `here`, its part that runs for each
    z.

    Attributes:
        ratio: steps of the level below (at the bottom: env steps) in one step of this level.
        stride: env steps in one step of this level.
        latent_dim: D.
        action_dim: A.
        num_actions: number of discrete actions, 0 where actions are continuous.
        memory_dim: M, width of what its encoder remembers; 0 where it remembers nothing.
        move: () mean squared change of the latent over one step of this level, per dimension.
        rollout_error: (H,) mean squared error of a rollout by depth, per dimension.
        bank: (BANK_SIZE, A) macro-actions of held-out data; none at the bottom.
        bank_gaps: (101,) percentiles, 0 to 100, of the distance of other real macro-actions to
            their nearest in the bank, each dimension in std of the bank.
        is_bank_measured: () bool; until it is true, what is in these two means nothing.
    """

    def __init__(
        self,
        *,
        encoder: nn.Module,
        action_encoder: nn.Module,
        action_prior: nn.Module | None,
        predictor: nn.Module,
        distance: nn.Module,
        inverse: nn.Module | None,
        ratio: int,
        stride: int,
        latent_dim: int,
        action_dim: int,
        num_actions: int,
        rollout_depth: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.action_encoder = action_encoder
        self.action_prior = action_prior
        self.predictor = predictor
        self.distance = distance
        self.inverse = inverse
        self.ratio = ratio
        self.stride = stride
        self.latent_dim = latent_dim
        self.action_dim = action_dim
        self.num_actions = num_actions
        self.memory_dim = encoder.memory_dim if isinstance(encoder, Remembers) else 0
        self.register_buffer("move", torch.ones(()))
        self.register_buffer("rollout_error", torch.zeros(rollout_depth))
        bank_shape = (0, 0) if action_prior is None else (BANK_SIZE, action_dim)
        self.register_buffer("bank", torch.zeros(bank_shape))
        self.register_buffer("bank_gaps", torch.zeros(101))
        self.register_buffer("is_bank_measured", torch.zeros((), dtype=torch.bool))

    def encode(self, below: Tensor) -> Tensor:
        """Latents (..., D) of observations (..., *obs_shape), or of latents of the level below.

        Each by itself: where the level remembers, as the first of an episode.
        """
        return self.encoder(below)

    def predict(self, z: Float[Tensor, "*B D"], action: Float[Tensor, "*B A"]) -> Tensor:
        """The latent (..., D) one step of this level after `z` under `action` (..., A)."""
        return self.predictor(z, action)

    def to_env(self, action: Float[Tensor, "*B A"]) -> Tensor:
        """What the env takes for actions (..., A) of the bottom level."""
        return self.action_encoder.to_env(action)

    def of(self, rows: Tensor) -> "Level":
        """The same level: it predicts alike for every start; see `Model.of`."""
        return self

    def steps_left(self, z: Float[Tensor, "*#B D"], goal: Float[Tensor, "*#B D"]) -> Tensor:
        """Learned temporal distance (...,) from `z` to `goal`, in env steps; they may broadcast."""
        return self.distance.steps(z, goal) * self.stride


@runtime_checkable
class Model(Protocol):
    """What a search knows of a level, or of one whose predictions are mended."""

    num_actions: int

    def predict(self, z: Tensor, action: Tensor) -> Tensor:
        """As `Level.predict`."""
        ...

    def of(self, rows: Tensor) -> "Model":
        """The model for those of the starts that `rows` names, indices or bool."""
        ...


def encode_stack(levels: nn.ModuleList, obs: Tensor) -> list[Tensor]:
    """Latents [(B, D_k)] of observations (B, *obs_shape) at every level, bottom first.

    Each by itself, with no memory of others: so goals, banks and labelled states are encoded.
    """
    latents, below = [], obs
    for level in levels:
        below = level.encode(below)
        latents.append(below)
    return latents


def look(
    levels: nn.ModuleList,
    obs: Tensor,
    memory: Float[Tensor, "B M"],
    last_action: Float[Tensor, "B A"],
) -> tuple[list[Tensor], Float[Tensor, "B M"]]:
    """What an agent makes of `obs` (B, *obs_shape): latents [(B, D_k)], and its memory from then.

    Args:
        memory, last_action: of the env step before; zeros where an episode begins.
    """
    bottom = levels[0]
    if not bottom.memory_dim:
        return encode_stack(levels, obs), memory
    features = bottom.encoder.features(obs).unsqueeze(1)
    z, memory = bottom.encoder.remember(features, last_action.unsqueeze(1), memory)
    z = z.squeeze(1)
    return [z, *encode_stack(levels[1:], z)], memory.squeeze(1)


def remembered(
    level: Level, features: Float[Tensor, "B T_plus_1 F"], actions: Float[Tensor, "B T A"]
) -> Float[Tensor, "B T_plus_1 D"]:
    """Latents of walks, each from an empty memory: what `look` would find one by one.

    Args:
        features: of the observations; actions: between them, as the level encodes them.
    """
    first = actions.new_zeros(len(features), 1, level.action_dim)
    nothing = features.new_zeros(len(features), level.memory_dim)
    return level.encoder.remember(features, torch.cat([first, actions], dim=1), nothing)[0]


def rollout(
    level: Model, z: Float[Tensor, "*B D"], actions: Float[Tensor, "*B H A"]
) -> Float[Tensor, "*B H+1 D"]:
    """Predicted latents under `actions`, one step of the level each; index 0 is the start."""
    latents = [z]
    for h in range(actions.shape[-2]):
        latents.append(level.predict(latents[-1], actions[..., h, :]))
    return torch.stack(latents, dim=-2)
