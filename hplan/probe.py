"""A probe: a small network that tells from a latent whether its state is of a kind."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

HIDDEN_DIM = 64
NUM_UPDATES = 300
LEARNING_RATE = 1e-2
HELD_OUT = 0.2
MARGIN = 0.5  # of the logit


class Probe(nn.Module):
    """How sure a small network is that a latent is of a forbidden kind, beyond its threshold."""

    def __init__(self, z: Float[Tensor, "M D"], generator: torch.Generator) -> None:
        """A probe for latents spread like `z`, its weights drawn with `generator`."""
        super().__init__()
        width = z.shape[1]
        self.register_buffer("mean", z.mean(0))
        self.register_buffer("std", z.std(0).clamp(min=1e-6))
        self.register_buffer("threshold", z.new_zeros(()))
        first = torch.randn(width, HIDDEN_DIM, generator=generator) / width**0.5
        last = torch.randn(HIDDEN_DIM, generator=generator) / HIDDEN_DIM**0.5
        self.first, self.last = nn.Parameter(first), nn.Parameter(last)
        self.first_bias = nn.Parameter(torch.zeros(HIDDEN_DIM))
        self.last_bias = nn.Parameter(torch.zeros(()))
        self.to(z.device)

    def logit(self, z: Tensor) -> Tensor:
        """Log odds (...) that latents (..., D) are of the kind."""
        hidden = F.relu((z - self.mean) / self.std @ self.first + self.first_bias)
        return hidden @ self.last + self.last_bias

    def forward(self, z: Tensor) -> Tensor:
        """Violation (...) of latents (..., D): the logit beyond the threshold, 0 below it."""
        return F.relu(self.logit(z) - self.threshold)


def held_out_states(labels: Bool[Tensor, " M"], seed: int) -> Bool[Tensor, " M"]:
    """Which of M labelled states to hold out: the same share of either kind."""
    generator = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for kind in (True, False):
        states = (labels.cpu() == kind).nonzero().squeeze(1)
        drawn = torch.randperm(len(states), generator=generator)[: round(HELD_OUT * len(states))]
        held_out[states[drawn]] = True
    return held_out


def fitted(z: Tensor, labels: Tensor, noise: float, seed: int) -> Probe:
    """A probe trained on latents (M, D), noise of std `noise` added; both kinds weigh the same.

    Args:
        labels: (M,) whether each is of the kind.
        seed: draws its weights and the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    probe = Probe(z, generator)
    weight = (~labels).sum() / labels.sum()
    optimiser = torch.optim.Adam(probe.parameters(), lr=LEARNING_RATE)
    target = labels.to(z.dtype)
    with torch.enable_grad():
        for _ in range(NUM_UPDATES):
            noisy = z + noise * torch.randn(z.shape, generator=generator).to(z.device)
            loss = F.binary_cross_entropy_with_logits(probe.logit(noisy), target, pos_weight=weight)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return probe.requires_grad_(False)


def calibrate(probe: Probe, z: Tensor, labels: Tensor, held_out: Tensor) -> float:
    """Sets the threshold so that none of the latents (M, D) that are of the kind is missed.

    It is the lowest logit among them, held out or not, less `MARGIN`; or even odds, if lower.

    Args:
        labels: (M,) whether each is of the kind.
        held_out: (M,) those that the probe was not trained on.

    Returns:
        The share of the held-out ones not of the kind that would count as such.
    """
    probe.threshold.copy_((probe.logit(z[labels]).min() - MARGIN).clamp(max=0.0))
    return float((probe(z[held_out & ~labels]) > 0).float().mean())
