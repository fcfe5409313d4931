"""Where macro-actions may come from, so that a search does not leave what the data contains.

A search works on x, of about unit size; a support says which x are allowed, and what macro-actions
they stand for. The bank of real macro-actions, by which most of them judge, is a fact of the level
that validation measures (`hplan.diagnostics.validate`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hplan.level import Level
from hplan.level_config import PlannerConfig

PRIOR_BOUND = 2.5  # in std of the prior: candidates stay such as the data contains from there
RESIDUAL = 0.5
PERCENTILE = 98.0
LEAST_STD = 1e-6
BLOCK = 32  # of the bank; its size is a multiple
OPTIONS = {"prior": (), "bank": ("residual",), "box": ("percentile",), "free": ()}


@runtime_checkable
class Support(Protocol):
    """Turns what is searched, x of about unit size, into macro-actions of a level."""

    action_dim: int

    def project(self, x: Tensor) -> Tensor:
        """`x` (..., A) moved to the nearest that is allowed."""
        ...

    def macro_action(self, z: Tensor, x: Tensor) -> Tensor:
        """Macro-actions (..., A) for allowed `x` (..., A) at latents (..., D)."""
        ...


@dataclass(frozen=True, kw_only=True)
class PriorSupport:
    """What the data would do from here: x is the noise of the learned prior, within a bound.

    Source: a prior over macro-actions as in Dual-WM (arXiv 2609.37644); searching its noise, so
    that what is allowed depends on the latent, is ours.
    """

    prior: nn.Module
    action_dim: int

    def project(self, x: Float[Tensor, "*B A"]) -> Float[Tensor, "*B A"]:
        return x.clamp(-PRIOR_BOUND, PRIOR_BOUND)

    def macro_action(
        self, z: Float[Tensor, "*#B D"], x: Float[Tensor, "*#B A"]
    ) -> Float[Tensor, "*#B A"]:
        mean, std = self.prior(z)
        return mean + std * x


@dataclass(frozen=True, kw_only=True)
class DataSupport:
    """Where the data is: x is standardised by it, and `allow` says how near it has to stay.

    Attributes:
        allow: x (..., A) -> the nearest that is allowed.
        mean, std: (A,) of the bank.
    """

    allow: Callable[[Tensor], Tensor]
    mean: Tensor
    std: Tensor

    @property
    def action_dim(self) -> int:
        return self.mean.shape[-1]

    def project(self, x: Float[Tensor, "*B A"]) -> Float[Tensor, "*B A"]:
        return self.allow(x)

    def macro_action(
        self, z: Float[Tensor, "*#B D"], x: Float[Tensor, "*#B A"]
    ) -> Float[Tensor, "*#B A"]:
        return self.mean + self.std * x


@dataclass(frozen=True, kw_only=True)
class NearBank:
    """Moves x to within `residual` of its nearest entry of the bank.

    Source: Hi-LeWM-C (arXiv 2607.12547) draws candidates from a bank of encoded macro-actions and
    adds small noise to them; here any search may move, and the bank holds it.

    Attributes:
        entries: (M, A) the bank, standardised.
        half_squares: (M,) of their squared lengths.
        residual: in std of the data.
    """

    entries: Tensor
    half_squares: Tensor
    residual: float

    def __call__(self, x: Float[Tensor, "*B A"]) -> Float[Tensor, "*B A"]:
        # The nearest entry has the least |entry|^2 / 2 - x . entry: one matrix product for all.
        gaps = torch.addmm(
            self.half_squares, x.reshape(-1, x.shape[-1]), self.entries.T, alpha=-1.0
        )
        nearest = self.entries[_argmin(gaps)].view(x.shape)
        away = x - nearest
        length = away.norm(dim=-1, keepdim=True)
        return nearest + away * (self.residual / length.clamp(min=1e-12)).clamp(max=1.0)


@dataclass(frozen=True, kw_only=True)
class ActionBox:
    """All that the env takes: actions of the bottom level, scaled to [-1, 1]."""

    action_dim: int

    def project(self, x: Float[Tensor, "*B A"]) -> Float[Tensor, "*B A"]:
        return x.clamp(-1.0, 1.0)

    def macro_action(
        self, z: Float[Tensor, "*#B D"], x: Float[Tensor, "*#B A"]
    ) -> Float[Tensor, "*#B A"]:
        return x


def anywhere(x: Tensor) -> Tensor:
    """`x` as it is: a search only begins where the data is."""
    return x


def build_support(level: Level, config: PlannerConfig) -> Support | None:
    """The support that `config` names, for a level of macro-actions.

    At the bottom it is the box of what the env takes; None where its actions are discrete.

    Raises:
        ValueError: an option that it does not have or that cannot be, or no bank to build it from.
    """
    if level.num_actions:
        return None
    name, options = config.support, config.support_options
    check_support_options(config)
    if level.action_prior is None:
        return ActionBox(action_dim=level.action_dim)
    if name == "prior":
        return PriorSupport(prior=level.action_prior, action_dim=level.action_dim)
    if not level.is_bank_measured:
        raise ValueError(
            f"planner.support = {name!r} needs a bank of real macro-actions, which validation "
            "measures and this run does not have; train again, or take prior"
        )
    mean, std = level.bank.mean(0), _bank_std(level.bank)
    entries = (level.bank - mean) / std
    allow: Callable[[Tensor], Tensor] = anywhere
    if name == "bank":
        allow = NearBank(
            entries=entries,
            half_squares=0.5 * entries.square().sum(-1),
            residual=options.get("residual", RESIDUAL),
        )
    elif name == "box":
        # As HWM (arXiv 2604.03208): 2nd to 98th percentile of the training data's macro-actions.
        share = options.get("percentile", PERCENTILE) / 100
        least, most = entries.quantile(entries.new_tensor([1 - share, share]), dim=0)
        allow = partial(torch.clamp, min=least, max=most)
    return DataSupport(allow=allow, mean=mean, std=std)


def check_support_options(config: PlannerConfig) -> None:
    """Refuses options that the support does not have, and values that they cannot have."""
    known = OPTIONS[config.support]
    for name, value in config.support_options.items():
        path = f"planner.support_options.{name} = {value}"
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise ValueError(f"{path} of planner.support = {config.support!r}; allowed: {allowed}")
        if name == "residual" and not value >= 0:
            raise ValueError(f"{path}; allowed is 0 or more, in std of the data")
        if name == "percentile" and not 50 < value <= 100:
            raise ValueError(f"{path}; allowed is above 50, up to 100")


def support_percentile(level: Level, macro_actions: Float[Tensor, "B H A"]) -> Float[Tensor, "B H"]:
    """Where the distance of each to its nearest real one lies among those of the data's own.

    From 0 to 100; NaN where the level has no bank.
    """
    if not level.bank.shape[0]:
        return torch.full_like(macro_actions[..., 0], torch.nan)
    gaps, distances = level.bank_gaps, bank_distances(level.bank, macro_actions)
    above = torch.searchsorted(gaps, distances).clamp(1, len(gaps) - 1)
    below = gaps[above - 1]
    share = ((distances - below) / (gaps[above] - below).clamp(min=1e-12)).clamp(0.0, 1.0)
    return torch.where(level.is_bank_measured, above - 1 + share, torch.nan)


def bank_distances(
    bank: Float[Tensor, "M A"], macro_actions: Float[Tensor, "*B A"]
) -> Float[Tensor, "*B"]:
    """Distance to the nearest in the bank, each dimension in the bank's std."""
    std = _bank_std(bank)
    # The other way to compute it, by a matrix product, is off by 1e-3 where the distance is small.
    every = torch.cdist(
        (macro_actions / std).reshape(-1, bank.shape[-1]),
        bank / std,
        compute_mode="donot_use_mm_for_euclid_dist",
    )
    return every.amin(-1).view(macro_actions.shape[:-1])


def _argmin(gaps: Tensor) -> Tensor:
    """(P,) where the rows of (P, BANK_SIZE) are least.

    Least values are found much faster than where they are: of these only one block is searched.
    """
    blocks = gaps.unflatten(-1, (-1, BLOCK))
    block = blocks.amin(-1).argmin(-1)
    rows = torch.arange(gaps.shape[0], device=gaps.device)
    return block * BLOCK + blocks[rows, block].argmin(-1)


def _bank_std(bank: Tensor) -> Tensor:
    """(A,) above zero."""
    return bank.std(dim=0).clamp(min=LEAST_STD)
