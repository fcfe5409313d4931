"""Guardrails: what plans must keep clear of, as violations of predicted latents; 0 is safe.

A guardrail acts at every level at which it can be evaluated. At the bottom it sees the latent of
every env step. A level above sees only where each of its steps ends, not the way there: it keeps
subgoals out of what is forbidden, and leaves it to the levels below to keep the way clear.
"""

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hplan.energy import Energy, levels_judged
from hplan.level import encode_stack
from hplan.probe import calibrate, fitted, held_out_states

logger = logging.getLogger(__name__)

FEWEST = 10  # labelled states of either kind: fewer would judge a probe by luck
FALSE_POSITIVE_RATE = 0.1


@runtime_checkable
class Labelled(Protocol):
    """A task that can tell, of some of its states, which are of a kind that a user names."""

    def labelled_states(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Observations (M, *obs_shape), and whether each is of the kind `name`, (M,) bool.

        Raises:
            ValueError: there is no such kind; the message says which there are.
        """


@dataclass(frozen=True, kw_only=True)
class Guardrail:
    """What is forbidden.

    Attributes:
        by_level: of every level, bottom first: how much latents (..., D_k) violate it, (...) >= 0;
            None where that cannot be told.
    """

    name: str
    by_level: list[Callable[[Tensor], Tensor] | None]


@dataclass(frozen=True, kw_only=True)
class Guard:
    """How much latents of one level violate its guardrails, all together.

    Whatever is violated at all counts as at least 1, so that no search weighs it against a detour;
    what is beyond that shows a search the way out. NaN counts as a violation, and what is below 0
    as none: it must not make up for another.
    """

    violations: list[Callable[[Tensor], Tensor]]

    def __call__(self, z: Float[Tensor, "B N D"]) -> Float[Tensor, "B N"]:
        """Violation (B, N) of latents (B, N, D)."""
        parts = [violation(z).to(z.dtype).nan_to_num(nan=1.0) for violation in self.violations]
        total = torch.stack(parts).clamp(min=0.0).sum(0)
        return total + (total > 0)

    def of(self, rows: Tensor) -> "Guard":
        """Itself: what is forbidden is so for every start."""
        return self


def guard_at(guardrails: list[Guardrail], k: int) -> Energy | None:
    """The guard of level `k`; None where none of the guardrails can be evaluated there."""
    found = [rail.by_level[k] for rail in guardrails]
    violations = [violation for violation in found if violation is not None]
    return Guard(violations=violations) if violations else None


def trained_probe(
    name: str, levels: nn.ModuleList, obs: Tensor, labels: Bool[Tensor, " M"], seed: int
) -> Guardrail:
    """A probe for each level, trained on labelled states, where it can tell them apart.

    Its threshold misses none of the forbidden states (`hplan.probe.calibrate`). A level at which
    `FALSE_POSITIVE_RATE` or more of the held-out safe states would then count as forbidden has no
    probe: its latents do not know. Those of a level above often no longer say exactly where one is.

    Args:
        obs: (M, *obs_shape).
        labels: (M,) whether each is forbidden.

    Raises:
        ValueError: too few states of either kind, or no level at which they can be told apart.
    """
    num_forbidden, num_safe = int(labels.sum()), int((~labels).sum())
    if min(num_forbidden, num_safe) < FEWEST:
        raise ValueError(
            f"agent.guardrails = {name!r}: {num_forbidden} of its states are labelled as forbidden "
            f"and {num_safe} as safe; allowed are {FEWEST} or more of each; label more states"
        )
    with torch.no_grad():
        latents = encode_stack(levels, obs.to(levels[0].move.device))
    held_out = held_out_states(labels, seed).to(latents[0].device)
    labels = labels.to(held_out.device)
    probes, rates = [], []
    for level, z in zip(levels, latents, strict=True):
        # Plans are judged by predicted latents, which are off by so much.
        noise = float(level.rollout_error.max().sqrt())
        probe = fitted(z[~held_out], labels[~held_out], noise, seed)
        rates.append(calibrate(probe, z, labels, held_out))
        probes.append(probe if rates[-1] < FALSE_POSITIVE_RATE else None)
    if all(probe is None for probe in probes):
        shares = ", ".join(f"{rate:.2f}" for rate in rates)
        raise ValueError(
            f"agent.guardrails = {name!r} cannot be told from the latents of any level: to miss "
            f"none of the forbidden states, shares of {shares} of the safe ones, bottom first, "
            f"would count as forbidden; allowed is less than {FALSE_POSITIVE_RATE}; "
            "label more states, or train the levels on data that holds such states"
        )
    return Guardrail(name=name, by_level=probes)


def build_guardrails(
    names: list[str], levels: nn.ModuleList, task: object, seed: int
) -> list[Guardrail]:
    """The guardrails that a user named: `module.function`, or a kind of states of the task.

    A function takes (level index, latents (..., D_k)) and returns violations (...) >= 0, or None
    where it says nothing of that level.

    Raises:
        ValueError: an unknown name, a function that cannot be imported or returns anything else,
            or labelled states that no level can tell apart.
    """
    rails = []
    for name in names:
        if "." in name:
            rails.append(_stated(name, levels))
        else:
            obs, labels = _labelled(name, task)
            rails.append(trained_probe(name, levels, obs, labels, seed))
        if rails[-1].by_level[0] is None:
            logger.warning(
                "agent.guardrails = %r cannot be evaluated at the bottom level: "
                "subgoals keep clear of it, but the way there may not",
                name,
            )
    return rails


def _stated(name: str, levels: nn.ModuleList) -> Guardrail:
    """The guardrail that a user states as the function at the import path `name`."""
    module, _, attribute = name.rpartition(".")
    path = f"agent.guardrails = {name!r}"
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be imported ({error}); allowed is module.function, or the name of "
            "states that the task has labelled"
        ) from error
    if not callable(function):
        raise ValueError(f"{path} is a {type(function).__name__}; allowed is module.function")
    judged = levels_judged(function, levels, path, least=0.0)
    if not any(judged):
        raise ValueError(f"{path} says nothing of any level; it must be evaluated at one at least")
    return Guardrail(
        name=name,
        by_level=[partial(function, k) if says else None for k, says in enumerate(judged)],
    )


def _labelled(name: str, task: object) -> tuple[Tensor, Tensor]:
    """Observations (M, *obs_shape) and labels (M,) bool of the task's states of the kind `name`."""
    if not isinstance(task, Labelled):
        raise ValueError(
            f"agent.guardrails = {name!r}, but the task has no labelled states; "
            "allowed is module.function of your own"
        )
    try:
        obs, labels = task.labelled_states(name)
    except ValueError as error:
        raise ValueError(
            f"agent.guardrails = {name!r}: {str(error).rstrip('.')}; or give module.function"
        ) from error
    if labels.dtype != np.bool_ or labels.shape != (len(obs),):
        raise ValueError(
            f"agent.guardrails = {name!r}: the task's labelled_states gave {labels.dtype} labels "
            f"{labels.shape} for observations {obs.shape}; allowed is one bool for each"
        )
    return torch.from_numpy(obs), torch.from_numpy(labels)
