"""The bottom level's actions where they are continuous."""

import torch
from torch import Tensor, nn

from hplan.level import LevelSpec


class BoxActions(nn.Module):
    """Scales actions so that the env's bounds are -1 and 1 in every dimension.

    The bounds are part of the weights: a stack that is loaded acts within those it was trained in.
    """

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        low, high = torch.tensor([spec.action_low, spec.action_high], dtype=torch.float32)
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    def forward(self, actions: Tensor) -> Tensor:
        """(..., A) in [-1, 1] of actions (..., A) in the env's units."""
        return 2.0 * (actions.float() - self.low) / (self.high - self.low) - 1.0

    def to_env(self, actions: Tensor) -> Tensor:
        """Actions (..., A) in the env's units, within its bounds, of (..., A)."""
        scaled = self.low + 0.5 * (actions + 1.0) * (self.high - self.low)
        return torch.minimum(torch.maximum(scaled, self.low), self.high)
