"""What a stack is trained for: the losses of all levels on one batch of clips.

Shapes: B clips of T env steps, S starts in each clip, H steps of rollout, D latent width, G goals.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from hplan.distributed import batch_rand, global_mean, global_sum, world_size
from hplan.encoding import ClipBatch, EncodedClips, Seen, encode_clips
from hplan.level import Level, rollout
from hplan.level_config import LevelConfig, LossConfig
from hplan.regularisers import build_regulariser


def rollout_errors(
    level: Level, clips: EncodedClips, depth: int, num_starts: int, generator: torch.Generator
) -> Float[Tensor, " H"]:
    """Mean squared error (H,) by depth of rollouts from random starts; depth 1 is one step."""
    batch_size, length = clips.z.shape[:2]
    last = length - level.stride * depth
    starts = (batch_rand((batch_size, num_starts), generator) * last).long().to(clips.z.device)
    times = starts.unsqueeze(-1) + level.stride * torch.arange(depth + 1, device=starts.device)
    rows = torch.arange(batch_size, device=starts.device).view(-1, 1, 1)
    truth = clips.z[rows, times]  # (B, S, H + 1, D)
    predicted = rollout(level, truth[:, :, 0], clips.action[rows, times[..., :-1]])
    return (predicted - truth)[:, :, 1:].square().mean(dim=(0, 1, 3))


def prior_loss(level: Level, clips: EncodedClips) -> Float[Tensor, ""]:
    """KL divergence () from the macro-actions to their prior, summed over dimensions.

    In nats; the mean over all processes.
    """
    mean, std = level.action_prior(clips.z[:, : clips.action.shape[1]])
    ratio = (clips.action_std / std).square()
    gap = ((clips.action_mean - mean) / std).square()
    divergence = 0.5 * (ratio + gap - 1.0 - ratio.log()).sum(-1)
    return global_mean(divergence.flatten())


def walk_loss(level: Level, clips: EncodedClips, num_steps: int, least: float) -> Float[Tensor, ""]:
    """Hinge () on the standard deviation of latents within walks, over all dimensions, at `least`.

    Prediction alone is best served by what stays the same in a walk, such as the part of the world
    that it is in; variance over many walks does not tell that from a latent to plan in. A level has
    to see change at its own time scale.

    Source: the failure is that of Sobal et al., "Joint embedding predictive architectures focus on
    slow features" (arXiv 2211.10831); the hinge is VICReg's (arXiv 2105.04906, equation 1).

    Args:
        num_steps: length of a walk in steps of the level; at most the clip.
    """
    length = min(clips.z.shape[1], num_steps * level.stride + 1)
    walks = clips.z.unfold(1, length, (length + 1) // 2)  # (B, N, D, length), half overlapping
    centred = walks - walks.mean(dim=-1, keepdim=True)
    variance = global_mean(centred.square().mean(dim=(1, 2, 3)))
    return (least - (variance + 1e-4).sqrt()).clamp(min=0)


def inverse_loss(level: Level, clips: EncodedClips) -> Float[Tensor, ""]:
    """Error () of telling the action from the latents before and after it."""
    length = clips.action.shape[1]
    pair = torch.cat([clips.z[:, :length], clips.z[:, level.stride :]], dim=-1)
    guess = level.inverse(pair)
    if level.num_actions:
        return F.cross_entropy(guess.flatten(0, 1), clips.action.flatten(0, 1).argmax(-1))
    return F.mse_loss(guess, clips.action if clips.action_mean is None else clips.action_mean)


def distance_loss(
    level: Level,
    target: nn.Module,
    clips: EncodedClips,
    config: LossConfig,
    generator: torch.Generator,
    *,
    shapes: bool = False,
) -> Tensor:
    """Expectile temporal differences () of the level's distance, over m steps of the level.

    From S states of each clip to all goals of other walks, and to those among O goals of the same
    walk that lie ahead. A goal reached n env steps later costs n / stride steps of the level, or m
    steps and what the target network says from where they led, if that is less. Costs are
    discounted, 1 - discount^steps, so that far goals do not drown near ones.

    Every state draws its m from 1 to `distance_backup`. With m = 1 alone a place from which a way
    is shut, much like one from which it is open, keeps the short distance of that one: a step
    later says hardly more, so nothing contradicts it. What is known m steps on does.

    Where the stack remembers, the walk's own goal is given in both ways in which a search asks for
    one: as the latent of the walk, which is what a subgoal is, and as its observation by itself,
    which is all that is known of a goal.

    Source: expectile regression of a cost-to-go as in IQL (arXiv 2110.06169, section 4.1); a low
    expectile takes the better of the data's ways. Cross entropy has the squared error's minimum.

    Args:
        target: a slowly following copy of `level.distance`.
        shapes: whether latents take the gradient after all, and so hold what tells times apart.
    """
    own_kinds = [clips.z] if clips.alone is None else [clips.z, clips.alone]
    others = clips.goals
    if not shapes:
        own_kinds, others = [kind.detach() for kind in own_kinds], others.detach()
    z = own_kinds[0]
    batch_size = len(z)
    drawn = _draw_moments(z.shape[:2], level.stride, config, generator)
    start, later, moment = (moments.to(z.device) for moments in drawn)
    rows = torch.arange(batch_size, device=z.device).unsqueeze(1)
    now, then = (z[rows, t].flatten(0, 1) for t in (start, later))
    goals = torch.cat([*(kind[rows, moment].flatten(0, 1) for kind in own_kinds), others])
    walked = (later - start) / level.stride  # steps of the level (B, S)
    # Every latent goes through the networks once: all pairs cost hardly more than a few of them.
    guess = level.distance.all_steps(now, goals)
    with torch.no_grad():
        cost = walked.flatten().unsqueeze(1) + target.all_steps(then, goals)
    loss = _expectile_loss(guess[:, -len(others) :], cost[:, -len(others) :], config).mean()
    ahead = moment.unsqueeze(1) - start.unsqueeze(2)
    weight = _weight_ahead(ahead, level.stride)
    observed = ahead.clamp(min=0) / level.stride
    for of_kind in range(len(own_kinds)):
        own_guess, own_cost = (_of_own_clip(x, of_kind, moment.shape) for x in (guess, cost))
        cheapest = own_cost.minimum(observed)
        loss = loss + (weight * _expectile_loss(own_guess, cheapest, config)).sum()
    return loss


def _draw_moments(
    shape: torch.Size, stride: int, config: LossConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Env steps, for B clips of T observations: of S states, of where they lead, of O goals."""
    batch_size, length = shape
    num_starts, longest = config.distance_starts, config.distance_backup
    draw = batch_rand((batch_size, num_starts + config.distance_own_goals), generator)
    start = (draw[:, :num_starts] * (length - stride * longest)).long()
    num_steps = torch.ones_like(start)
    if longest > 1:  # else nothing is to be drawn, and runs of before stay the same to the bit
        num_steps = 1 + (batch_rand((batch_size, num_starts), generator) * longest).long()
    return start, start + stride * num_steps, (draw[:, num_starts:] * length).long()


