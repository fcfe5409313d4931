"""Keeps what happened in some of the episodes; when all are over, measures and draws it.

The planner sees nothing of this. Observations are kept, encoded and drawn once each, however often
they occur.
"""

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor, nn

from hplan.agent import Agent
from hplan.agent_state import Cause, PlanEvent
from hplan.drawing import Drawer, Pictured
from hplan.energy import EnergyName, arrival_energy, energy_left
from hplan.level import encode_stack
from hplan.subgoal_tree import ROOT, EnergyUnit, Outcome, PlanRecord, build_tree
from hplan.subgoal_tree import Cause as CauseName

ENCODED_AT_ONCE = 256  # observations; more would only take more memory
SOUGHT_AT_ONCE = 1024  # subgoals and targets
UNITS: dict[EnergyName, EnergyUnit] = {
    "distance": "env steps",
    "l2": "squared latent difference",
}


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One episode, as it goes into its subgoal tree.

    Attributes:
        plans: in the order in which they were made.
        pictures, observations, goal: as in `hplan.subgoal_tree`.
    """

    plans: list[PlanRecord]
    pictures: list[str]
    observations: list[int]
    goal: int | None

    def tree(self, goal_info: dict[str, Any]) -> nx.DiGraph:
        """Its subgoal tree; `goal_info` holds what else there is to say about the episode."""
        seen = {"observations": self.observations, "goal": self.goal}
        return build_tree(self.plans, {**goal_info, **seen}, self.pictures)


@dataclass(kw_only=True)
class _Plan:
    """A plan being kept.

    Attributes:
        target: (D,) in the space of level `target_level`.
        subgoal: (D_k,) of its own level; None where it sets none.
        nearest: index of the observation in the bank that is nearest, to its "subgoal" and to its
            "target".
    """

    record: PlanRecord
    target: Tensor
    target_level: int
    energy_name: EnergyName
    subgoal: Tensor | None
    nearest: dict[str, int] = field(default_factory=dict)


@dataclass(kw_only=True)
class _Episode:
    """An episode being kept: its plans, the running one of each level, what it saw at each step."""

    plans: list[_Plan] = field(default_factory=list)
    running: dict[int, _Plan] = field(default_factory=dict)
    seen: list[int] = field(default_factory=list)


def _timed(method: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the time that a method of `PlanLog` takes to its `seconds`."""

    @functools.wraps(method)
    def timed(self: "PlanLog", *args: Any) -> Any:
        began = time.perf_counter()
        try:
            return method(self, *args)
        finally:
            self.seconds += time.perf_counter() - began

    return timed


class PlanLog:
    """Keeps the plans of some episodes and what was seen; a plan ends when the next is made.

    Attributes:
        seconds: spent in it so far.
    """

    ENDED_BY: dict[Cause, Outcome] = {
        Cause.DONE: "done", Cause.CLOCK: "expired", Cause.SURPRISE: "surprise",
        Cause.TARGET: "target_changed",
    }  # fmt: skip
    MADE_BECAUSE: dict[Cause, CauseName] = {
        Cause.START: "start", Cause.DONE: "done", Cause.CLOCK: "clock",
        Cause.SURPRISE: "surprise", Cause.TARGET: "target_changed",
    }  # fmt: skip

    def __init__(self, agent: Agent, episodes: np.ndarray) -> None:
        self.seconds = 0.0
        self._agent = agent
        self._episodes = {int(episode): _Episode() for episode in episodes}
        self._distinct: dict[bytes, int] = {}
        self._observations: list[np.ndarray] = []

    @_timed
    def saw(self, obs: np.ndarray, running: np.ndarray) -> None:
        """The observations (E, *obs_shape) of an env step, of the episodes `running` (E,) bool."""
        for episode, kept in self._episodes.items():
            if running[episode]:
                index = self._distinct.setdefault(obs[episode].tobytes(), len(self._distinct))
                if index == len(self._observations):
                    self._observations.append(obs[episode].copy())
                kept.seen.append(index)

    @_timed
    def made(self, event: PlanEvent, now: int) -> None:
        """New plans, at env step `now`."""
        rows, identity = event.rows.tolist(), event.identity.tolist()
        chosen = [i for i, row in enumerate(rows) if row in self._episodes and identity[i]]
        if not chosen:
            return
        result, subgoals, causes = event.result, event.subgoals, event.cause.tolist()
        for i in chosen:
            episode, cause = self._episodes[rows[i]], Cause(causes[i])
            _end(episode, event.level, self.ENDED_BY.get(cause, "expired"), now)
            record = PlanRecord(
                plan=identity[i],
                parent=int(event.parent[i]),
                level=event.level,
                cause=self.MADE_BECAUSE[cause],
                made=now,
                outcome="out_of_steps",
                ended=now,
                energy_before=float(event.before[i]),
                energy_promised=float(result.left[i]),
                energy_ended=None,
                energies=None,
                energy_unit=UNITS[event.energy_name],
                horizon=result.actions.shape[1],
                steps_promised=float(result.num_steps[i]) * self._agent.levels[event.level].stride,
                predictor_evaluations=result.evaluations,
                support=float(result.support[i]) if event.level else None,
                subgoal=None,
                subgoal_distance=None,
                target=None,
                target_distance=None,
            )
            episode.running[event.level] = _Plan(
                record=record,
                target=event.target[i],
                target_level=event.target_level,
                energy_name=event.energy_name,
                subgoal=None if subgoals is None else subgoals[i],
            )
            episode.plans.append(episode.running[event.level])

    @_timed
    def episodes_ended(self, ended: np.ndarray, success: np.ndarray, now: int) -> None:
        """The episodes `ended` (E,) are over; all their plans end with them."""
        for number, episode in self._episodes.items():
            if ended[number]:
                for level in list(episode.running):
                    _end(episode, level, "success" if success[number] else "out_of_steps", now)

    @_timed
    @torch.no_grad()
    def recordings(
        self, goals: np.ndarray, bank: np.ndarray | None, task: object
    ) -> dict[int, Recording]:
        """Measures and draws all that was kept, by episode; to be called once, at the end.

        Args:
            goals: (E, *obs_shape) observations of the goals.
            bank: (M, *obs_shape) real observations that may stand for subgoals and targets.
            task: draws, if it is `Pictured`.
        """
        if self._observations:
            _measure(self._agent, list(self._episodes.values()), self._observations)
        if bank is not None and len(bank):
            plans = [plan for episode in self._episodes.values() for plan in episode.plans]
            _seek_nearest(self._agent.levels, plans, bank)
        draw = Drawer(task.picture) if isinstance(task, Pictured) else None
        found = {}
        for number, episode in self._episodes.items():
            plans = [plan.record for plan in episode.plans]
            pictures: dict[str, int] = {}
            observations, goal = [], None
            if draw is not None:
                seen = [draw(self._observations[index]) for index in episode.seen]
                observations = [pictures.setdefault(each, len(pictures)) for each in seen]
                goal = pictures.setdefault(draw(goals[number]), len(pictures))
                plans = [_with_pictures(p, goal, bank, draw, pictures) for p in episode.plans]
            found[number] = Recording(
                plans=plans, pictures=list(pictures), observations=observations, goal=goal
            )
        return found


