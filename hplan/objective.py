"""What a stack is trained for: the losses of all levels on one batch of clips.

Every frame is encoded once for all levels. Shapes: B clips of T env steps, S rollout starts in each
clip, H steps of rollout, D latent width, G goals a clip.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from hplan.config import LevelConfig, LossConfig
from hplan.distributed import batch_rand, batch_randn
from hplan.level import Level, rollout
from hplan.regularisers import build_regulariser


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """B clips as indices into the distinct observations that they hold.

    Attributes:
        frames: (U, *obs_shape) distinct observations.
        index: (B, T + 1) observation at each env step.
        actions: (B, T) action taken after it.
        goals: (B, G) observations of other walks.
    """

    frames: Shaped[Tensor, "U *obs_shape"]
    index: Int[Tensor, "B T_plus_1"]
    actions: Shaped[Tensor, "B T"]
    goals: Int[Tensor, "B G"]

    def to(self, device: torch.device) -> "ClipBatch":
        """The same batch on `device`; Lightning cannot move a frozen dataclass by itself."""
        return ClipBatch(
            frames=self.frames.to(device),
            index=self.index.to(device),
            actions=self.actions.to(device),
            goals=self.goals.to(device),
        )


@dataclass(frozen=True, kw_only=True)
class EncodedClips:
    """A batch at one level.

    Attributes:
        z: (B, T + 1, D) latents at every env step.
        goals: (B, G, D) latents of other walks.
        action: (B, T + 1 - stride, A) action of the step of this level that starts at each env step.
        action_mean, action_std: (B, T + 1 - stride, A) its distribution; None at the bottom.
    """

    z: Float[Tensor, "B T_plus_1 D"]
    goals: Float[Tensor, "B G D"]
    action: Float[Tensor, "B L A"]
    action_mean: Float[Tensor, "B L A"] | None
    action_std: Float[Tensor, "B L A"] | None


def encode_clips(
    levels: nn.ModuleList, configs: list[LevelConfig], batch: ClipBatch, generator: torch.Generator
) -> list[EncodedClips]:
    """Latents and actions of a batch at every level, bottom first."""
    encoded: list[EncodedClips] = []
    below = batch.frames
    for level, config in zip(levels, configs, strict=True):
        cut = config.loss.gradient == "stop" and encoded
        latents = level.encode(below.detach() if cut else below)
        if not encoded:
            mean, std, action = None, None, level.action_encoder(batch.actions)
        else:
            mean, std = _encode_macro_actions(level, encoded[-1], cut=bool(cut))
            action = mean + std * batch_randn(tuple(mean.shape), generator).to(mean)
        encoded.append(
            EncodedClips(
                z=latents[batch.index],
                goals=latents[batch.goals],
                action=action,
                action_mean=mean,
                action_std=std,
            )
        )
        below = latents
    return encoded


def _encode_macro_actions(level: Level, below: EncodedClips, *, cut: bool) -> tuple[Tensor, Tensor]:
    """Mean and std (B, T + 1 - stride, A) of the macro-action that starts at each env step."""
    actions = below.action if below.action_mean is None else below.action_mean
    step = level.stride // level.ratio
    length = below.z.shape[1] - level.stride
    chunk = torch.stack([actions[:, j * step :][:, :length] for j in range(level.ratio)], dim=2)
    start = below.z[:, :length]
    return level.action_encoder(*((chunk.detach(), start.detach()) if cut else (chunk, start)))


def rollout_errors(
    level: Level, clips: EncodedClips, depth: int, num_starts: int, generator: torch.Generator
) -> Float[Tensor, " H"]:
    """Mean squared error (H,) by depth of rollouts from random starts; teacher-forced at depth 1."""
    batch_size, length = clips.z.shape[:2]
    last = length - level.stride * depth
    starts = (batch_rand((batch_size, num_starts), generator) * last).long().to(clips.z.device)
    times = starts.unsqueeze(-1) + level.stride * torch.arange(depth + 1, device=starts.device)
    rows = torch.arange(batch_size, device=starts.device).view(-1, 1, 1)
    truth = clips.z[rows, times]  # (B, S, H + 1, D)
    predicted = rollout(level, truth[:, :, 0], clips.action[rows, times[..., :-1]])
    return (predicted - truth)[:, :, 1:].square().mean(dim=(0, 1, 3))


def prior_loss(level: Level, clips: EncodedClips) -> Float[Tensor, ""]:
    """KL divergence () from the macro-actions to their prior, summed over dimensions."""
    mean, std = level.action_prior(clips.z[:, : clips.action.shape[1]])
    ratio = (clips.action_std / std).square()
    gap = ((clips.action_mean - mean) / std).square()
    return 0.5 * (ratio + gap - 1.0 - ratio.log()).sum(-1).mean()


def inverse_loss(level: Level, clips: EncodedClips) -> Float[Tensor, ""]:
    """Error () of telling the action from the latents before and after it."""
    length = clips.action.shape[1]
    pair = torch.cat([clips.z[:, :length], clips.z[:, level.stride :]], dim=-1)
    guess = level.inverse(pair)
    if level.num_actions:
        return F.cross_entropy(guess.flatten(0, 1), clips.action.flatten(0, 1).argmax(-1))
    return F.mse_loss(guess, clips.action_mean)


def distance_loss(
    level: Level,
    target: nn.Module,
    clips: EncodedClips,
    config: LossConfig,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """Expectile temporal differences () of the level's distance, over one step of the level.

    A goal costs one step and the target network's cost from where that step led, but never more
    than the n / stride steps of the level in which the same walk came to it, n env steps later.
    Goals: 60 % of the same walk's future, 30 % of other walks, 10 % within one step. The latents take
    no gradient.

    Source: expectile regression of the cost-to-go as in IQL (arXiv 2110.06169, section 4.1), whose
    low expectile takes the better of the data's ways; the binary cross entropy has the same minimum
    as the squared error, and keeps its gradient near costs of 0 and 1.

    Args:
        target: a slowly following copy of `level.distance`.
    """
    z, others = clips.z.detach(), clips.goals.detach()
    batch_size, length, _ = z.shape
    num_pairs = others.shape[1]
    draw = batch_rand((batch_size, num_pairs, 3), generator).to(z.device)
    start = (draw[..., 0] * (length - level.stride)).long()
    within_step = (draw[..., 1] * (level.stride + 1)).long()
    in_future = 1 + (draw[..., 1] * (length - 1 - start)).long()
    kind = draw[..., 2].unsqueeze(-1)
    ahead = torch.where(draw[..., 2] < 0.1, within_step, in_future)
    rows = torch.arange(batch_size, device=z.device).unsqueeze(1)
    goal = torch.where(kind < 0.7, z[rows, start + ahead], others)
    discount = config.distance_discount
    observed = 1.0 - discount ** (ahead / level.stride)
    observed = torch.where(draw[..., 2] < 0.7, observed, torch.ones_like(observed))
    with torch.no_grad():
        left = torch.sigmoid(target(z[rows, start + level.stride], goal))
        cost = torch.minimum(1.0 - discount * (1.0 - left), observed)
    logit = level.distance(z[rows, start], goal)
    weight = torch.where(
        cost < torch.sigmoid(logit).detach(), 1.0 - config.distance_expectile, config.distance_expectile
    )
    return (weight * F.binary_cross_entropy_with_logits(logit, cost, reduction="none")).mean()


def level_loss(
    level: Level,
    target: nn.Module,
    clips: EncodedClips,
    config: LevelConfig,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """The weighted terms of one level's loss, by name; `prediction_loss` is unweighted by depth."""
    loss = config.loss
    errors = rollout_errors(level, clips, loss.rollout_depth, loss.num_starts, generator)
    terms = {"prediction_loss": loss.prediction_weight * errors.mean()}
    regulariser = build_regulariser(loss.regulariser, loss.regulariser_options)
    for name, term in regulariser(clips.z.flatten(0, 1), generator).items():
        terms[name] = loss.regulariser_weight * term
    if level.action_prior is not None:
        terms["prior_loss"] = loss.prior_weight * prior_loss(level, clips)
    if loss.inverse_weight:
        terms["inverse_loss"] = loss.inverse_weight * inverse_loss(level, clips)
    if loss.smoothness_weight:
        change = clips.z[:, level.stride :] - clips.z[:, : -level.stride]
        terms["smoothness_loss"] = loss.smoothness_weight * change.square().mean()
    if loss.distance_weight:
        terms["distance_loss"] = loss.distance_weight * distance_loss(
            level, target, clips, loss, generator
        )
    return terms


def stack_loss(
    levels: nn.ModuleList,
    targets: nn.ModuleList,
    configs: list[LevelConfig],
    batch: ClipBatch,
    generator: torch.Generator,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """The loss () of a whole stack, and its weighted terms keyed `level{k}/{term}`."""
    encoded = encode_clips(levels, configs, batch, generator)
    terms = {
        f"level{k}/{name}": term
        for k, (level, target, clips, config) in enumerate(
            zip(levels, targets, encoded, configs, strict=True)
        )
        for name, term in level_loss(level, target, clips, config, generator).items()
    }
    return torch.stack(list(terms.values())).sum(), terms