def _weight_ahead(ahead: Tensor, stride: int) -> Tensor:
    """Weights (B, S, O) that sum to 1 for a mean over all states that have a goal ahead.

    All states weigh the same, and what is near weighs most: there exactness decides success.

    Args:
        ahead: (B, S, O) env steps from a state to a goal of its walk; negative where it is behind.
    """
    weight = (ahead >= 0) / (1.0 + ahead.clamp(min=0) / (4 * stride + 12))
    of_state = weight.sum(-1, keepdim=True)
    num_states = (global_sum((of_state > 0).sum()) / world_size()).clamp(min=1.0)
    return weight / of_state.clamp(min=1e-6) / num_states


def _of_own_clip(pairs: Tensor, kind: int, shape: torch.Size) -> Tensor:
    """(B, S, O): of all pairs (B * S, G) those of a state and a goal, of that kind, of one clip."""
    batch_size, num_own = shape
    of_kind = pairs[:, kind * batch_size * num_own : (kind + 1) * batch_size * num_own]
    blocks = of_kind.unflatten(1, (batch_size, -1)).unflatten(0, (batch_size, -1))
    return blocks.diagonal(dim1=0, dim2=2).movedim(-1, 0)


def _expectile_loss(guess: Tensor, cost: Tensor, config: LossConfig) -> Tensor:
    """Low expectile (...) of `cost` for `guess`, both in steps (...), as discounted costs."""
    rate = -math.log(config.distance_discount)
    share = 1.0 - (-rate * cost).exp()  # discounted cost as a share of its limit
    guess = guess.clamp(min=1e-4)
    log_guess = torch.log(-torch.expm1(-rate * guess))
    entropy = -(share * log_guess - (1.0 - share) * rate * guess)
    low = config.distance_expectile
    return torch.where(cost < guess, 1.0 - low, low) * entropy


