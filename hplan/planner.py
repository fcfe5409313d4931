"""One level's plan: towards the goal itself, or towards the subgoal that the level above set."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hplan.corrections import CorrectedLevel, Corrections
from hplan.energy import EncodedUp, Energy, arrival_energy, step_cost
from hplan.level import Level
from hplan.level_config import EnergyName, PlannerConfig
from hplan.search import find_search
from hplan.search.problem import Problem, SearchResult, concatenated
from hplan.support import build_support

ROWS_AT_ONCE = 4096
NEVER = -1.0  # below any energy


def plan_level(
    levels: nn.ModuleList,
    k: int,
    z: Tensor,
    aim: Energy,
    *,
    target_level: int,
    energy_name: EnergyName,
    config: PlannerConfig,
    generator: torch.Generator,
    warm_start: Tensor | None = None,
    avoiding: Callable[..., Energy] | None = None,
    corrections: Corrections | None = None,
    guard: Energy | None = None,
    deadline: float | None = None,
) -> SearchResult:
    """The best plan of level `k` found by its own search.

    Args:
        z: (B, D_k) latents to plan from.
        aim: energy of latents of level j = `target_level` >= k, up to which the level's
            predictions are encoded.
        energy_name: in whose unit that energy is.
        config: search, horizon and effort of level `k`.
        warm_start: (B, H, A), or None.
        avoiding: of an `energy`, the same and what it costs to end at places to keep away from.
        corrections: transitions that are known better than the level predicts them.
        guard: violation of what is forbidden, of latents of level `k`.
        deadline: as in `Problem`.
    """
    search, level = find_search(config.search), levels[k]
    energy = aim
    if target_level > k:
        energy = EncodedUp(levels=list(levels[k + 1 : target_level + 1]), energy=aim)
    # An energy in env steps is what a plan as good as it promises would cost.
    expected = energy(z.unsqueeze(1)).squeeze(1) if energy_name == "distance" else None
    if avoiding is not None:
        energy = avoiding(energy=energy)
    # Latents compared tell little far from the target: there a plan may end anywhere.
    arrival = math.inf
    if energy_name == "distance":
        # A step of a level above is so long that no plan of it ends on a target to the env step:
        # such plans go on to their horizon, and their energy is needed there alone.
        near = arrival_energy(levels[target_level], config.tolerance, energy_name)
        arrival = NEVER if k else near
    problem = Problem(
        model=level if corrections is None else CorrectedLevel(level, corrections),
        z=z,
        energy=energy,
        cost=step_cost(level, energy_name),
        arrival=arrival,
        support=build_support(level, config),
        guard=guard,
        deadline=deadline,
        expected=expected,
    )
    results = []
    parts = torch.arange(z.shape[0], device=z.device).split(_chunk_size(level, config))
    for rows in parts:
        results.append(
            search(
                problem if len(parts) == 1 else problem.of(rows),
                config=config,
                warm_start=None if warm_start is None else warm_start[rows],
                generator=generator,
                **config.search_options,
            )
        )
    return concatenated(results)


def _chunk_size(level: Level, config: PlannerConfig) -> int:
    """Environments to plan for at once, so that a layer's activations stay in the cache."""
    is_tree = config.search == "tree"
    rows = level.num_actions**config.horizon if is_tree else config.max_candidates
    return max(1, ROWS_AT_ONCE // max(1, rows))


def evaluation_flops(
    levels: nn.ModuleList, k: int, target_level: int, name: EnergyName, config: PlannerConfig
) -> float:
    """FLOPs of one predictor row of a search of level `k`, with its share of the energies.

    Where nothing but the end of a plan is judged, as by distance above the bottom, that is one in
    `config.horizon` rows.
    """
    predicting: list[nn.Module] = [levels[k].predictor]
    if levels[k].action_prior is not None:
        predicting.append(levels[k].action_prior)
    judging = [level.encoder for level in levels[k + 1 : target_level + 1]]
    if name == "distance":
        judging.append(levels[target_level].distance.here)
    ends_alone = k > 0 and name == "distance" and config.judged == "end"
    return _flops(predicting) + _flops(judging) / (config.horizon if ends_alone else 1)


def _flops(parts: list[nn.Module]) -> int:
    """Of one row through the matrices of `parts`."""
    return sum(2 * p.numel() for part in parts for p in part.parameters() if p.ndim >= 2)


def shifted(actions: Tensor, steps: Tensor) -> Tensor:
    """A warm start: `actions` (B, H, A) moved on by `steps` (B,), zeros (no noise) behind them."""
    horizon = actions.shape[1]
    source = torch.arange(horizon, device=actions.device) + steps.unsqueeze(1)
    moved = actions.gather(1, source.clamp(max=horizon - 1).unsqueeze(-1).expand_as(actions))
    return moved * (source < horizon).unsqueeze(-1)