def _end(episode: _Episode, level: int, outcome: Outcome, now: int) -> None:
    plan = episode.running.pop(level, None)
    if plan is not None:
        plan.record = replace(plan.record, outcome=outcome, ended=now)


def _with_pictures(
    plan: _Plan, goal: int, bank: np.ndarray | None, draw: Drawer, pictures: dict[str, int]
) -> PlanRecord:
    record = plan.record
    if record.parent == ROOT:
        record = replace(record, target=goal, target_distance=0.0)
    if bank is not None:
        for name, index in plan.nearest.items():
            shown = pictures.setdefault(draw(bank[index]), len(pictures))
            record = replace(record, **{name: shown})
    return record


def _encoded(levels: nn.ModuleList, obs: np.ndarray) -> list[Tensor]:
    """Latents [(U, D_k)] of observations (U, *obs_shape) at every level."""
    device, firsts = levels[0].move.device, range(0, len(obs), ENCODED_AT_ONCE)
    parts = [
        encode_stack(levels, torch.tensor(obs[first : first + ENCODED_AT_ONCE], device=device))
        for first in firsts
    ]
    return [torch.cat(of_level) for of_level in zip(*parts, strict=True)]


def _measure(agent: Agent, episodes: list[_Episode], observations: list[np.ndarray]) -> None:
    """Gives every plan its energies while it ran, and ends as reached those that were."""
    latents = _encoded(agent.levels, np.stack(observations))
    alike: dict[tuple[int, EnergyName], list[tuple[_Plan, list[int]]]] = defaultdict(list)
    for episode in episodes:
        for plan in episode.plans:
            seen = episode.seen[plan.record.made : plan.record.ended + 1]
            alike[plan.target_level, plan.energy_name].append((plan, seen))
    for (target_level, name), pairs in alike.items():
        level, counts = agent.levels[target_level], [len(seen) for _, seen in pairs]
        # As the level that set a subgoal judges it, and as the search of a plan for the goal does.
        arrival = arrival_energy(level, agent.configs[target_level].planner.tolerance, name)
        z = latents[target_level][[index for _, seen in pairs for index in seen]]
        targets = torch.stack([plan.target for plan, _ in pairs])
        repeats = torch.tensor(counts, device=targets.device)
        energies = energy_left(level, z, targets.repeat_interleave(repeats, dim=0), name)
        for (plan, _), own in zip(pairs, energies.split(counts), strict=True):
            is_met = bool(own[-1] <= arrival)
            plan.record = _with_energies(plan.record, own.tolist(), is_met)


def _with_energies(record: PlanRecord, energies: list[float | None], is_met: bool) -> PlanRecord:
    with_its_episode = record.outcome in ("success", "out_of_steps")
    outcome = "reached" if is_met and not with_its_episode else record.outcome
    return replace(record, energies=energies, energy_ended=energies[-1], outcome=outcome)


def _seek_nearest(levels: nn.ModuleList, plans: Sequence[_Plan], bank: np.ndarray) -> None:
    """Finds the observation of `bank` nearest to every subgoal and target, and how near it is."""
    by_level: dict[int, list[tuple[_Plan, str, Tensor]]] = defaultdict(list)
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
