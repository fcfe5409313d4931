"""Keeps what happened in some of the episodes; when all are over, measures and draws it.

The planner sees nothing of this. Observations are kept, encoded and drawn once each, however often
they occur.
"""

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from hplan.agent import Agent
from hplan.agent_state import Cause, PlanEvent
from hplan.drawing import Drawer, Pictured
from hplan.kept_plans import KeptEpisode, KeptPlan, measure, seek_nearest
from hplan.level_config import EnergyName
from hplan.subgoal_tree import ROOT, EnergyUnit, Outcome, PlanRecord, build_tree
from hplan.subgoal_tree import Cause as CauseName

UNITS: dict[EnergyName, EnergyUnit] = {
    "distance": "env steps",
    "l2": "squared latent difference",
    "smooth_l1": "smooth latent difference",
    "cosine": "one minus cosine",
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

    MADE_BECAUSE: dict[Cause, CauseName] = {
        Cause.START: "start", Cause.DONE: "done", Cause.CLOCK: "clock",
        Cause.TARGET: "target_changed", Cause.SURPRISE: "surprise",
        Cause.INFEASIBLE: "infeasible",
    }  # fmt: skip

    def __init__(
        self,
        agent: Agent,
        episodes: np.ndarray,
        *,
        goals: np.ndarray,
        bank: np.ndarray | None,
        task: object,
    ) -> None:
        """Keeps the plans of the `episodes` (numbers) of E.

        Args:
            goals: (E, *obs_shape) observations of the goals.
            bank: (M, *obs_shape) real observations that may stand for subgoals and targets.
            task: draws, if it is `Pictured`.
        """
        self.seconds = 0.0
        self._agent, self._goals, self._bank, self._task = agent, goals, bank, task
        self._episodes = {int(episode): KeptEpisode() for episode in episodes}
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
    def acted(self, actions: Tensor, running: np.ndarray) -> None:
        """The actions (E, A) of an env step, as the bottom encodes them, of those `running`.

        Only an agent that remembers needs them, to tell what it made of what it saw.
        """
        if self._agent.levels[0].memory_dim:
            for number, episode in self._episodes.items():
                if running[number]:
                    episode.actions.append(actions[number])

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
            because = self.MADE_BECAUSE[cause]
            # The plan before it ended for the same reason; by the clock its time was over.
            _end(episode, event.level, "expired" if because in ("clock", "start") else because, now)
            record = PlanRecord(
                plan=identity[i],
                parent=int(event.parent[i]),
                level=event.level,
                cause=because,
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
                predictor_evaluations=int(result.evaluations[i]),
                support=_finite(float(event.support[i])),
                subgoal=None,
                subgoal_distance=None,
                target=None,
                target_distance=None,
            )
            episode.running[event.level] = KeptPlan(
                record=record,
                target=event.target[i],
                target_level=event.target_level,
                energy_name=event.energy_name,
                subgoal=None if subgoals is None else subgoals[i],
                predicted=result.latents[i],
                above=episode.running[event.level + 1] if record.parent != ROOT else None,
            )
            episode.plans.append(episode.running[event.level])

    @_timed
    def episodes_ended(self, outcome: Outcome, ended: np.ndarray, now: int) -> None:
        """The episodes `ended` (E,) bool are over; all their plans end with them."""
        for number, episode in self._episodes.items():
            if ended[number]:
                for level in list(episode.running):
                    _end(episode, level, outcome, now)

    @_timed
    @torch.no_grad()
    def recordings(self) -> dict[int, Recording]:
        """Measures and draws all that was kept, by episode; to be called once, at the end."""
        bank, task = self._bank, self._task
        if self._observations:
            measure(self._agent, list(self._episodes.values()), self._observations)
        if bank is not None and len(bank):
            plans = [plan for episode in self._episodes.values() for plan in episode.plans]
            seek_nearest(self._agent.levels, plans, bank)
        draw = Drawer(task.picture) if isinstance(task, Pictured) else None
        found = {}
        for number, episode in self._episodes.items():
            plans = [plan.record for plan in episode.plans]
            pictures: dict[str, int] = {}
            observations, goal = [], None
            if draw is not None:
                seen = [draw(self._observations[index]) for index in episode.seen]
                observations = [pictures.setdefault(each, len(pictures)) for each in seen]
                goal = pictures.setdefault(draw(self._goals[number]), len(pictures))
                plans = [_with_pictures(p, goal, bank, draw, pictures) for p in episode.plans]
            found[number] = Recording(
                plans=plans, pictures=list(pictures), observations=observations, goal=goal
            )
        return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _end(episode: KeptEpisode, level: int, outcome: Outcome, now: int) -> None:
    plan = episode.running.pop(level, None)
    if plan is not None:
        plan.record = replace(plan.record, outcome=outcome, ended=now)


def _with_pictures(
    plan: KeptPlan, goal: int, bank: np.ndarray | None, draw: Drawer, pictures: dict[str, int]
) -> PlanRecord:
    record = plan.record
    if record.parent == ROOT:
        record = replace(record, target=goal, target_distance=0.0)
    if bank is not None:
        for name, index in plan.nearest.items():
            shown = pictures.setdefault(draw(bank[index]), len(pictures))
            record = replace(record, **{name: shown})
    return record
