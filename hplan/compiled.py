"""The networks that planning runs, compiled by torch.compile: the setting `agent.compile`.

On a GPU with CUDA graphs, which launch all kernels of a network at once: the networks here are so
small that launching costs more than computing. On a CPU the matrix products take the time, which
no compilation shortens: nothing is won there.
"""

import copy
import os
import shutil
from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hplan.level import Level

Outputs = Tensor | tuple[Tensor, ...]
Forward = Callable[..., Outputs]


def compiled(levels: nn.ModuleList) -> nn.ModuleList:
    """A stack to plan with: predictors, priors and distances of `levels` compiled.

    All tensors are shared with `levels`, which stays as it is, and so are the names in its
    `state_dict`. Compilation itself, some seconds for each network, waits for the first plan.
    Where gradients are recorded, as by a search that follows them, the networks run uncompiled.

    Args:
        levels: on the device on which they are to plan.

    Raises:
        ValueError: there is no compiler.
    """
    compilers = (os.environ.get("CXX", "c++"), "g++", "clang++", "cl")
    if not any(map(shutil.which, compilers)):
        raise ValueError(
            "agent.compile = true needs a C++ compiler, and there is none here; install g++, "
            "or leave agent.compile false"
        )
    shared = {id(tensor): tensor for tensor in [*levels.parameters(), *levels.buffers()]}
    levels = copy.deepcopy(levels, shared)
    for level in levels:
        on_gpu = level.move.is_cuda
        for network in _networks(level):
            fast = cache(partial(_compiled, network.forward, on_gpu=on_gpu))
            network.forward = forward_of(network.forward, fast, replays=on_gpu)
    return levels


def _networks(level: Level) -> list[nn.Module]:
    """What a search runs for each candidate."""
    networks = [level.predictor, level.action_prior, level.distance.here]
    return [network for network in networks if network is not None]


def _compiled(plain: Forward, *, on_gpu: bool) -> Forward:
    def call(*inputs: Tensor) -> Outputs:
        return plain(*inputs)

    # What torch compiled is kept with the code, and only so often; each network has its own.
    call.__code__ = call.__code__.replace()
    # Dynamic: the numbers of starts and candidates change from call to call.
    return torch.compile(call, dynamic=True, mode="reduce-overhead" if on_gpu else None)


def forward_of(plain: Forward, fast: Callable[[], Forward], *, replays: bool) -> Forward:
    """What `fast` gives in place of `plain`, for inputs (..., D) of any leading shape.

    Args:
        fast: asked only when it is needed, as importing torch's compiler takes seconds.
        replays: whether `fast` replays CUDA graphs. A graph is recorded for every number of rows
            that it meets, so rows are added up to the next power of two; and it writes its result
            where the last one was, so results are copied.
    """

    def forward(*inputs: Tensor) -> Outputs:
        shape, num_rows = inputs[0].shape[:-1], inputs[0].shape[:-1].numel()
        # A single row would be compiled for itself, as torch takes a 1 for a constant.
        if torch.is_grad_enabled() or num_rows < 2:
            return plain(*inputs)
        # Detached last, for a view would be compiled for itself too.
        rows = [x.reshape(num_rows, x.shape[-1]).contiguous().detach() for x in inputs]
        if not replays:
            outputs = fast()(*rows)
        else:
            missing = (1 << (num_rows - 1).bit_length()) - num_rows
            outputs = fast()(*(F.pad(x, (0, 0, 0, missing)) for x in rows))

        def shaped(x: Tensor) -> Tensor:
            return (x[:num_rows].clone() if replays else x).reshape(*shape, x.shape[-1])

        return shaped(outputs) if isinstance(outputs, Tensor) else tuple(map(shaped, outputs))

    return forward
