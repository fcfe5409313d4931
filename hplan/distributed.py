"""Statistics over all processes, with gradients that match a single process.

Under data parallelism each rank computes the same loss from global statistics, and the gradients of
all ranks are averaged afterwards. The backward pass of an all-reduce sums the ranks' gradients,
which makes that average equal to the gradient of one process that holds the whole batch.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import FunctionCtx


def world_size() -> int:
    """Number of processes training together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


class _SumOverProcesses(torch.autograd.Function):
    """The sum over processes of a tensor, and in the backward pass of its gradient."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def global_sum(x: Tensor) -> Tensor:
    """Sum of `x` (any shape) over all processes, differentiable."""
    return _SumOverProcesses.apply(x) if world_size() > 1 else x


def global_mean(x: Tensor) -> Tensor:
    """Mean of `x` (M, ...) over its first axis and over all processes (equal M), differentiable."""
    return global_sum(x.mean(0)) / world_size()


def batch_randn(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """This process's share (B, ...) of normal noise drawn for the batch of all processes.

    One process with batch 2b and two with b so see the same noise. Drawn on the generator's device.
    """
    whole = torch.randn(
        (shape[0] * world_size(), *shape[1:]), generator=generator, device=generator.device
    )
    return whole[rank() * shape[0] : (rank() + 1) * shape[0]]


def batch_rand(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """As `batch_randn`, uniform in [0, 1)."""
    whole = torch.rand(
        (shape[0] * world_size(), *shape[1:]), generator=generator, device=generator.device
    )
    return whole[rank() * shape[0] : (rank() + 1) * shape[0]]