def level_loss(
    level: Level, clips: EncodedClips, config: LevelConfig, generator: torch.Generator
) -> dict[str, Tensor]:
    """The weighted terms of one level's loss, by name; `prediction_loss` is unweighted by depth."""
    loss = config.loss
    errors = rollout_errors(level, clips, loss.rollout_depth, loss.num_starts, generator)
    terms = {"prediction_loss": loss.prediction_weight * errors.mean()}
    regulariser = build_regulariser(loss.regulariser, loss.regulariser_options)
    for name, term in regulariser(clips.z.flatten(0, 1), generator).items():
        terms[name] = loss.regulariser_weight * term
    if level.action_prior is not None:
        divergence = prior_loss(level, clips).clamp(min=loss.free_nats)
        terms["prior_loss"] = loss.prior_weight * divergence
    if loss.inverse_weight:
        terms["inverse_loss"] = loss.inverse_weight * inverse_loss(level, clips)
    if loss.walk_weight:
        weight = loss.regulariser_weight * loss.walk_weight
        terms["walk_loss"] = weight * walk_loss(level, clips, loss.walk_steps, loss.walk_std)
    if loss.smoothness_weight:
        change = clips.z[:, level.stride :] - clips.z[:, : -level.stride]
        terms["smoothness_loss"] = loss.smoothness_weight * change.square().mean()
    return terms


def stack_loss(
    levels: nn.ModuleList,
    configs: list[LevelConfig],
    batch: ClipBatch,
    generator: torch.Generator,
    targets: nn.ModuleList | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss () of the world models of all levels, and its terms keyed `level{k}/{term}`.

    Args:
        targets: as in `distances_loss`; of use where a level has a `distance_weight`.
    """
    encoded = encode_clips(levels, configs, batch, generator)
    terms = {
        f"level{k}/{name}": term
        for k, (level, clips, config) in enumerate(zip(levels, encoded, configs, strict=True))
        for name, term in level_loss(level, clips, config, generator).items()
    }
    for k, (level, clips, config) in enumerate(zip(levels, encoded, configs, strict=True)):
        weight = config.loss.distance_weight
        if weight:
            learned = distance_loss(level, targets[k], clips, config.loss, generator, shapes=True)
            terms[f"level{k}/shaping_loss"] = weight * learned
    return torch.stack(list(terms.values())).sum(), terms


def distances_loss(
    levels: nn.ModuleList,
    targets: nn.ModuleList,
    configs: list[LevelConfig],
    batch: ClipBatch,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss () of the temporal distances of all levels; no other part is trained by it.

    Args:
        targets: a slowly following copy of each level's distance.
    """
    terms: dict[str, Tensor] = {}
    seen: Seen | None = None
    for k, (level, target, config) in enumerate(zip(levels, targets, configs, strict=True)):
        with torch.no_grad():
            seen = seen.at(level, cut=False) if seen else Seen.at_bottom(level, batch)
        terms[f"level{k}/distance_loss"] = distance_loss(
            level, target, seen.clips(), config.loss, generator
        )
    return torch.stack(list(terms.values())).sum(), terms
