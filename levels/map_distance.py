"""A temporal distance that plans in the map: shortest ways over learned costs of going and turning.

For latents of `levels.map_encoder`, which hold the map; of the map it knows only what it learns.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hplan.level import LevelSpec
from levels.map_encoder import NUM_LOOKS, SCALE, Latent, grid_of, shares

SWEEPS = 20  # of the whole grid; a way with so many turns is found
FARTHEST = 200.0  # env steps; what no sweep has reached is so far
ANOTHER_MAP = 1e4  # env steps that every cell costs which differs: there is no way there
GAIN = 25.0  # of the few weights, which would learn slowly at the rate that suits large networks
NUM_HEADINGS = 4
KEPT = 4  # values of goals that are asked for again and again


class MapDistance(nn.Module):
    """Value iteration on the goal's map, read at the keypoint.

    There are four values at each cell, one for each way to go along the grid. What going on from a
    cell costs is a function of the 3 x 3 cells of the map around it, and turning costs the same
    everywhere; both are learned. A sweep takes the best of going on any number of cells and of
    turning. Cells of another map are as far as its cells differ.

    Source: Tamar et al., "Value iteration networks" (arXiv 1602.02867), section 4.1, with costs in
    place of rewards; a line of cells is swept at once (cumulative minima), as in Zhao, "A fast
    sweeping method" (Math. Comp. 2005).
    """

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        self.obs_shape, self.stride = grid_of(spec, spec.latent_dim), spec.stride
        self.cost = nn.Sequential(nn.Conv2d(1, 16, 3), nn.SiLU(), nn.Conv2d(16, NUM_HEADINGS, 1))
        nn.init.normal_(self.cost[-1].weight, std=0.01)  # all cells cost much the same at first
        nn.init.zeros_(self.cost[-1].bias)
        self.turn = nn.Parameter(torch.zeros(()))
        self.here = nn.Linear(NUM_LOOKS, NUM_HEADINGS)
        self._kept: list[tuple[list[int], Tensor, Tensor]] = []

    def values(self, goal: Tensor) -> Tensor:
        """Env steps (G, 4, W, H) to goals (G, D) from every cell, by the way one goes there."""
        at = Latent.of(goal, self.obs_shape)
        ground = at.map.unflatten(-1, (at.x.shape[-1], at.y.shape[-1]))
        cost = 4.0 * F.softplus(
            GAIN * self.cost(F.pad(ground, (1, 1, 1, 1), value=1.0).unsqueeze(1))
        )
        share = shares(at.x).unsqueeze(-1) * shares(at.y).unsqueeze(-2)
        value = (FARTHEST * (1.0 - share)).unsqueeze(1).expand_as(cost)
        turn = 2.0 * F.softplus(GAIN * self.turn)
        steps = [
            (c.cumsum(dim) - (c if ahead else 0.0), dim, ahead)
            for c, dim, ahead in zip(
                cost.unbind(1), (1, 2, 1, 2), (True, True, False, False), strict=True
            )
        ]
        for _ in range(SWEEPS):
            value = torch.stack(
                [_along(v, *step) for v, step in zip(value.unbind(1), steps, strict=True)], dim=1
            )
            sideways = torch.minimum(value.roll(1, 1), value.roll(-1, 1))
            value = torch.minimum(value, turn + sideways)
        return value

    def _values_of(self, goal: Tensor) -> Tensor:
        """`values`, kept where no gradient is asked for: a search asks often for the same goals."""
        if torch.is_grad_enabled():
            return self.values(goal)
        weights = [p._version for p in self.parameters()]  # training changes them in place
        for of_weights, known, value in self._kept:
            alike = (of_weights, known.shape, known.device) == (weights, goal.shape, goal.device)
            if alike and torch.equal(known, goal):
                return value
        value = self.values(goal)
        self._kept = [(weights, goal.clone(), value), *self._kept[: KEPT - 1]]
        return value

    def steps(self, z: Tensor, goal: Tensor) -> Tensor:
        """Steps of the level (...,) from `z` to `goal`, (..., D) each, which may broadcast."""
        at, other = Latent.of(z, self.obs_shape), Latent.of(goal, self.obs_shape)
        value = self._values_of(goal.reshape(-1, goal.shape[-1]))
        value = value.view(*goal.shape[:-1], *value.shape[1:])
        across = torch.einsum("...x,...hxy->...hy", shares(at.x), value)
        left = torch.einsum("...hy,...y,...h->...", across, shares(at.y), self._heading(at))
        differs = (at.map - other.map).abs().sum(-1)
        return (left + ANOTHER_MAP * differs) / self.stride

    def all_steps(self, z: Tensor, goals: Tensor) -> Tensor:
        """Steps of the level (N, G) from each of `z` (N, D) to each of `goals` (G, D)."""
        at, other = Latent.of(z, self.obs_shape), Latent.of(goals, self.obs_shape)
        value = self._values_of(goals)
        place = torch.einsum("nh,nx,ny->nhxy", self._heading(at), shares(at.x), shares(at.y))
        left = place.flatten(1) @ value.flatten(1).T
        # Exact for maps of zeros and ones, which `torch.cdist` is not.
        differs = at.map.sum(-1, keepdim=True) + other.map.sum(-1) - 2.0 * at.map @ other.map.T
        return (left + ANOTHER_MAP * differs) / self.stride

    def _heading(self, at: Latent) -> Tensor:
        """Shares (..., 4) of the ways in which the keypoint is about to go."""
        return (SCALE * self.here(at.looks)).softmax(-1)


def _along(value: Tensor, cost: Tensor, dim: int, ahead: bool) -> Tensor:
    """Value (G, W, H) of going any number of cells on along `dim`, or not at all.

    Args:
        cost: (G, W, H) cumulative along `dim`: of what lies before a cell, or up to it.
        ahead: whether one goes to higher cells.
    """
    if ahead:
        return (value + cost).flip(dim).cummin(dim).values.flip(dim) - cost
    return (value - cost).cummin(dim).values + cost
