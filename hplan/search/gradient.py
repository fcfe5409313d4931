"""Gradient descent through the model over macro-actions."""

import torch
from jaxtyping import Float
from torch import Tensor

from hplan.level_config import PlannerConfig
from hplan.search.problem import Problem, SearchResult
from hplan.search.sampling import Belief, Method, Noise, first_mean, sampled, support_of
from hplan.search.trial import Trial

MEAN_DECAY, SQUARE_DECAY, TINY = 0.9, 0.999, 1e-8


def gradient(
    problem: Problem,
    *,
    config: PlannerConfig,
    warm_start: Float[Tensor, "B H A"] | None,
    generator: torch.Generator,
    std: float = 1.0,
    learning_rate: float = 0.2,
) -> SearchResult:
    """Adam on `config.num_candidates` plans at once, of which the best at any round counts.

    They begin at the warm start, at zero, and at random, and their number stays as it is; one place
    is for the best plan so far. After each step they are moved back into the support. A round is
    one step; the last one only scores.

    Source: Bharadhwaj et al., "Model-predictive control via cross-entropy and gradient-based
    optimization" (arXiv 2004.08763), section 3, the gradient part; Kingma and Ba, "Adam" (arXiv
    1412.6980), algorithm 1.

    Args:
        std: of the random beginnings.
    """
    support, num_restarts = support_of(problem), config.num_candidates - 1

    def draw(belief: Belief, count: int, noise: Noise) -> Tensor:
        x, best = belief[:2]
        if x.shape[1] < num_restarts:
            begins = noise(num_restarts, x.shape[2]).mul_(std)
            begins[:, : x.shape[1]] = x[:, :num_restarts]
            x = begins
        return torch.cat([best, x], dim=1)

    def learn(belief: Belief, trial: Trial) -> Belief:
        (slope,) = torch.autograd.grad(trial.scores, trial.x, torch.ones_like(trial.scores))
        slope, x = slope[:, 1:].flatten(2), trial.x.detach()[:, 1:].flatten(2)
        mean, square = belief[2:] or (torch.zeros_like(x), torch.zeros_like(x))
        mean = torch.lerp(slope, mean, MEAN_DECAY)
        square = torch.lerp(slope.square(), square, SQUARE_DECAY)
        taken = trial.number + 1
        size = (square / (1 - SQUARE_DECAY**taken)).sqrt_().add_(TINY)
        step = learning_rate / (1 - MEAN_DECAY**taken)
        return torch.addcdiv(x, mean, size, value=-step), trial.best(1), mean, square

    begins = first_mean(problem, config, None).unsqueeze(1)
    if warm_start is not None:
        begins = torch.cat([warm_start.flatten(1).unsqueeze(1), begins], dim=1)
    return sampled(
        problem,
        Method(draw=draw, learn=learn, differentiates=True),
        (begins, begins[:, :1]),
        config=config,
        support=support,
        generator=generator,
        is_warm=warm_start is not None,
    )
