"""What is to be reached: an observation, any of several, or wherever an energy is low."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hplan.energy import (
    ByLevel,
    EncodedUp,
    Energy,
    TargetEnergy,
    energy_left,
    levels_judged,
)
from hplan.level import encode_stack
from hplan.level_config import EnergyName


@dataclass(frozen=True, kw_only=True)
class PotentialEnergy:
    """A user's energy of latents of level `k`, the same for every start."""

    k: int
    potential: ByLevel

    def __call__(self, z: Float[Tensor, "B N D"]) -> Float[Tensor, "B N"]:
        return self.potential(self.k, z).to(z.dtype)

    def of(self, rows: Tensor) -> "PotentialEnergy":
        """Itself."""
        return self


@dataclass(frozen=True, kw_only=True)
class Goals:
    """The goals of B episodes; made by `observed`, `any_of` or `of_energy`.

    Attributes:
        latents: [(B, G, D_k)] at every level, of G observations any of which will do; G is 0 where
            the goal is an energy alone.
        potential: (level index, latents (..., D_k)) -> energy (...), or None where it says nothing
            of that level. It is in the unit of the energy that the agent minimises, env steps for
            the learned distance, and 0 at the goal.
        has_potential: of every level, whether the potential says something of it.
    """

    latents: list[Tensor]
    potential: ByLevel | None
    has_potential: list[bool]

    @classmethod
    def observed(cls, levels: nn.ModuleList, obs: Tensor) -> "Goals":
        """To reach what is seen: one observation for each episode, (B, *obs_shape)."""
        return cls.any_of(levels, obs.unsqueeze(1))

    @classmethod
    @torch.no_grad()
    def any_of(cls, levels: nn.ModuleList, obs: Tensor) -> "Goals":
        """To reach any of G observations, (B, G, *obs_shape): alternatives, or examples.

        Raises:
            ValueError: there is none.
        """
        if obs.shape[1] == 0:
            raise ValueError("the goal is any of 0 observations; give at least one, or an energy")
        latents = encode_stack(levels, obs.flatten(0, 1))
        return cls(
            latents=[z.unflatten(0, obs.shape[:2]) for z in latents],
            potential=None,
            has_potential=[False] * len(levels),
        )

    @classmethod
    def of_energy(cls, levels: nn.ModuleList, potential: ByLevel, batch_size: int) -> "Goals":
        """To be where a user's energy is low, in each of B = `batch_size` episodes.

        Args:
            potential: as in `Goals`. It has to say something of the top level, for the latents of
                levels of which it says nothing are encoded up to the next one of which it does.

        Raises:
            ValueError: it says nothing of the top level, or is no finite number for each latent.
        """
        judged = levels_judged(potential, levels, "the goal's energy")
        if not judged[-1]:
            raise ValueError(
                f"the goal's energy says nothing of level {len(levels) - 1}, the top; it must, for "
                "the levels below are measured there wherever it says nothing of them"
            )
        return cls(
            latents=[level.move.new_zeros(batch_size, 0, level.latent_dim) for level in levels],
            potential=potential,
            has_potential=judged,
        )

    def energy(self, levels: nn.ModuleList, k: int, name: EnergyName) -> Energy:
        """What latents of level `k` have left to the goal.

        The potential's; where it says nothing of the level, by `name` to the nearest observation;
        where there is none, the potential of the next level up.
        """
        if self.potential is not None and (self.has_potential[k] or not self.latents[k].shape[1]):
            above = self.has_potential.index(True, k)
            energy = PotentialEnergy(k=above, potential=self.potential)
            return EncodedUp(levels=list(levels[k + 1 : above + 1]), energy=energy)
        return TargetEnergy(level=levels[k], target=self.latents[k], name=name)

    def nearest(
        self, levels: nn.ModuleList, k: int, z: Float[Tensor, "B D"], name: EnergyName
    ) -> Float[Tensor, "B D"]:
        """The observation's latent that has the lowest energy from `z`, in the space of level `k`.

        Where the goal is an energy alone there is none to show: `z` itself.
        """
        latents = self.latents[k]
        if not latents.shape[1]:
            return z
        best = energy_left(levels[k], z.unsqueeze(1), latents, name).argmin(1)
        return latents[torch.arange(len(z), device=z.device), best]

    def of(self, rows: Tensor) -> "Goals":
        """Those of the episodes that `rows` names, indices or bool."""
        return replace(self, latents=[z[rows] for z in self.latents])
