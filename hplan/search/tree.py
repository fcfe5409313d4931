"""Exact search over all short sequences of discrete actions; shared prefixes are predicted once."""

import torch
from torch import Tensor
from torch.nn import functional as F

from hplan.config import PlannerConfig
from hplan.energy import Energy
from hplan.level import Model
from hplan.search.result import SearchResult, end_scores, repeat_after


def tree(
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
    """The best of all sequences of up to `config.horizon` actions; see `hplan.search.result`.

    Needs A + A^2 + ... + A^H predictor rows instead of the H * A^H of predicting each sequence.
    `warm_start` and `generator` are of no use to an exact search.
    """
    batch_size, width = z.shape
    num_actions, horizon = level.num_actions, config.horizon
    choices = torch.eye(num_actions, dtype=z.dtype, device=z.device)
    layers, scores, lefts, evaluations = [z.unsqueeze(1)], [], [], 0
    for depth in range(1, horizon + 1):
        num_nodes = num_actions**depth
        parents = layers[-1].repeat_interleave(num_actions, dim=1)  # child c of node n: n * A + c
        actions = choices.repeat(num_nodes // num_actions, 1).expand(batch_size, -1, -1)
        layers.append(level.predict(parents, actions))
        lefts.append(energy(layers[-1]))
        scores.append(
            end_scores(lefts[-1], step=depth, horizon=horizon, cost=cost, arrival=arrival)
        )
        evaluations += num_nodes
    score, best = torch.cat(scores, dim=1).min(dim=1)
    left = torch.cat(lefts, dim=1).gather(1, best.unsqueeze(1)).squeeze(1)

    sizes = torch.tensor([num_actions**depth for depth in range(1, horizon + 1)], device=z.device)
    first = sizes.cumsum(0) - sizes  # where each depth begins in `best`
    num_steps = (best.unsqueeze(1) >= first).sum(1)
    node = best - first[num_steps - 1]
    # Walk from the chosen node back to the root; shorter plans are padded below with action 0.
    node = node * num_actions ** (horizon - num_steps)
    numbers, latents = [], []
    for depth in range(horizon, 0, -1):
        numbers.append(node % num_actions)
        latents.append(layers[depth][torch.arange(batch_size, device=z.device), node])
        node = node // num_actions
    path = torch.stack([z, *reversed(latents)], dim=1)
    return SearchResult(
        actions=F.one_hot(torch.stack(numbers[::-1], dim=1), num_actions).to(z),
        latents=repeat_after(path, num_steps),
        num_steps=num_steps,
        score=score,
        left=left,
        support=torch.zeros_like(score),
        evaluations=evaluations,
    )
