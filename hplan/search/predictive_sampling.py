"""Predictive sampling over macro-actions."""

import torch
from jaxtyping import Float
from torch import Tensor

from hplan.level_config import PlannerConfig
from hplan.search.problem import Problem, SearchResult
from hplan.search.sampling import (
    Belief,
    Method,
    Noise,
    drawn_around,
    first_mean,
    sampled,
    support_of,
)
from hplan.search.trial import Trial


def predictive_sampling(
    problem: Problem,
    *,
    config: PlannerConfig,
    warm_start: Float[Tensor, "B H A"] | None,
    generator: torch.Generator,
    std: float = 0.5,
) -> SearchResult:
    """Each round draws around the best plan of the last one, which it tries again, with one std.

    Source: Howell et al., "Predictive sampling: real-time behaviour synthesis with MuJoCo"
    (arXiv 2212.00541), section 3 and algorithm 1; here plans are sequences, not splines.
    """

    def draw(belief: Belief, count: int, noise: Noise) -> Tensor:
        return drawn_around(*belief, None, count, noise)

    def learn(belief: Belief, trial: Trial) -> Belief:
        return trial.best(1).squeeze(1), belief[1]

    mean = first_mean(problem, config, warm_start)
    return sampled(
        problem,
        Method(draw=draw, learn=learn),
        (mean, torch.full_like(mean, std)),
        config=config,
        support=support_of(problem),
        generator=generator,
        is_warm=warm_start is not None,
    )
