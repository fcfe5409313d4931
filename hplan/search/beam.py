"""Beam search over sequences of discrete actions."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from hplan.level_config import PlannerConfig
from hplan.search.branching import branched
from hplan.search.problem import Problem, SearchResult, bettered


def beam(
    problem: Problem,
    *,
    config: PlannerConfig,
    warm_start: Float[Tensor, "B H A"] | None,
    generator: torch.Generator,
) -> SearchResult:
    """Goes on, at each step, from the `config.num_candidates` plans of the best score so far.

    With `config.converged` above 0 it searches again at twice the width, up to
    `config.max_candidates`, for the starts that this helps and whose plan is not as expected.
    `warm_start` and `generator` are of no use to it.

    Source: Lowerre, "The HARPY speech recognition system" (1976), chapter 3; widening as in
    Zhang, "Complete anytime beam search" (AAAI 1998), section 3.
    """
    num_actions, width = problem.model.num_actions, config.num_candidates
    best = branched(replace(problem, deadline=None), config, width=width)
    widest = min(config.max_candidates, num_actions ** (config.horizon - 1))
    if not config.converged > 0 or width >= widest:
        return best
    # All that is as short was searched, and what is longer costs more.
    complete = num_actions ** (best.num_steps - 1) <= width
    sure = complete & (best.score <= problem.cost * (best.num_steps + 1))
    sure |= problem.is_expected(best.score, config)
    rows = (~sure).nonzero().squeeze(1)
    while width < widest and len(rows) and not problem.is_late:
        width = min(2 * width, widest)
        found = branched(replace(problem.of(rows), deadline=None), config, width=width)
        gain = best.score[rows] - found.score
        best = bettered(best, found, rows)
        rows = rows[gain >= config.converged * problem.cost]
    return best
