"""Cross-entropy searches: over macro-actions in their prior's noise, and over discrete actions."""

import torch
from torch import Tensor
from torch.nn import functional as F

from hplan.config import PlannerConfig
from hplan.energy import Energy
from hplan.level import Model, rollout
from hplan.search.result import SearchResult, end_scores, repeat_after

NOISE_BOUND = 2.5  # in std of the prior: candidates stay such as the data contains from there
LEAST_STD = 0.1
LEAST_PROBABILITY = 0.02


def cem(
    level: Model,
    z: Tensor,
    energy: Energy,
    *,
    cost: float,
    arrival: float,
    config: PlannerConfig,
    warm_start: Tensor | None,
    generator: torch.Generator,
) -> SearchResult:
    """Cross-entropy method over macro-actions m = mean(z) + std(z) * noise of the learned prior.

    The noise is what is searched, and what a warm start (B, H, A) holds. See `hplan.search.result`.

    Source: Rubinstein, "The cross-entropy method for combinatorial and continuous optimization"
    (1999), section 4.
    """
    batch_size = z.shape[0]
    shape = (batch_size, config.horizon, level.action_prior.action_dim)
    mean = torch.zeros(shape).to(z) if warm_start is None else warm_start
    std = torch.ones_like(mean)
    best: SearchResult | None = None
    for _ in range(config.num_iterations):
        noise = _noise((batch_size, config.num_candidates, *shape[1:]), generator).to(z)
        noise = mean.unsqueeze(1) + std.unsqueeze(1) * noise
        noise[:, 0] = mean
        noise = noise.clamp(-NOISE_BOUND, NOISE_BOUND)
        latents = _prior_rollout(level, z, noise)
        totals, lefts = _totals(latents, energy, cost, arrival)
        elites, best = _elites_and_best(noise, latents, totals, lefts, config.num_elites, best)
        chosen = noise.gather(1, elites[..., None, None].expand(-1, -1, *shape[1:]))
        mean, std = chosen.mean(1), chosen.std(1).clamp(min=LEAST_STD)
    return _finished(best, config)


def categorical_cem(
    level: Model,
    z: Tensor,
    energy: Energy,
    *,
    cost: float,
    arrival: float,
    config: PlannerConfig,
    warm_start: Tensor | None,
    generator: torch.Generator,
) -> SearchResult:
    """Cross-entropy method over sequences of discrete actions, a categorical at each step.

    A warm start (B, H, A) holds one-hot actions. See `hplan.search.result`.

    Source: Rubinstein (1999), section 3; probabilities are kept off zero.
    """
    batch_size, num_actions = z.shape[0], level.num_actions
    shape = (batch_size, config.horizon, num_actions)
    probabilities = torch.full(shape, 1.0 / num_actions).to(z)
    if warm_start is not None:
        probabilities = 0.5 * probabilities + 0.5 * warm_start
    best: SearchResult | None = None
    for _ in range(config.num_iterations):
        rows = probabilities.flatten(0, 1).cpu()
        drawn = torch.multinomial(rows, config.num_candidates, True, generator=generator)
        drawn = drawn.view(batch_size, config.horizon, -1).transpose(1, 2).to(z.device)
        actions = F.one_hot(drawn, num_actions).to(z)
        starts = z.unsqueeze(1).expand(-1, actions.shape[1], -1)
        latents = rollout(level, starts, actions)
        totals, lefts = _totals(latents, energy, cost, arrival)
        elites, best = _elites_and_best(actions, latents, totals, lefts, config.num_elites, best)
        chosen = actions.gather(1, elites[..., None, None].expand(-1, -1, *shape[1:]))
        probabilities = chosen.mean(1).clamp(min=LEAST_PROBABILITY)
        probabilities = probabilities / probabilities.sum(-1, keepdim=True)
    return _finished(best, config)


def _noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def _prior_rollout(level: Model, z: Tensor, noise: Tensor) -> Tensor:
    """Latents (B, N, H + 1, D) under the prior's macro-actions for `noise` (B, N, H, A)."""
    latents = [z.unsqueeze(1).expand(-1, noise.shape[1], -1)]
    for h in range(noise.shape[2]):
        mean, std = level.action_prior(latents[-1])
        latents.append(level.predict(latents[-1], mean + std * noise[:, :, h]))
    return torch.stack(latents, dim=2)


def _totals(latents: Tensor, energy: Energy, cost: float, arrival: float) -> tuple[Tensor, Tensor]:
    """Score and energy (B, N, H) of ending at each step of the rollouts (B, N, H + 1, D)."""
    batch_size, num_candidates, length, width = latents.shape
    lefts = energy(latents[:, :, 1:].reshape(batch_size, -1, width))
    lefts = lefts.view(batch_size, num_candidates, length - 1)
    totals = [
        end_scores(lefts[..., h - 1], step=h, horizon=length - 1, cost=cost, arrival=arrival)
        for h in range(1, length)
    ]
    return torch.stack(totals, dim=-1), lefts


def _elites_and_best(
    actions: Tensor,
    latents: Tensor,
    totals: Tensor,
    lefts: Tensor,
    num_elites: int,
    best: SearchResult | None,
) -> tuple[Tensor, SearchResult]:
    """Indices (B, E) of the elites, and the better of this round's best plan and `best`."""
    scores, ends = totals.min(dim=2)
    elites = scores.topk(num_elites, dim=1, largest=False).indices
    top = scores.argmin(dim=1)
    rows = torch.arange(top.shape[0], device=top.device)
    end = ends[rows, top]
    found = SearchResult(
        actions=actions[rows, top],
        latents=latents[rows, top],
        num_steps=end + 1,
        score=scores[rows, top],
        left=lefts[rows, top, end],
        support=torch.zeros_like(scores[:, 0]),
        evaluations=totals.shape[1] * totals.shape[2],
    )
    return elites, found if best is None else _better(found, best)


def _better(new: SearchResult, old: SearchResult) -> SearchResult:
    """For each start, the plan of lower score."""
    wins = new.score < old.score

    def pick(x: Tensor, y: Tensor) -> Tensor:
        return torch.where(wins.view(-1, *[1] * (x.ndim - 1)), x, y)

    return SearchResult(
        actions=pick(new.actions, old.actions),
        latents=pick(new.latents, old.latents),
        num_steps=pick(new.num_steps, old.num_steps),
        score=pick(new.score, old.score),
        left=pick(new.left, old.left),
        support=pick(new.support, old.support),
        evaluations=new.evaluations + old.evaluations,
    )


def _finished(best: SearchResult, config: PlannerConfig) -> SearchResult:
    """`best` with its latents cut at its end, and how far its actions lie from the prior's mean."""
    within = torch.arange(config.horizon, device=best.score.device) < best.num_steps.unsqueeze(1)
    support = (best.actions.abs().amax(-1) * within).amax(1)
    return SearchResult(
        actions=best.actions,
        latents=repeat_after(best.latents, best.num_steps),
        num_steps=best.num_steps,
        score=best.score,
        left=best.left,
        support=support,
        evaluations=best.evaluations,
    )
