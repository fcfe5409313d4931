"""Parts for worlds whose map differs from episode to episode: they read the map, not remember it.

A latent of these parts is, side by side, where the keypoint stands along each axis of the grid, a
few learned numbers of what it is like, and the map itself. Predictions move the keypoint by what
they see of the map around it, and leave the map as it is; so what was learned at one place of one
map holds at every place of every other.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hplan.level import LevelSpec
from hplan.regularisers import VICReg
from levels.layers import mlp

SCALE = 5.0  # of the shares along an axis, whose variance in a grid of 25 is then about 1
NUM_LOOKS = 8  # learned numbers of the keypoint, such as its heading
COMMON = 0.01  # share of the cells from which a kind of object is part of the map
SHARPNESS = 4.0  # with which the keypoint is drawn to what is rare
LEAST_RADIUS, MOST_RADIUS = 2, 12  # cells seen around the keypoint


def latent_size(width: int, height: int) -> int:
    """D of a grid of so many cells."""
    return width + height + NUM_LOOKS + width * height


def grid_of(spec: LevelSpec, latent_dim: int) -> tuple[int, ...]:
    """The shape of the grids whose latents, of width `latent_dim`, a part here writes or reads.

    Raises:
        ValueError: such latents are not of a `MapEncoder`.
    """
    if not spec.num_values:
        raise ValueError("the map parts of hierarchy.level.model read symbolic grids alone")
    width, height = spec.obs_shape[:2]
    if latent_dim != latent_size(width, height):
        raise ValueError(
            f"model.latent_dim = {latent_dim} of the latents of a map part; of a grid of {width} x "
            f"{height} cells it needs {latent_size(width, height)}, by the encoder map at the "
            "bottom and identity above"
        )
    return spec.obs_shape


class Latent(NamedTuple):
    """A latent (..., D) taken apart.

    Attributes:
        x: (..., W) share of the keypoint in each column, times `SCALE`; y: (..., H) in each row.
        looks: (..., NUM_LOOKS) what it is like.
        map: (..., W * H) 1 where something common stands that is not the ground, else 0.
    """

    x: Tensor
    y: Tensor
    looks: Tensor
    map: Tensor

    @classmethod
    def of(cls, z: Tensor, obs_shape: tuple[int, ...]) -> "Latent":
        """The parts of latents (..., D) of grids of that shape."""
        width, height = obs_shape[:2]
        return cls(*z.split([width, height, NUM_LOOKS, width * height], dim=-1))

    def around(self, radius: int) -> Tensor:
        """The map around the keypoint, (..., (2 * radius + 1) ** 2), 1 beyond the grid."""
        columns, rows = (_windows(shares(axis), radius) for axis in (self.x, self.y))
        ground = self.map.unflatten(-1, (self.x.shape[-1], self.y.shape[-1])) - 1.0
        return (columns @ ground @ rows.transpose(-1, -2)).flatten(-2) + 1.0


def shares(axis: Tensor) -> Tensor:
    """Shares (..., W) that sum to 1, of the keypoint along an axis, as far as it is predicted."""
    positive = axis.clamp(min=0.0) + 1e-6
    return positive / positive.sum(-1, keepdim=True)


def _windows(shares: Tensor, radius: int) -> Tensor:
    """Shares shifted by -radius to radius cells: (..., 2 * radius + 1, W) of (..., W)."""
    width = shares.shape[-1]
    # One matrix product: the gradient of overlapping windows is several times as slow.
    shifts = _shifts(width, radius, shares.device).to(shares.dtype)
    return (shares @ shifts).unflatten(-1, (2 * radius + 1, width))


@cache
@torch.inference_mode(False)  # first asked for by a search, it would be of no use to training
def _shifts(width: int, radius: int, device: torch.device) -> Tensor:
    """(W, (2 * radius + 1) * W): the matrix that copies a row of W numbers to every shift of it."""
    shift = torch.arange(-radius, radius + 1, device=device).view(1, -1, 1)
    cell = torch.arange(width, device=device)
    return (cell.view(-1, 1, 1) + shift == cell).float().flatten(1)


class MapEncoder(nn.Module):
    """Encodes a symbolic grid as where the one rare thing in it is, and a map of the common ones.

    The keypoint is a softmax over all cells of a score of their values, minus the log of how often
    a value is seen in the data: what is rare draws it, as the agent does. It is kept as its shares
    of every row and column, of which a spatial soft-argmax (Finn et al., "Deep spatial
    autoencoders", arXiv 1509.06113, section IV) would take the mean.

    The map shows values of the first channel that are common in the data, but the most common one,
    the ground: of other objects this encoder knows nothing.

    Needs a grid of shape (width, height, channels) and `latent_dim` of `latent_size`.
    """

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        grid_of(spec, spec.latent_dim)
        self.num_values = spec.num_values
        self.offsets = [sum(spec.num_values[:c]) for c in range(len(spec.num_values))]
        self.register_buffer("scores", torch.zeros(sum(spec.num_values)))
        self.register_buffer("is_wall", torch.zeros(spec.num_values[0]))
        self.looks = nn.Linear(sum(spec.num_values), NUM_LOOKS)
        if spec.sample_obs is not None:
            self._look_at(spec.sample_obs)

    def _look_at(self, obs: Tensor) -> None:
        """Takes scores and map from what is rare and what is common in `obs`."""
        for channel, (size, first) in enumerate(zip(self.num_values, self.offsets, strict=True)):
            values = obs[..., channel].flatten().long()
            share = torch.bincount(values, minlength=size) / values.numel()
            self.scores[first : first + size] = -SHARPNESS * share.clamp(min=1e-4).log()
            if channel == 0:
                self.is_wall.copy_((share > COMMON).float())
                self.is_wall[share.argmax()] = 0.0

    def forward(self, obs: Tensor) -> Tensor:
        """Latents (B, D) of grids (B, width, height, channels) of uint8."""
        values = obs.long() + torch.tensor(self.offsets, device=obs.device)
        weights = self.scores[values].sum(-1).flatten(1).softmax(-1)
        every = weights.unsqueeze(-1).expand(-1, -1, values.shape[-1]).flatten(1)
        seen = weights.new_zeros(len(obs), len(self.scores))
        seen.scatter_add_(1, values.flatten(1), every)
        place = weights.view(values.shape[:-1])
        looks, ground = self.looks(seen), self.is_wall[obs[..., 0].long()]
        axes = (SCALE * place.sum(2), SCALE * place.sum(1))
        return torch.cat([*axes, looks, ground.flatten(1)], dim=-1)


def radius_of(stride: int) -> int:
    """Cells around the keypoint that a level looks at: as far as a step can lead, and one more."""
    return min(max(stride + 1, LEAST_RADIUS), MOST_RADIUS)


class MapPredictor(nn.Module):
    """Moves the keypoint of a latent: each axis is shifted by a distribution over cells.

    Which, follows from the map around the keypoint, its looks and the action.
    """

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        self.obs_shape = grid_of(spec, spec.latent_dim)
        self.radius = radius_of(spec.stride)
        self.reach = min(spec.stride, MOST_RADIUS)
        in_dim = (2 * self.radius + 1) ** 2 + NUM_LOOKS + spec.action_dim
        self.shifts = 2 * self.reach + 1
        self.mlp = mlp(in_dim, 2 * self.shifts + NUM_LOOKS, spec.hidden_dim, spec.num_hidden)

    def forward(self, z: Tensor, action: Tensor) -> Tensor:
        """The next latents (..., D) of latents (..., D) under actions (..., A)."""
        now = Latent.of(z, self.obs_shape)
        out = self.mlp(torch.cat([now.around(self.radius), now.looks, action], dim=-1))
        across, along, looks = out.split([self.shifts, self.shifts, NUM_LOOKS], dim=-1)
        moved = (
            (chances.softmax(-1).unsqueeze(-2) @ _windows(axis, self.reach)).squeeze(-2)
            for chances, axis in ((across, now.x), (along, now.y))
        )
        return torch.cat([*moved, now.looks + looks, now.map], dim=-1)


class MapMacroActions(nn.Module):
    """q(m | chunk, z): a macro-action from the actions below and the map around their start."""

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        self.obs_shape = grid_of(spec, spec.below_dim)
        self.radius = radius_of(spec.stride)
        in_dim = (2 * self.radius + 1) ** 2 + NUM_LOOKS + spec.ratio * spec.below_action_dim
        self.mlp = mlp(in_dim, 2 * spec.action_dim, spec.hidden_dim, 1)

    def forward(self, chunk: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and std (..., A) of chunks (..., ratio, A below) begun in latents (..., D below)."""
        at = Latent.of(start, self.obs_shape)
        out = self.mlp(torch.cat([chunk.flatten(-2), at.around(self.radius), at.looks], dim=-1))
        mean, log_std = out.chunk(2, dim=-1)
        return mean, log_std.clamp(-5.0, 2.0).exp()


class MapPrior(nn.Module):
    """p(m | z): what the data would do from here, given the map around."""

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        self.action_dim = spec.action_dim
        self.obs_shape = grid_of(spec, spec.latent_dim)
        self.radius = radius_of(spec.stride)
        in_dim = (2 * self.radius + 1) ** 2 + NUM_LOOKS
        self.mlp = mlp(in_dim, 2 * spec.action_dim, spec.hidden_dim, 1)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and std (..., A) at latents (..., D)."""
        at = Latent.of(z, self.obs_shape)
        out = self.mlp(torch.cat([at.around(self.radius), at.looks], dim=-1))
        mean, log_std = out.chunk(2, dim=-1)
        return mean, log_std.clamp(-5.0, 2.0).exp()


class LooksVICReg:
    """VICReg on the looks alone: nothing else in such a latent is learned, or can collapse."""

    def __init__(
        self, *, first: int | float, variance: float = 1.0, covariance: float = 0.5
    ) -> None:
        """`first` is the index of the first look: width plus height of the grid."""
        self.looks = slice(int(first), int(first) + NUM_LOOKS)
        self.regulariser = VICReg(variance=variance, covariance=covariance)

    def __call__(self, z: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Terms `variance_loss` and `covariance_loss`, each (), of latents (M, D)."""
        return self.regulariser(z[:, self.looks], generator)
