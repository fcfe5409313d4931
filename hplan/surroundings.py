"""What holds while training runs and no longer: determinism, quiet, other processes."""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def alone_afterwards() -> Iterator[None]:
    """Parts from the other processes afterwards: what follows is one process's business."""
    try:
        yield
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Same command, same seed, same weights; operations that cannot (on GPUs) only warn."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, hides nothing here
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = fill


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps Lightning's tips to itself."""
    talkers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [talker.level for talker in talkers]
    for talker in talkers:
        talker.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for module in ("pytorch_lightning", "lightning_fabric", "lightning_utilities"):
                warnings.filterwarnings("ignore", module=module)
            yield
    finally:
        for talker, level in zip(talkers, levels, strict=True):
            talker.setLevel(level)
