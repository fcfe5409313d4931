"""A search that lies: now and then its plan leads to a latent that cannot be reached."""

from dataclasses import replace

import torch

from hplan.search import find_search
from hplan.search.problem import Problem, SearchResult


def corrupted_cem(
    problem: Problem,
    *,
    config,
    warm_start,
    generator: torch.Generator,
    probability: float = 0.3,
    spread: float = 1.0,
) -> SearchResult:
    """CEM of whose plans a share `probability` goes somewhere at random, `spread` wide."""
    result = find_search("cem")(problem, config=config, warm_start=warm_start, generator=generator)
    shape = (len(result.score), 1, 1)
    lies = torch.rand(shape, generator=generator) < probability
    anywhere = spread * torch.randn(shape[0], 1, problem.z.shape[-1], generator=generator)
    after = torch.arange(result.latents.shape[1]).view(1, -1, 1) > 0
    return replace(result, latents=torch.where(lies & after, anywhere, result.latents))
