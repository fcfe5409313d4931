"""What is kept of a plan while its episode runs, and what is measured of it afterwards."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from hplan.agent import Agent
from hplan.energy import arrival_energy, energy_left
from hplan.level import Level, encode_stack, remembered
from hplan.level_config import EnergyName
from hplan.subgoal_tree import ROOT, PlanRecord
from hplan.tree_checks import WITH_EPISODE

ENCODED_AT_ONCE = 256  # observations; more would only take more memory
SOUGHT_AT_ONCE = 1024  # subgoals and targets


@dataclass(kw_only=True)
class KeptPlan:
    """A plan being kept.

    Attributes:
        target: (D,) in the space of level `target_level`.
        subgoal: (D_k,) of its own level; None where it sets none.
        predicted: (H + 1, D_k) its latents.
        above: the plan that set its target; None where that is the goal.
        nearest: index of the observation in the bank that is nearest, to its "subgoal" and to its
            "target".
    """

    record: PlanRecord
    target: Tensor
    target_level: int
    energy_name: EnergyName
    subgoal: Tensor | None
    predicted: Tensor
    above: "KeptPlan | None"
    nearest: dict[str, int] = field(default_factory=dict)


@dataclass(kw_only=True)
class KeptEpisode:
    """An episode being kept: its plans, the running one of each level, what it saw at each step.

    Attributes:
        seen: which observation at each env step; actions: (A,) after each, as the bottom encodes
            it, where the agent remembers.
    """

    plans: list[KeptPlan] = field(default_factory=list)
    running: dict[int, KeptPlan] = field(default_factory=dict)
    seen: list[int] = field(default_factory=list)
    actions: list[Tensor] = field(default_factory=list)


def _encoded(levels: nn.ModuleList, obs: np.ndarray) -> list[Tensor]:
    """Latents [(U, D_k)] of observations (U, *obs_shape) at every level."""
    device, firsts = levels[0].move.device, range(0, len(obs), ENCODED_AT_ONCE)
    parts = [
        encode_stack(levels, torch.tensor(obs[first : first + ENCODED_AT_ONCE], device=device))
        for first in firsts
    ]
    return [torch.cat(of_level) for of_level in zip(*parts, strict=True)]


def _lived(
    levels: nn.ModuleList, episodes: list[KeptEpisode], obs: np.ndarray
) -> tuple[list[Tensor], list[list[int]]]:
    """Latents [(V, D_k)] that the agent had at every level, and which at each step of each episode.

    Where it remembers, each episode is gone through once more, with the actions it took.
    """
    bottom = levels[0]
    if not bottom.memory_dim:
        return _encoded(levels, obs), [episode.seen for episode in episodes]
    parts = torch.from_numpy(obs).to(bottom.move.device).split(ENCODED_AT_ONCE)
    features = torch.cat([bottom.encoder.features(part) for part in parts])
    walks: list[Tensor] = []
    steps: list[list[int]] = []
    for episode in episodes:
        num_steps = len(episode.seen)
        none_yet = features.new_zeros(0, bottom.action_dim)
        taken = torch.stack(episode.actions) if episode.actions else none_yet
        walk = remembered(bottom, features[episode.seen].unsqueeze(0), taken.unsqueeze(0))
        first = steps[-1][-1] + 1 if steps else 0
        steps.append(list(range(first, first + num_steps)))
        walks.append(walk.squeeze(0))
    z = torch.cat(walks)
    return [z, *encode_stack(levels[1:], z)], steps


def measure(agent: Agent, episodes: list[KeptEpisode], observations: list[np.ndarray]) -> None:
    """Gives every plan its energies while it ran, and ends as reached those that were."""
    latents, steps = _lived(agent.levels, episodes, np.stack(observations))
    alike: dict[tuple[int, EnergyName], list[tuple[KeptPlan, list[int]]]] = defaultdict(list)
    for episode, lived in zip(episodes, steps, strict=True):
        for plan in episode.plans:
            seen = lived[plan.record.made : plan.record.ended + 1]
            alike[plan.target_level, plan.energy_name].append((plan, seen))
    for (target_level, name), pairs in alike.items():
        level, counts = agent.levels[target_level], [len(seen) for _, seen in pairs]
        # As the level judges it in whose latents it is measured: that which set a subgoal, or that
        # in which a plan for the goal has its energy.
        arrival = arrival_energy(level, agent.configs[target_level].planner.tolerance, name)
        z = latents[target_level][[index for _, seen in pairs for index in seen]]
        targets = torch.stack([plan.target for plan, _ in pairs])
        repeats = torch.tensor(counts, device=targets.device)
        energies = energy_left(level, z, targets.repeat_interleave(repeats, dim=0), name)
        parts = zip(pairs, z.split(counts), energies.split(counts), strict=True)
        for (plan, _), passed, own in parts:
            is_met = bool(own[-1] <= arrival) or _came_true(plan, passed[-1], level)
            plan.record = _with_energies(plan.record, own.tolist(), is_met)


def _came_true(plan: KeptPlan, z: Tensor, level: Level) -> bool:
    """Whether `z` (D,) is as near to the subgoal as the predictions of `level` are to what is."""
    if plan.above is None:
        return False
    predicted = (plan.above.predicted == plan.target).all(-1).nonzero()
    if not len(predicted):
        return False
    errors, step = level.rollout_error, max(1, int(predicted[0]))
    return bool((z - plan.target).square().mean() <= errors[min(step, len(errors)) - 1])


def _with_energies(record: PlanRecord, energies: list[float | None], is_met: bool) -> PlanRecord:
    # What was replaced before a step was taken has reached nothing.
    is_reached = is_met and record.ended > record.made and record.outcome not in WITH_EPISODE
    outcome = "reached" if is_reached else record.outcome
    return replace(record, energies=energies, energy_ended=energies[-1], outcome=outcome)


def seek_nearest(levels: nn.ModuleList, plans: Sequence[KeptPlan], bank: np.ndarray) -> None:
    """Finds the observation of `bank` nearest to every subgoal and target, and how near it is.

    Each of the bank is encoded by itself, without a past that would lead there.
    """
    by_level: dict[int, list[tuple[KeptPlan, str, Tensor]]] = defaultdict(list)
    for plan in plans:
        if plan.subgoal is not None:
            by_level[plan.record.level].append((plan, "subgoal", plan.subgoal))
        if plan.record.parent != ROOT:  # the goal is shown as it is
            by_level[plan.target_level].append((plan, "target", plan.target))
    latents = _encoded(levels, bank) if by_level else []
    for k, own in by_level.items():
        # Several plans pursue the same subgoal, one after the other.
        sought, places = torch.stack([z for *_, z in own]).unique(dim=0, return_inverse=True)
        exact = "donot_use_mm_for_euclid_dist"  # a product of matrices blurs small distances
        nearest = torch.cat(
            [
                torch.cdist(part, latents[k], compute_mode=exact).argmin(1)
                for part in sought.split(SOUGHT_AT_ONCE)
            ]
        )
        gaps = (sought - latents[k][nearest]).square().mean(-1) / levels[k].move
        found = zip(own, nearest[places].tolist(), gaps[places].tolist(), strict=True)
        for (plan, name, _), index, gap in found:
            plan.nearest[name] = index
            plan.record = replace(plan.record, **{f"{name}_distance": gap})
