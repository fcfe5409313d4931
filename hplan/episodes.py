"""Runs episodes, many at once, and keeps what happened in them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from hplan.agent import Agent
from hplan.agent_state import Cause, PlanEvent
from hplan.goals import Goals
from hplan.recording import PlanLog, Recording
from hplan.task import Halting, Hazardous, Solvable, Task, Worlds, looks_of


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """What happened in E episodes.

    Attributes:
        success: (E,) bool; env_steps: (E,) taken.
        stuck: (E,) bool, failed, and the agent itself reported at the end that it was stuck.
        refused: (E,) bool, ended by the agent: no plan kept clear of what is forbidden.
        unsafe: (E,) bool, ended by what never should happen.
        evaluations_by_level: (E, K) predictor rows spent on planning; flops: (E,).
        plans_by_level: (E, K); plans_by_cause: (E, number of `Cause`s).
        seconds: spent in the agent.
        log: holds the recordings; None where nothing was kept.
    """

    success: np.ndarray
    env_steps: np.ndarray
    stuck: np.ndarray
    refused: np.ndarray
    unsafe: np.ndarray
    evaluations_by_level: np.ndarray
    flops: np.ndarray
    plans_by_level: np.ndarray
    plans_by_cause: np.ndarray
    seconds: float
    log: PlanLog | None

    @property
    def evaluations(self) -> np.ndarray:
        """(E,) predictor rows of all levels."""
        return self.evaluations_by_level.sum(1)

    @cached_property
    def recordings(self) -> dict[int, Recording]:
        """By episode, of those whose plans were kept; measured and drawn when first asked for."""
        return {} if self.log is None else self.log.recordings()

    @property
    def recording_seconds(self) -> float:
        """What the keeping has taken, and the recordings if they have been asked for."""
        return 0.0 if self.log is None else self.log.seconds


class _Spent:
    """The work of E episodes so far; attributes as in `Episodes`."""

    def __init__(self, num_episodes: int, num_levels: int) -> None:
        self.evaluations_by_level = np.zeros((num_episodes, num_levels))
        self.flops = np.zeros(num_episodes)
        self.plans_by_level = np.zeros((num_episodes, num_levels), dtype=np.int64)
        self.plans_by_cause = np.zeros((num_episodes, len(Cause)), dtype=np.int64)

    def add(self, event: PlanEvent) -> None:
        rows, made = event.rows.cpu().numpy(), event.identity.cpu().numpy() > 0
        self.evaluations_by_level[rows, event.level] += event.result.evaluations.cpu().numpy()
        self.flops[rows] += event.flops.cpu().numpy()
        self.plans_by_level[rows[made], event.level] += 1
        self.plans_by_cause[rows[made], event.cause.cpu().numpy()[made]] += 1


def run_agent(
    agent: Agent,
    task: Task,
    starts: np.ndarray,
    goals: np.ndarray,
    budgets: np.ndarray,
    *,
    generator: torch.Generator,
    keep_plans: int = 0,
    bank: np.ndarray | None = None,
) -> Episodes:
    """Runs E episodes with an agent, all at once.

    What is kept of them changes nothing in them. An episode in which the agent refuses to act ends
    there, without a further step; one that becomes unsafe ends there, without success.

    Args:
        starts, goals: (E, ...) states of the task, which may be `Hazardous`.
        budgets: (E,) env steps allowed.
        keep_plans: of how many episodes, evenly spread over them, to keep a recording.
        bank: (M, *obs_shape) real observations among which each subgoal's nearest is looked for.
    """
    num_episodes, device = len(starts), agent.levels[0].move.device
    worlds, goal_obs = task.batch(starts), looks_of(task, goals)
    sought = Goals.any_of(agent.levels, torch.from_numpy(goal_obs).to(device))
    state, spent = agent.start(num_episodes), _Spent(num_episodes, len(agent.levels))
    success = task.is_success(worlds.states, goals)
    alive = ~success & (budgets > 0)
    stuck, refused, unsafe = np.zeros((3, num_episodes), dtype=bool)
    env_steps = np.zeros(num_episodes, dtype=np.int64)
    kept = np.linspace(0, num_episodes - 1, min(keep_plans, num_episodes)).astype(int)
    log = PlanLog(agent, kept, goals=goal_obs[:, 0], bank=bank, task=task)
    seconds, now, obs = 0.0, 0, worlds.observe()
    log.saw(obs, np.ones_like(alive))
    while alive.any():
        seen, running = torch.from_numpy(obs).to(device), torch.from_numpy(alive).to(device)
        began = time.perf_counter()
        actions, state, events = agent.act(state, seen, sought, running, generator)
        chosen = actions.cpu().numpy()
        seconds += time.perf_counter() - began
        spent.evaluations_by_level[alive, 0] += agent.rows_per_step
        for event in events:
            spent.add(event)
            log.made(event, now)
        refusing = alive & state.refused.cpu().numpy()
        log.episodes_ended("refused", refusing, now)
        moving = alive & ~refusing
        log.acted(state.last_action, moving)
        _step(worlds, chosen, moving)
        now += 1
        obs = worlds.observe()
        log.saw(obs, moving)
        env_steps += moving
        harmed = moving & _is_unsafe(task, worlds.states)
        reached = moving & ~harmed & task.is_success(worlds.states, goals)
        late = moving & ~harmed & ~reached & (env_steps >= budgets)
        for outcome, episodes in (("unsafe", harmed), ("success", reached), ("out_of_steps", late)):
            log.episodes_ended(outcome, episodes, now)
        success, refused, unsafe = success | reached, refused | refusing, unsafe | harmed
        stuck |= (refusing | harmed | late) & state.is_stuck.cpu().numpy()
        alive = moving & ~harmed & ~reached & ~late
    return Episodes(
        success=success,
        env_steps=env_steps,
        stuck=stuck,
        refused=refused,
        unsafe=unsafe,
        **vars(spent),
        seconds=seconds,
        log=log,
    )


def _step(worlds: Worlds, actions: np.ndarray, moving: np.ndarray) -> None:
    """Takes `actions`, (B, ...), and zeros where an episode is over, `moving` (B,) false.

    Most worlds step all at once, and may as well step those; others need not.
    """
    if isinstance(worlds, Halting):
        worlds.halt(~moving)
    still = np.zeros_like(actions)
    worlds.step(np.where(moving.reshape(-1, *[1] * (actions.ndim - 1)), actions, still))


def _is_unsafe(task: Task, states: np.ndarray) -> np.ndarray:
    """(B,) bool."""
    if not isinstance(task, Hazardous):
        return np.zeros(len(states), dtype=bool)
    return task.is_unsafe(states)


def run_random(
    task: Task, starts: np.ndarray, goals: np.ndarray, budgets: np.ndarray, *, seed: int
) -> Episodes:
    """Runs E episodes with actions drawn at random: the floor."""
    random = np.random.default_rng(seed)
    return _run_actions(
        task, starts, goals, budgets, lambda states: task.spec.random_actions(random, len(states))
    )


def run_oracle(
    task: Solvable, starts: np.ndarray, goals: np.ndarray, budgets: np.ndarray, *, seed: int
) -> Episodes:
    """Runs E episodes with the task's own oracle: the ceiling. `seed` is of no use to it."""
    return _run_actions(
        task, starts, goals, budgets, lambda states: task.optimal_actions(states, goals)
    )


def _run_actions(
    task: Task,
    starts: np.ndarray,
    goals: np.ndarray,
    budgets: np.ndarray,
    choose: Callable[[np.ndarray], np.ndarray],
) -> Episodes:
    """Runs E episodes with actions that need no planning, (E, ...), chosen by states (E, ...)."""
    num_episodes, worlds = len(starts), task.batch(starts)
    success = task.is_success(worlds.states, goals)
    unsafe = np.zeros(num_episodes, dtype=bool)
    env_steps = np.zeros(num_episodes, dtype=np.int64)
    for _ in range(int(budgets.max())):
        alive = ~success & ~unsafe & (env_steps < budgets)
        if not alive.any():
            break
        _step(worlds, choose(worlds.states), alive)
        env_steps += alive
        unsafe |= alive & _is_unsafe(task, worlds.states)
        success |= alive & ~unsafe & task.is_success(worlds.states, goals)
    return Episodes(
        success=success,
        env_steps=env_steps,
        stuck=np.zeros(num_episodes, dtype=bool),
        refused=np.zeros(num_episodes, dtype=bool),
        unsafe=unsafe,
        **vars(_Spent(num_episodes, 1)),
        seconds=0.0,
        log=None,
    )
