"""What the world taught the agent in this episode: transitions that its model predicts wrongly.

A plan that fails once would be made again, for the model has not changed. So the agent keeps the
transitions that surprised it, and its searches follow these where the model would err. One that
surprised once may have been chance, such as traffic: where that is so they are followed only when
they have surprised or come true several times, and the step never led elsewhere as predicted.
Predictions of several steps drift, and a search finds the sequences of actions that drift past a
correction; so one that surprises again is matched more widely than before.
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
        times: (B, M) int64, how often in a row it has surprised or come true by now; 0 is none.
        radius: the same when a transition is first followed.
        confirmed: from how many times on that is.
    """

    starts: Tensor
    actions: Tensor
    ends: Tensor
    radii: Tensor
    times: Tensor
    radius: float
    confirmed: int

    def of(self, rows: Tensor) -> "Corrections":
        """Those of the environments `rows`, indices or bool."""
        return replace(
            self,
            starts=self.starts[rows],
            actions=self.actions[rows],
            ends=self.ends[rows],
            radii=self.radii[rows],
            times=self.times[rows],
        )

    def _same(self, start: Tensor, action: Tensor) -> Tensor:
        """(B, M) bool: which of them are of this start, (B, D), and this action, (B, A)."""
        near = (self.starts - start.unsqueeze(1)).square().mean(-1) < self.radius
        return near & ((self.actions - action.unsqueeze(1)).square().sum(-1) < SAME_ACTION)

    def with_surprise(
        self, rows: Tensor, start: Tensor, action: Tensor, end: Tensor
    ) -> "Corrections":
        """With one more transition, (B, D), (B, A), (B, D), in the environments `rows` (R,)."""
        again = self._same(start, action)
        widest = (self.radii * (again & (self.times >= self.confirmed))).amax(1)
        times = 1 + (self.times * again).amax(1)
        radii = (WIDER * widest).clamp(self.radius, WIDEST * self.radius)
        return replace(
            self,
            starts=_pushed(self.starts, rows, start),
            actions=_pushed(self.actions, rows, action),
            ends=_pushed(self.ends, rows, end),
            radii=_pushed(self.radii, rows, radii),
            times=_pushed(self.times, rows, times),
        )

    def tried_again(
        self, rows: Tensor, start: Tensor, action: Tensor, end: Tensor
    ) -> "Corrections":
        """With what a step that did not surprise says of those not confirmed.

        One that ended where the step ends has come true once more, as predicted or not: of a plan's
        steps the first may be predicted rightly and the second wrongly, again and again. One that
        ended elsewhere was chance, and is forgotten.

        Args:
            rows: (B,) bool, or indices (R,), of the environments.
            start: (B, D), action: (B, A) and end: (B, D) of the step.
        """
        here = torch.zeros_like(self.times[:, :1], dtype=torch.bool)
        here[rows] = True
        open_ = (self.times > 0) & (self.times < self.confirmed)
        same = self._same(start, action) & open_ & here
        alike = (self.ends - end.unsqueeze(1)).square().mean(-1) < self.radius
        times = (self.times + (same & alike)).masked_fill(same & ~alike, 0)
        return replace(self, times=times)


def no_corrections(
    z: Tensor, action: Tensor, memory: int, *, radius: float, confirmed: int
) -> Corrections:
    """The corrections of B environments not yet surprised: room for M = `memory` transitions.

    Args:
        z: (B, D) and action: (B, A), of which only shape, type and device matter.
        radius, confirmed: as in `Corrections`.
    """
    starts = z.new_zeros(z.shape[0], memory, z.shape[1])
    return Corrections(
        starts=starts,
        actions=action.new_zeros(z.shape[0], memory, action.shape[1]),
        ends=starts,
        radii=starts[..., 0],
        times=torch.zeros_like(starts[..., 0], dtype=torch.long),
        radius=radius,
        confirmed=confirmed,
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
        hit = near & (_squared(action, known.actions) < SAME_ACTION)
        hit &= (known.times >= known.confirmed).unsqueeze(1)
        found = hit.float().argmax(-1)  # the newest of those that fit
        rows = torch.arange(z.shape[0], device=z.device).unsqueeze(1)
        return torch.where(hit.any(-1, keepdim=True), known.ends[rows, found], predicted)
