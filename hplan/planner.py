"""One level's plan: towards the goal itself, or towards the subgoal that the level above set."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hplan.config import PlannerConfig
from hplan.corrections import CorrectedLevel, Corrections
from hplan.energy import (
    Energy,
    EnergyName,
    arrival_energy,
    avoiding,
    encoded_up,
    step_cost,
    target_energy,
)
from hplan.level import Level
from hplan.search import find_search
from hplan.search.result import SearchResult, concatenated

ROWS_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True)
class Avoidance:
    """Places the bottom level is not to seek again, so that it leaves cycles.

    Attributes:
        places: (B, M, D) latents of the bottom level.
        valid: (B, M) bool.
        radius: mean squared difference within which a latent is at a place.
        penalty: what ending there costs, in the energy's unit.
    """

    places: Tensor
    valid: Tensor
    radius: float
    penalty: float


def plan_level(
    levels: nn.ModuleList,
    k: int,
    z: Tensor,
    target: Tensor,
    *,
    target_level: int,
    energy_name: EnergyName,
    config: PlannerConfig,
    generator: torch.Generator,
    warm_start: Tensor | None = None,
    avoidance: Avoidance | None = None,
    corrections: Corrections | None = None,
) -> SearchResult:
    """The best plan of level `k` found by its own search.

    Args:
        z: (B, D_k) latents to plan from.
        target: (B, D_j) latents to reach, in the space of level j = `target_level` >= k; the
            level's predictions are encoded up to it, and the energy is measured there.
        energy_name: "distance" or "l2".
        config: search, horizon and effort of level `k`.
        warm_start: (B, H, A), or None.
        avoidance: places not to end at.
        corrections: transitions that are known better than the level predicts them.
    """
    search = find_search(config.search)
    # With L2 a plan may end anywhere: far from the goal the energy does not fall step by step.
    near = arrival_energy(levels[target_level], config.tolerance, energy_name)
    arrival = near if energy_name == "distance" else math.inf
    results = []
    for part in torch.arange(z.shape[0], device=z.device).split(_chunk_size(levels[k], config)):
        energy: Energy = target_energy(levels[target_level], target[part], energy_name)
        if target_level > k:
            energy = encoded_up(list(levels[k + 1 : target_level + 1]), energy)
        if avoidance is not None:
            energy = avoiding(
                energy,
                avoidance.places[part],
                avoidance.valid[part],
                avoidance.radius,
                avoidance.penalty,
            )
        model = levels[k]
        if corrections is not None:
            model = CorrectedLevel(model, corrections.of(part))
        results.append(
            search(
                model,
                z[part],
                energy,
                cost=step_cost(levels[k], energy_name),
                arrival=arrival,
                config=config,
                warm_start=None if warm_start is None else warm_start[part],
                generator=generator,
            )
        )
    return concatenated(results)


def _chunk_size(level: Level, config: PlannerConfig) -> int:
    """Environments to plan for at once, so that a layer's activations stay in the cache."""
    is_tree = config.search == "tree"
    rows = level.num_actions**config.horizon if is_tree else config.num_candidates
    return max(1, ROWS_AT_ONCE // max(1, rows))


def evaluation_flops(levels: nn.ModuleList, k: int, target_level: int, name: EnergyName) -> int:
    """FLOPs of one predictor row of a search of level `k`, its energy included."""
    parts: list[nn.Module] = [levels[k].predictor]
    if levels[k].action_prior is not None:
        parts.append(levels[k].action_prior)
    parts += [level.encoder for level in levels[k + 1 : target_level + 1]]
    if name == "distance":
        parts.append(levels[target_level].distance.here)
    return sum(2 * p.numel() for part in parts for p in part.parameters() if p.ndim >= 2)


def shifted(actions: Tensor, steps: Tensor) -> Tensor:
    """A warm start: `actions` (B, H, A) moved on by `steps` (B,), zeros (no noise) behind them."""
    horizon = actions.shape[1]
    source = torch.arange(horizon, device=actions.device) + steps.unsqueeze(1)
    moved = actions.gather(1, source.clamp(max=horizon - 1).unsqueeze(-1).expand_as(actions))
    return moved * (source < horizon).unsqueeze(-1)


def is_within_reach(level: Level, z: Tensor, goal: Tensor, config: PlannerConfig) -> Tensor:
    """(B,) bool: `goal` (B, D) is so near `z` (B, D) that `level` needs no level above."""
    return level.steps_left(z, goal) <= config.reach * level.stride
