"""What every search takes and returns.

A search is a function
`(level, z, energy, *, cost, arrival, config, warm_start, generator) -> SearchResult`:

* `level`: a `Model`, which it rolls out; `z` (B, D): where from;
* `energy`: latents (B, N, D) -> (B, N); `cost`: of one step, in the energy's unit;
* `config`: the level's `PlannerConfig`; `warm_start` (B, H, A) or None; `generator`: its noise.

* `arrival`: the energy up to which a plan may end before its horizon.

The score of a plan is the least of `cost * h + energy(latent h)` over the steps h at which it may
end; the plan is to be carried out up to that step. A plan that does not arrive goes on to its
horizon: an energy that falls too slowly along the way would else make standing still look best.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The best plan found for each of B starts.

    Attributes:
        actions: (B, H, A) the plan, in the form in which it can be a warm start.
        latents: (B, H + 1, D) predicted; index 0 is the start. Beyond `num_steps` they repeat.
        num_steps: (B,) steps of the level after which the plan is done, 1 to H.
        score: (B,) cost of those steps plus `left`.
        left: (B,) energy at the end.
        support: (B,) largest distance of an action from the prior's mean, in std; 0 if discrete.
        evaluations: predictor rows for each start.
    """

    actions: Tensor
    latents: Tensor
    num_steps: Tensor
    score: Tensor
    left: Tensor
    support: Tensor
    evaluations: int


def repeat_after(latents: Tensor, num_steps: Tensor) -> Tensor:
    """`latents` (B, H + 1, D) with those after `num_steps` (B,) replaced by the one there."""
    steps = torch.arange(latents.shape[1], device=latents.device)
    kept = torch.minimum(steps, num_steps.unsqueeze(1))
    return latents.gather(1, kept.unsqueeze(-1).expand_as(latents))


def end_scores(lefts: Tensor, *, step: int, horizon: int, cost: float, arrival: float) -> Tensor:
    """Scores of ending at `step` with energies `lefts` (any shape); infinite where it may not."""
    scores = cost * step + lefts
    return scores if step == horizon else scores.masked_fill(lefts > arrival, torch.inf)


def concatenated(results: list[SearchResult]) -> SearchResult:
    """One result of several searches of equal effort, for the starts of all of them."""
    if len(results) == 1:
        return results[0]
    tensors = {
        field.name: torch.cat([getattr(result, field.name) for result in results])
        for field in fields(SearchResult)
        if field.name != "evaluations"
    }
    return SearchResult(**tensors, evaluations=results[0].evaluations)
