"""How healthy a level is: errors by depth, spread, rank, and whether its energies know the way."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from hplan.encoding import ClipBatch, EncodedClips, encode_clips
from hplan.level import BANK_SIZE, Level, encode_stack
from hplan.level_config import LevelConfig
from hplan.objective import prior_loss, rollout_errors
from hplan.support import bank_distances
from hplan.task import KnownDistances

NUM_GAPS = 2048


@dataclass(frozen=True, kw_only=True)
class ValidationPairs:
    """Pairs of observations whose true distance is known.

    Attributes:
        starts, goals: (M, *obs_shape).
        steps: (M,) env steps of the shortest path between them.
    """

    starts: Tensor
    goals: Tensor
    steps: Tensor


def known_pairs(task: object, num_pairs: int, *, seed: int) -> ValidationPairs | None:
    """Pairs that the task draws with `seed`, where it knows their distances."""
    if not isinstance(task, KnownDistances):
        return None
    pairs = task.validation_pairs(num_pairs, seed=seed)
    return ValidationPairs(
        starts=torch.from_numpy(task.observe(pairs.starts)),
        goals=torch.from_numpy(task.observe(pairs.goals)),
        steps=torch.from_numpy(pairs.optimal_steps),
    )


def latent_std(z: Float[Tensor, "M D"]) -> Float[Tensor, ""]:
    """Mean over dimensions () of the standard deviation of latents (M, D)."""
    return z.std(dim=0).mean()


def effective_rank(z: Float[Tensor, "M D"]) -> Float[Tensor, ""]:
    """Exponential of the entropy () of the covariance's spectrum, for latents (M, D).

    From 1 to D; 1 for latents that are all the same.

    Source: Roy, Vetterli, "The effective rank" (EUSIPCO 2007), definition 1, on eigenvalues.
    """
    covariance = torch.atleast_2d(torch.cov(z.T.double()))
    spectrum = torch.linalg.eigvalsh(covariance).clamp(min=0.0)
    # The least sum keeps a constant latent, whose spectrum is rounding error, from looking full.
    share = spectrum / spectrum.sum().clamp(min=1e-12)
    return torch.special.entr(share).sum().exp().float()


def rank_correlation(x: Num[Tensor, " M"], y: Num[Tensor, " M"]) -> Float[Tensor, ""]:
    """Spearman's rank correlation () of x and y (M,); ties count by their mean rank.

    0 where one of them is constant.
    """
    ranks = torch.stack([_mean_ranks(x), _mean_ranks(y)])
    return torch.corrcoef(ranks)[0, 1].float().nan_to_num(0.0)


def _mean_ranks(x: Tensor) -> Tensor:
    """Ranks (M,) of x (M,), tied values sharing their mean."""
    _, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts.double() - 1) / 2)[inverse]


@torch.no_grad()
def validate(
    levels: nn.ModuleList,
    configs: list[LevelConfig],
    clips: ClipBatch,
    pairs: ValidationPairs | None,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Metrics of all levels on held-out clips, keyed `level{k}/{name}`; calibrates each level.

    Writes `Level.move`, in whose units the planner judges surprise, `Level.rollout_error`, and the
    bank of macro-actions.
    """
    metrics: dict[str, Tensor] = {}
    # A stream of its own: the metrics do not depend on whether banks are measured.
    of_banks = torch.Generator().manual_seed(generator.initial_seed())
    encoded = encode_clips(levels, configs, clips, generator)
    for k, (level, config, at_level) in enumerate(zip(levels, configs, encoded, strict=True)):
        z = at_level.z.flatten(0, 1)
        errors = rollout_errors(level, at_level, config.loss.rollout_depth, 16, generator)
        change = at_level.z[:, level.stride :] - at_level.z[:, : -level.stride]
        level.rollout_error.copy_(errors)
        level.move.copy_(change.square().mean())
        variance = z.var(dim=0).mean().clamp(min=1e-8)
        for depth, error in enumerate(errors, start=1):
            metrics[f"level{k}/relative_error_{depth}"] = error / variance
        metrics[f"level{k}/latent_std"] = latent_std(z)
        metrics[f"level{k}/effective_rank"] = effective_rank(z)
        if at_level.action_std is not None:
            metrics[f"level{k}/macro_action_std"] = at_level.action_std.mean()
            metrics[f"level{k}/macro_action_nats"] = prior_loss(level, at_level)
            _measure_bank(level, at_level, of_banks)
    if pairs is not None:
        metrics |= _energy_metrics(levels, pairs)
    return metrics


def _measure_bank(level: Level, clips: EncodedClips, generator: torch.Generator) -> None:
    """Fills the level's bank from half of the clips, and its gaps from the other half.

    Macro-actions are drawn as in training, from the distribution of each that the clips contain.
    """
    batch_size, length, _ = clips.action_mean.shape
    # Steps that follow each other resemble each other: whole clips are on one side.
    half = batch_size // 2 * length or length // 2
    if not half:
        return
    mean, std = clips.action_mean.flatten(0, 1), clips.action_std.flatten(0, 1)
    level.bank.copy_(_drawn(mean[:half], std[:half], BANK_SIZE, generator))
    others = _drawn(mean[half:], std[half:], NUM_GAPS, generator)
    percentiles = torch.linspace(0.0, 1.0, len(level.bank_gaps), device=others.device)
    level.bank_gaps.copy_(torch.quantile(bank_distances(level.bank, others), percentiles))
    level.is_bank_measured.fill_(True)


def _drawn(mean: Tensor, std: Tensor, num: int, generator: torch.Generator) -> Tensor:
    """`num` samples (num, A) of Gaussians (M, A), each of which is taken as often as the others."""
    rows = torch.randperm(len(mean), generator=generator)[torch.arange(num) % len(mean)]
    noise = torch.randn((num, mean.shape[1]), generator=generator).to(mean)
    return mean[rows] + std[rows] * noise


def _energy_metrics(levels: nn.ModuleList, pairs: ValidationPairs) -> dict[str, Tensor]:
    """Rank correlation of each level's energies with the true distance, and its distance error.

    Of pairs without a past: each observation by itself, at the start as at the goal.
    """
    metrics = {}
    device = levels[0].move.device
    starts, goals = (encode_stack(levels, x.to(device)) for x in (pairs.starts, pairs.goals))
    known = pairs.steps.to(device)
    for k, level in enumerate(levels):
        l2 = (starts[k] - goals[k]).square().mean(-1)
        steps = level.steps_left(starts[k], goals[k])
        metrics[f"level{k}/l2_rank_correlation"] = rank_correlation(l2, known)
        metrics[f"level{k}/distance_rank_correlation"] = rank_correlation(steps, known)
        metrics[f"level{k}/distance_error"] = (
            (steps.clamp(min=0.1) / known.clamp(min=1)).log().abs().mean()
        )
    return metrics
