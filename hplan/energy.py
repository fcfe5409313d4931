"""Energies: how far a latent is from its target. Lower is better; they compose.

An energy takes latents (B, N, D) of the level that searches and returns (B, N). With the learned
temporal distance it is in env steps, so that plans of all levels are scored in one unit: steps
spent plus steps left. The others compare latents; there a step costs next to nothing
(`LATENT_STEP_COST`), enough to prefer the shorter of two plans that arrive. A user may state one
as a function of their own (`levels_judged`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from hplan.level import Level
from hplan.level_config import EnergyName

LATENT_STEP_COST = 1e-3
LATENT_REACHED = 0.3
SAMPLE_SHAPE = (3, 5)

ByLevel = Callable[[int, Tensor], Tensor | None]
"""A user's function of (level index, latents (..., D_k)): (...), or None where it says nothing."""


@runtime_checkable
class Energy(Protocol):
    """What a search minimises, for B starts."""

    def __call__(self, z: Tensor) -> Tensor:
        """Energy (B, N) of latents (B, N, D)."""
        ...

    def of(self, rows: Tensor) -> "Energy":
        """The energy for those of the starts that `rows` names, indices or bool."""
        ...


def energy_left(
    level: Level, z: Float[Tensor, "*#B D"], target: Float[Tensor, "*#B D"], name: EnergyName
) -> Tensor:
    """Energy (...,) from latents `z` to `target`, (..., D) in the space of `level`, broadcast."""
    match name:
        case "distance":
            return level.steps_left(z, target)
        case "cosine":
            return (1 - F.cosine_similarity(z, target, dim=-1)).clamp(min=0)  # of rounding errors
        case "smooth_l1":
            z, target = torch.broadcast_tensors(z, target)
            return F.huber_loss(z, target, reduction="none").mean(-1)  # the same with a bend at 1
        case _:
            return (z - target).square().mean(-1)


def step_cost(level: Level, name: EnergyName) -> float:
    """What one step of `level` costs, in the unit of the energy."""
    return float(level.stride) if name == "distance" else LATENT_STEP_COST * level.stride


def arrival_energy(level: Level, tolerance: float, name: EnergyName) -> float:
    """Energy up to which a latent of `level` counts as being at its target.

    Args:
        tolerance: env steps, for the learned distance. The others take a share, `LATENT_REACHED`,
            of what they make of one step of the level.
    """
    if name == "distance":
        return tolerance
    move = float(level.move)
    # Smooth L1 is half the square near zero. One minus cosine is half the square of unit vectors,
    # and so half of the mean square where a latent's dimensions have variance one.
    return LATENT_REACHED * (move if name == "l2" else move / 2)


@dataclass(frozen=True, kw_only=True)
class TargetEnergy:
    """Energy of latents of `level` against the nearest of their targets in the same space.

    Attributes:
        target: (B, G, D) alternatives, any of which will do.
    """

    level: Level
    target: Float[Tensor, "B G D"]
    name: EnergyName

    def __call__(self, z: Float[Tensor, "B N D"]) -> Float[Tensor, "B N"]:
        if self.target.shape[1] == 1:
            return energy_left(self.level, z, self.target, self.name)
        every = energy_left(self.level, z.unsqueeze(2), self.target.unsqueeze(1), self.name)
        return every.amin(-1)

    def of(self, rows: Tensor) -> "TargetEnergy":
        return replace(self, target=self.target[rows])


@dataclass(frozen=True, kw_only=True)
class EncodedUp:
    """Energy of latents that `levels`, bottom first, must first encode up to the energy's space."""

    levels: list[Level]
    energy: Energy

    def __call__(self, z: Float[Tensor, "B N D"]) -> Float[Tensor, "B N"]:
        for level in self.levels:
            z = level.encode(z)
        return self.energy(z)

    def of(self, rows: Tensor) -> "EncodedUp":
        return replace(self, energy=self.energy.of(rows))


@dataclass(frozen=True, kw_only=True)
class Avoiding:
    """`energy` plus `penalty` for each of `places` within `radius` of a latent.

    Attributes:
        places: (B, M, D) latents not to be sought again.
        valid: (B, M) bool, which of them count.
        radius: mean squared difference per dimension.
    """

    energy: Energy
    places: Float[Tensor, "B M D"]
    valid: Bool[Tensor, "B M"]
    radius: float
    penalty: float

    def __call__(self, z: Float[Tensor, "B N D"]) -> Float[Tensor, "B N"]:
        # (a - b)^2 = a^2 - 2ab + b^2 keeps this one matrix product instead of (B, N, M, D) numbers.
        cross = torch.baddbmm(
            self.places.square().sum(-1).unsqueeze(1), z, self.places.transpose(1, 2), alpha=-2.0
        )
        near = (cross + z.square().sum(-1, keepdim=True)) < self.radius * z.shape[-1]
        return self.energy(z) + self.penalty * (near & self.valid.unsqueeze(1)).sum(-1)

    def of(self, rows: Tensor) -> "Avoiding":
        return replace(
            self, energy=self.energy.of(rows), places=self.places[rows], valid=self.valid[rows]
        )


@torch.no_grad()
def levels_judged(
    judge: ByLevel, levels: nn.ModuleList, path: str, *, least: float = -math.inf
) -> list[bool]:
    """Of which levels, bottom first, a user's function says something.

    It is asked once, about latents drawn from a normal distribution.

    Args:
        path: what to call the function in a message.
        least: what it may not fall below.

    Raises:
        ValueError: it fails, or returns anything but None or one such number for each latent.
    """
    judged = []
    for k, level in enumerate(levels):
        shape = (*SAMPLE_SHAPE, level.latent_dim)
        z = torch.randn(shape, generator=torch.Generator().manual_seed(k)).to(level.move.device)
        try:
            result = judge(k, z)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(f"{path} fails for latents {shape} of level {k} ({reason})") from error
        wrong = None if result is None else _fault(result, least)
        if wrong:
            bound = "" if least == -math.inf else f" from {least:g} up"
            raise ValueError(
                f"{path} returned {wrong} for latents {shape} of level {k}; allowed is a tensor "
                f"{SAMPLE_SHAPE} of finite numbers{bound}, or None where it says nothing"
            )
        judged.append(result is not None)
    return judged


def _fault(result: object, least: float) -> str | None:
    """What is wrong with what a user's function returned of the sample latents, if anything is."""
    if not isinstance(result, Tensor):
        return f"a {type(result).__name__}"
    if tuple(result.shape) != SAMPLE_SHAPE:
        return f"a tensor {tuple(result.shape)}"
    if not result.isfinite().all():
        return "NaN or infinity"
    return f"{result.min():g}" if result.min() < least else None
