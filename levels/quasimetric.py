"""A temporal distance that obeys the triangle inequality, whatever its weights."""

from typing import Any

import torch
from torch import Tensor, nn

from hplan.level import LevelSpec
from levels.layers import mlp

COMPONENTS, INTERVALS = 8, 8
SCALE = 10.0  # the distances of an untrained network are a few steps
CHUNK = 32_768  # numbers that stay in a CPU's cache; more at once is slower
GPU_CHUNK = 2_000_000


class QuasimetricDistance(nn.Module):
    """An interval quasimetric embedding, with the maxmean reduction.

    Here and there have the same embedding. A component of it is a set of coordinates, and its
    distance the length of the union of the intervals from each coordinate here up to the one there,
    which is empty where that is lower. So the way there and the way back differ, a state is at
    distance 0 from itself, and no detour is shorter. A learned share of the largest component and
    the rest of their mean is the distance.

    Source: Wang, Isola, "Improved representation of asymmetrical distances with interval
    quasimetric embeddings" (arXiv 2211.15120), IQE-maxmean.
    """

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        embedding_dim = INTERVALS * COMPONENTS
        self.here = mlp(spec.latent_dim, embedding_dim, spec.hidden_dim, spec.num_hidden)
        self.largest = nn.Parameter(torch.zeros(()))

    def steps(self, z: Tensor, goal: Tensor) -> Tensor:
        """Steps of the level (...,) from `z` to `goal`, (..., D) each, which may broadcast."""
        start = self._coordinates(z)
        end, order = self._coordinates(goal).sort(dim=-2, descending=True)
        shape = torch.broadcast_shapes(start.shape, end.shape)
        start = start.expand(shape).gather(-2, order.expand(shape))
        return self._reduced(_union_lengths(start.unbind(-2), end.unbind(-2)), -1)

    def all_steps(self, z: Tensor, goals: Tensor) -> Tensor:
        """Steps of the level (N, G) from each of `z` (N, D) to each of `goals` (G, D)."""
        starts = self._coordinates(z).flatten(1).T.contiguous()
        ends, order = self._coordinates(goals).sort(dim=-2, descending=True)
        rows = order * COMPONENTS + torch.arange(COMPONENTS, device=z.device)
        return self._reduced(_AllUnionLengths.apply(starts, ends, rows), 1).T

    def _coordinates(self, z: Tensor) -> Tensor:
        """The embedding (..., INTERVALS, COMPONENTS) of latents (..., D)."""
        return (SCALE * self.here(z)).unflatten(-1, (INTERVALS, COMPONENTS))

    def _reduced(self, lengths: Tensor, dim: int) -> Tensor:
        """One distance from those of the components, which lie along `dim`."""
        return torch.lerp(lengths.mean(dim), lengths.amax(dim), self.largest.sigmoid())


def _union_lengths(starts: tuple[Tensor, ...], ends: tuple[Tensor, ...]) -> Tensor:
    """Length (...) of the union of the intervals [start, end], (...) each, the last end first.

    Going from right to left, an interval adds what lies left of all that were before it.
    """
    length, left = (ends[0] - starts[0]).relu(), starts[0]
    for start, end in zip(starts[1:], ends[1:], strict=True):
        length = length + (torch.minimum(end, left) - start).relu()
        left = torch.minimum(left, start)
    return length


class _AllUnionLengths(torch.autograd.Function):
    """Union lengths of N starts with each of G ends, in chunks of G, also for the gradient.

    What autograd would keep of every pair is several times as large, and not in the cache.
    """

    @staticmethod
    def forward(ctx: Any, starts: Tensor, ends: Tensor, rows: Tensor) -> Tensor:
        """Lengths (G, COMPONENTS, N).

        Args:
            starts: (INTERVALS * COMPONENTS, N) coordinates.
            ends: (G, INTERVALS, COMPONENTS) sorted, the last first.
            rows: of the same shape; the row of `starts` where the same interval begins.
        """
        ctx.save_for_backward(starts, ends, rows)
        lengths = starts.new_empty(ends.shape[0], COMPONENTS, starts.shape[1])
        for chunk in _chunks(starts, ends):
            lengths[chunk] = _union_lengths(*_intervals(starts, ends[chunk], rows[chunk]))
        return lengths

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        starts, ends, rows = ctx.saved_tensors
        grad_starts, grad_ends = torch.zeros_like(starts), torch.empty_like(ends)
        for chunk in _chunks(starts, ends):
            start, end = _intervals(starts, ends[chunk], rows[chunk])
            of_starts, of_ends = _union_gradients(start, end, grad[chunk])
            grad_ends[chunk] = torch.stack([x.sum(-1) for x in of_ends], dim=1)
            for j, of_start in enumerate(of_starts):
                grad_starts.index_add_(0, rows[chunk, j].flatten(), of_start.flatten(0, 1))
        return grad_starts, grad_ends, None


def _chunks(starts: Tensor, ends: Tensor) -> list[slice]:
    """Slices of the goals whose pairs with all starts are few enough to go together."""
    most = CHUNK if starts.device.type == "cpu" else GPU_CHUNK
    size = max(1, most // (starts.shape[1] * COMPONENTS))
    return [slice(first, first + size) for first in range(0, ends.shape[0], size)]


def _intervals(
    starts: Tensor, ends: Tensor, rows: Tensor
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Starts (G, COMPONENTS, N) and ends (G, COMPONENTS, 1) of each interval."""
    chosen = starts.index_select(0, rows.flatten()).view(*rows.shape, -1)
    return chosen.unbind(1), ends.unsqueeze(-1).unbind(1)


def _union_gradients(
    starts: tuple[Tensor, ...], ends: tuple[Tensor, ...], grad: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients (...) of every start and end from that of the length: `_union_lengths` backwards.

    Where two are equal one of the subgradients is taken.
    """
    lefts = [torch.full_like(starts[0], torch.inf)]
    for start in starts[:-1]:
        lefts.append(torch.minimum(lefts[-1], start))
    of_left, of_starts, of_ends = torch.zeros_like(grad), [], []
    for start, end, left in zip(starts[::-1], ends[::-1], lefts[::-1], strict=True):
        added = grad.masked_fill(torch.minimum(end, left) <= start, 0.0)
        apart = added.masked_fill(end >= left, 0.0)
        of_new_left = of_left.masked_fill(start >= left, 0.0)
        of_starts.append(of_new_left - added)
        of_ends.append(apart)
        of_left = of_left - of_new_left + added - apart
    return of_starts[::-1], of_ends[::-1]
