"""Model predictive path integral search over macro-actions."""

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

TINY = 1e-12


def mppi(
    problem: Problem,
    *,
    config: PlannerConfig,
    warm_start: Float[Tensor, "B H A"] | None,
    generator: torch.Generator,
    std: float = 0.5,
    temperature: float = 0.2,
) -> SearchResult:
    """Each round draws around the mean of all plans of the last one, weighted by their scores.

    Source: Williams et al., "Information theoretic MPC for model-based reinforcement learning"
    (ICRA 2017), section III: weights exp(-score / temperature), noise of a fixed std. The
    temperature is taken in units of how much worse than the best plan the last elite is, so that
    it serves any energy.

    Args:
        std: of the noise.
        temperature: low follows the best plan alone, high takes the mean of all.
    """

    def draw(belief: Belief, count: int, noise: Noise) -> Tensor:
        return drawn_around(*belief, count, noise)

    def learn(belief: Belief, trial: Trial) -> Belief:
        elites = trial.elite_scores
        unit = (elites[:, -1:] - elites[:, :1]).mul_(-temperature).clamp_(max=-TINY)
        weights = (trial.scores / unit).softmax(1).unsqueeze(1)
        mean = weights @ trial.x.flatten(2)
        return mean.squeeze(1), belief[1], trial.best(1)

    return sampled_around_a_mean(
        problem,
        Method(draw=draw, learn=learn),
        config=config,
        std=std,
        warm_start=warm_start,
        generator=generator,
    )
