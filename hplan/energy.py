"""Energies: how far a latent is from its target. Lower is better; they compose as functions.

An energy takes latents (B, N, D) of the level that searches and returns (B, N). With the learned
temporal distance it is in env steps, so that plans of all levels are scored in one unit: steps
spent plus steps left. With L2 it is the mean squared difference in the latent, and a step costs
next to nothing (`L2_STEP_COST`), enough to prefer the shorter of two plans that arrive.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from hplan.level import Level

Energy = Callable[[Tensor], Tensor]
EnergyName = Literal["distance", "l2"]

L2_STEP_COST = 1e-3
L2_REACHED = 0.3


def energy_left(level: Level, z: Tensor, target: Tensor, name: EnergyName) -> Tensor:
    """Energy (...,) from latents `z` to `target`, (..., D) in the space of `level`, broadcast."""
    if name == "distance":
        return level.steps_left(z, target)
    return (z - target).square().mean(-1)


def step_cost(level: Level, name: EnergyName) -> float:
    """What one step of `level` costs, in the unit of the energy."""
    return float(level.stride) if name == "distance" else L2_STEP_COST * level.stride


def arrival_energy(level: Level, tolerance: float, name: EnergyName) -> float:
    """Energy up to which a latent of `level` counts as being at its target.

    Args:
        tolerance: env steps, for the learned distance. L2 takes a share, `L2_REACHED`, of the mean
            squared change over one step of the level.
    """
    return tolerance if name == "distance" else L2_REACHED * float(level.move)


def target_energy(level: Level, target: Tensor, name: EnergyName) -> Energy:
    """Energy of latents of `level` against `target` (B, D) in the same space."""
    return lambda z: energy_left(level, z, target.unsqueeze(1), name)


def encoded_up(levels: list[Level], energy: Energy) -> Energy:
    """Energy of latents that `levels`, bottom first, must first encode up to the energy's space."""

    def through(z: Tensor) -> Tensor:
        for level in levels:
            z = level.encode(z)
        return energy(z)

    return through


def avoiding(
    energy: Energy, places: Tensor, valid: Tensor, radius: float, penalty: float
) -> Energy:
    """`energy` plus `penalty` for each of `places` within `radius` of a latent.

    Args:
        places: (B, M, D) latents not to be sought again.
        valid: (B, M) bool, which of them count.
        radius: mean squared difference per dimension.
    """

    def with_penalty(z: Tensor) -> Tensor:
        # (a - b)^2 = a^2 - 2ab + b^2 keeps this one matrix product instead of (B, N, M, D) numbers.
        cross = torch.baddbmm(
            places.square().sum(-1).unsqueeze(1), z, places.transpose(1, 2), alpha=-2.0
        )
        near = (cross + z.square().sum(-1, keepdim=True)) < radius * z.shape[-1]
        return energy(z) + penalty * (near & valid.unsqueeze(1)).sum(-1)

    return with_penalty
