"""Cross-entropy search with coloured noise that keeps its elites."""

from functools import cache

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
    support_of,
)
from hplan.search.trial import Trial


def icem(
    problem: Problem,
    *,
    config: PlannerConfig,
    warm_start: Float[Tensor, "B H A"] | None,
    generator: torch.Generator,
    std: float = 1.0,
    least_std: float = 0.1,
    colour: float = 1.0,
    kept: float = 0.3,
    momentum: float = 0.1,
    decay: float = 1.0,
) -> SearchResult:
    """Improved cross-entropy method: plans whose steps go together, and elites that stay.

    Source: Pinneri et al., "Sample-efficient cross-entropy method for real-time planning"
    (arXiv 2008.06389), section 3 and algorithm 1. The mean is a candidate of every round, not of
    the last alone; of the previous decision only the shifted plan is kept, as the warm start.

    Args:
        std: of the first round; least_std: below which it never falls.
        colour: the noise's power falls with the frequency to this power; 0 is white.
        kept: share of the elites that the next round tries again.
        momentum: share of the old mean and std in the new ones.
        decay: by which the number of candidates is divided after each round.
    """
    filter_ = _filter(config.horizon, support_of(problem).action_dim, colour).to(problem.z)
    num_kept = max(1, min(int(kept * config.num_elites), config.num_candidates - 1))

    def draw(belief: Belief, count: int, noise: Noise) -> Tensor:
        def coloured(count: int, size: int) -> Tensor:
            white = noise(count, size)
            return white.view(-1, size).mm(filter_).view(white.shape)

        return drawn_around(*belief, count, coloured)

    def learn(belief: Belief, trial: Trial) -> Belief:
        elites = trial.best(config.num_elites)
        spread, mean = torch.std_mean(elites, dim=1)
        spread = spread.lerp_(belief[1], momentum).clamp_(min=least_std)
        return mean.lerp_(belief[0], momentum), spread, elites.narrow(1, 0, num_kept)

    return sampled_around_a_mean(
        problem,
        Method(draw=draw, learn=learn, decay=decay),
        config=config,
        std=std,
        warm_start=warm_start,
        generator=generator,
    )


@cache
def _filter(horizon: int, width: int, colour: float) -> Tensor:
    """(H * A, H * A): `_colouring` for plans of A numbers a step."""
    return torch.kron(_colouring(horizon, colour), torch.eye(width))


def _colouring(horizon: int, colour: float) -> Tensor:
    """(H, H): white noise (..., H) times this has unit variance and a power of f^-colour.

    As in the paper (after Timmer and Koenig 1995) the lowest frequency stands for the mean as well.
    """
    frequencies = torch.fft.rfftfreq(horizon, dtype=torch.float64)
    frequencies[0] = 1 / horizon
    scale = frequencies ** (-colour / 2)
    impulses = torch.eye(horizon, dtype=torch.float64)
    filter_ = torch.fft.irfft(scale * torch.fft.rfft(impulses), n=horizon)
    return filter_ / filter_.square().sum(0).sqrt()
