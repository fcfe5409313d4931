"""What the world taught the agent in this episode: transitions that its model predicts wrongly.

A plan that fails once would be made again, for the model has not changed. So the agent keeps the
transitions that surprised it, and its searches follow these where the model would err. Predictions
of several steps drift, and a search finds the sequences of actions that drift past a correction;
so one that surprises again is matched more widely than before.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hplan.level import Level

SAME_ACTION = 0.1  # squared difference, of one-hot actions or of actions in [-1, 1]
WIDER = 1.6  # each time that a known transition surprises again
WIDEST = 6.0  # times the first radius


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """The last M surprising transitions in each of B environments, newest first.

    Attributes:
        starts: (B, M, D) latents from which, actions: (B, M, A), ends: (B, M, D) reached.
        radii: (B, M) mean squared difference per dimension within which a latent is at a start.
        radius: the same when a transition first surprises.
    """

    starts: Tensor
    actions: Tensor
    ends: Tensor
    radii: Tensor
    radius: float

    def of(self, rows: Tensor) -> "Corrections":
        """Those of the environments `rows`, indices or bool."""
        return replace(
            self,
            starts=self.starts[rows],
            actions=self.actions[rows],
            ends=self.ends[rows],
            radii=self.radii[rows],
        )

    def with_surprise(
        self, rows: Tensor, start: Tensor, action: Tensor, end: Tensor
    ) -> "Corrections":
        """With one more transition, (B, D), (B, A), (B, D), in the environments `rows` (R,)."""
        near = (self.starts - start.unsqueeze(1)).square().mean(-1) < self.radius
        again = near & ((self.actions - action.unsqueeze(1)).square().sum(-1) < SAME_ACTION)
        widest = (self.radii * again).amax(1)
        radii = (WIDER * widest).clamp(self.radius, WIDEST * self.radius)
        return replace(
            self,
            starts=_pushed(self.starts, rows, start),
            actions=_pushed(self.actions, rows, action),
            ends=_pushed(self.ends, rows, end),
            radii=_pushed(self.radii, rows, radii),
        )


def no_corrections(z: Tensor, action: Tensor, memory: int, radius: float) -> Corrections:
    """The corrections of B environments not yet surprised: room for M = `memory` transitions.

    Args:
        z: (B, D) and action: (B, A), of which only shape, type and device matter.
        radius: as in `Corrections`.
    """
    starts = z.new_zeros(z.shape[0], memory, z.shape[1])
    return Corrections(
        starts=starts,
        actions=action.new_zeros(z.shape[0], memory, action.shape[1]),
        ends=starts,
        radii=starts[..., 0],
        radius=radius,
    )


def _pushed(memory: Tensor, rows: Tensor, newest: Tensor) -> Tensor:
    """`memory` (B, M, ...) with `newest` (B, ...) put in front, in the environments `rows`."""
    result = memory.clone()
    result[rows, 1:] = memory[rows, :-1]
    result[rows, 0] = newest[rows]
    return result


def _squared(x: Tensor, known: Tensor) -> Tensor:
    """Squared differences (B, N, M) of each of `x` (B, N, P) to each of `known` (B, M, P)."""
    cross = torch.baddbmm(known.square().sum(-1).unsqueeze(1), x, known.transpose(1, 2), alpha=-2.0)
    return cross + x.square().sum(-1, keepdim=True)


class CorrectedLevel:
    """A level whose predictions follow the corrections; a search cannot tell it from a level."""

    def __init__(self, level: Level, corrections: Corrections) -> None:
        self.level = level
        self.corrections = corrections
        self.num_actions = level.num_actions

    def of(self, rows: Tensor) -> "CorrectedLevel":
        """For those of the environments that `rows` names, indices or bool."""
        return CorrectedLevel(self.level, self.corrections.of(rows))

    def predict(self, z: Tensor, action: Tensor) -> Tensor:
        """The latents (B, N, D) one step after `z` (B, N, D) under `action` (B, N, A)."""
        predicted, known = self.level.predict(z, action), self.corrections
        near = _squared(z, known.starts) < known.radii.unsqueeze(1) * z.shape[-1]
        hit = near & (_squared(action, known.actions) < SAME_ACTION)  # empty places have no radius
        found = hit.float().argmax(-1)  # the newest of those that fit
        rows = torch.arange(z.shape[0], device=z.device).unsqueeze(1)
        return torch.where(hit.any(-1, keepdim=True), known.ends[rows, found], predicted)
