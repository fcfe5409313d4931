"""Cross-entropy search over macro-actions."""

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
    sampled_around_a_mean,
)
from hplan.search.trial import Trial


def cem(
    problem: Problem,
    *,
    config: PlannerConfig,
    warm_start: Float[Tensor, "B H A"] | None,
    generator: torch.Generator,
    std: float = 1.0,
    least_std: float = 0.1,
) -> SearchResult:
    """Cross-entropy method: each round draws around the mean and std of the last one's elites.

    Source: Rubinstein, "The cross-entropy method for combinatorial and continuous optimization"
    (1999), section 4.

    Args:
        std: of the first round; least_std: below which it never falls.
    """

    def draw(belief: Belief, count: int, noise: Noise) -> Tensor:
        return drawn_around(*belief, count, noise)

    def learn(belief: Belief, trial: Trial) -> Belief:
        elites = trial.best(config.num_elites)
        spread, mean = torch.std_mean(elites, dim=1)
        return mean, spread.clamp_(min=least_std), elites[:, :1]

    return sampled_around_a_mean(
        problem,
        Method(draw=draw, learn=learn),
        config=config,
        std=std,
        warm_start=warm_start,
        generator=generator,
    )
