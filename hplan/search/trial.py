"""What one round of a sampling search tries: plans rolled out together, and their scores."""

import math
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hplan.level_config import PlannerConfig
from hplan.search.problem import Problem, is_barred, needs_every_step, plan_scores
from hplan.support import Support


@dataclass(frozen=True, kw_only=True)
class Trial:
    """N plans for each of B starts, each ended where that is best.

    Attributes:
        number: of the round, from 0.
        x: (B, N, H, A) as drawn, within the support.
        scores: (B, N), less `spent`, which all have in common.
        elite_scores: (B, E) the lowest of them, in order; elites: (B, E) whose they are.
        latents: [(B, N, D)] after each step, or after the last alone where the others are not kept.
        left: (B, S, N) energy at each step judged: all (S = H), or the last alone (S = 1).
        ends: (B, N) the best of these to end at; None where there is but one.
        violated: (B, S, N) of the guard, summed up to there; None where nothing is guarded.
    """

    number: int
    x: Tensor
    scores: Tensor
    spent: float
    elite_scores: Tensor
    elites: Tensor
    latents: list[Tensor]
    left: Tensor
    ends: Tensor | None
    violated: Tensor | None

    def best(self, count: int) -> Tensor:
        """The `count` best plans (B, count, H * A), in order."""
        batch_size, size, horizon, width = self.x.shape
        x = self.x.detach().view(batch_size, size, horizon * width)
        chosen = self.elites.narrow(1, 0, count).unsqueeze(2)
        return x.gather(1, chosen.expand(batch_size, count, horizon * width))

    def at_end(self, values: Tensor) -> Tensor:
        """(B,) of `values` (B, S, N) where the best plan ends."""
        top = self.elites[:, :1]
        at = top if self.ends is None else self.ends.gather(1, top) * self.x.shape[1] + top
        return values.detach().flatten(1).gather(1, at).squeeze(1)

    def violation_of_best(self) -> Tensor:
        """(B,) what the best plan violates, in sum."""
        if self.violated is None:
            return torch.zeros_like(self.elite_scores[:, 0])
        return self.at_end(self.violated)


def tried(
    problem: Problem,
    config: PlannerConfig,
    support: Support,
    x: Float[Tensor, "B N H A"],
    *,
    number: int,
    kept: bool,
    graded: bool,
) -> Trial:
    """The plans `x` (B, N, H, A), rolled out and scored.

    Args:
        kept: the latents on the way are wanted later; fewer that live are fewer cache misses.
        graded: gradients are to flow from the scores to `Trial.x`.
    """
    if graded:
        x = x.detach().requires_grad_()
    every = needs_every_step(problem, config)
    with torch.enable_grad() if graded else nullcontext():
        kept = kept or every or problem.guard is not None
        latents = _rollout(problem, support, x, kept)
        left, violated = _judged_steps(problem, latents, every)
        scores, ends = _scored(problem, config, x, left, violated, every)
    elite_scores, elites = scores.topk(config.num_elites, dim=1, largest=False)
    return Trial(
        number=number,
        x=x,
        scores=scores,
        spent=0.0 if every else problem.cost * config.horizon,
        elite_scores=elite_scores,
        elites=elites,
        latents=latents,
        left=left,
        ends=ends,
        violated=violated,
    )


def _rollout(problem: Problem, support: Support, x: Tensor, kept: bool) -> list[Tensor]:
    """Latents [(B, N, D)] after each step of the plans `x` (B, N, H, A), or after the last."""
    predict, macro_action = problem.model.predict, support.macro_action
    first, *others = x.unbind(2)
    start = problem.z.unsqueeze(1)  # the same for all plans, so that a prior is asked but once
    at = predict(start.expand(-1, x.shape[1], -1), macro_action(start, first))
    latents = [at]
    for step in others:
        at = predict(at, macro_action(at, step))
        if kept:
            latents.append(at)
    return latents if kept else [at]


def _judged_steps(
    problem: Problem, latents: list[Tensor], every: bool
) -> tuple[Tensor, Tensor | None]:
    """Energy (B, S, N) at the steps where it counts, and the violation summed up to there."""
    if not every and problem.guard is None:
        return problem.energy(latents[-1]).unsqueeze(1), None
    batch_size, size, _ = latents[0].shape
    path = torch.stack(latents, dim=1).flatten(1, 2)
    left = problem.energy(path if every else latents[-1]).view(batch_size, -1, size)
    if problem.guard is None:
        return left, None
    violated = problem.guard(path).view(batch_size, -1, size).cumsum(1)
    return left, violated[:, -left.shape[1] :]


def _scored(
    problem: Problem,
    config: PlannerConfig,
    x: Tensor,
    left: Tensor,
    violated: Tensor | None,
    every: bool,
) -> tuple[Tensor, Tensor | None]:
    """The score (B, N) of each plan, and at which of the steps judged it ends."""
    horizon, num_judged, effort = x.shape[2], left.shape[1], None
    if config.action_cost and problem.support is not None:
        effort = x.square().mean(-1).cumsum(2).transpose(1, 2)[:, -num_judged:]
        effort = effort * (config.action_cost * problem.cost)
    if not every:
        return plan_scores(left, spent=None, violated=violated, effort=effort).squeeze(1), None
    steps = torch.arange(1, horizon + 1, device=x.device, dtype=x.dtype).unsqueeze(1)
    judged = left.cumsum(1) / steps if config.judged == "path" else left
    spent = problem.cost * steps
    scores = plan_scores(judged, spent=spent, violated=violated, effort=effort)
    barred = is_barred(problem, left, violated)
    barred[:, -1] = False
    scores, ends = scores.masked_fill(barred, math.inf).min(dim=1)
    return scores, ends
