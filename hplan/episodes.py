"""Runs episodes, many at once, and keeps what happened in them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from hplan.agent import Agent
from hplan.agent_state import Cause
from hplan.dataset import ObservationSpec
from hplan.level import encode_stack
from hplan.recording import PlanLog, Recording


@runtime_checkable
class Worlds(Protocol):
    """B environments stepped together; whatever a task's `batch(starts)` returns."""

    def observe(self) -> np.ndarray:
        """(B, *obs_shape) observations."""

    def step(self, actions: np.ndarray) -> None:
        """Takes one action (B,) in each."""

    @property
    def states(self) -> np.ndarray:
        """(B, ...) what the task's rule of success looks at."""


@runtime_checkable
class Task(Protocol):
    """What an evaluation asks of a task. It may also be `hplan.drawing.Pictured`."""

    name: str
    spec: ObservationSpec

    def batch(self, starts: np.ndarray) -> Worlds:
        """Environments at `starts`."""

    def observe(self, states: np.ndarray) -> np.ndarray:
        """Observations of states; a goal's is made so too."""

    def is_success(self, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """(B,) bool."""

    def optimal_paths(self, starts: np.ndarray, goals: np.ndarray) -> list[list[int]]:
        """Actions of a shortest path for each pair."""


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """What happened in E episodes.

    Attributes:
        success: (E,) bool; env_steps: (E,) taken.
        evaluations, flops: (E,) predictor rows and FLOPs spent on planning.
        plans_by_level: (E, K); plans_by_cause: (E, number of `Cause`s).
        seconds: spent in the agent.
        recordings: of the episodes whose plans were kept, by episode.
        recording_seconds: what they took.
    """

    success: np.ndarray
    env_steps: np.ndarray
    evaluations: np.ndarray
    flops: np.ndarray
    plans_by_level: np.ndarray
    plans_by_cause: np.ndarray
    seconds: float
    recordings: dict[int, Recording]
    recording_seconds: float


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

    What is kept of them changes nothing in them.

    Args:
        starts, goals: (E, ...) states of the task.
        budgets: (E,) env steps allowed.
        keep_plans: of how many episodes, evenly spread over them, to keep a recording.
        bank: (M, *obs_shape) real observations among which each subgoal's nearest is looked for.
    """
    num_episodes, num_levels = len(starts), len(agent.levels)
    device = agent.levels[0].move.device
    worlds = task.batch(starts)
    goal_obs = task.observe(goals)
    goal_latents = encode_goals(agent, goal_obs)
    state = agent.start(num_episodes)
    success = task.is_success(worlds.states, goals)
    alive = ~success & (budgets > 0)
    env_steps = np.zeros(num_episodes, dtype=np.int64)
    totals = np.zeros((num_episodes, 2))
    by_level = np.zeros((num_episodes, num_levels), dtype=np.int64)
    by_cause = np.zeros((num_episodes, len(Cause)), dtype=np.int64)
    kept = np.linspace(0, num_episodes - 1, min(keep_plans, num_episodes)).astype(int)
    log = PlanLog(agent, kept)
    seconds, now, obs = 0.0, 0, worlds.observe()
    log.saw(obs, np.ones_like(alive))
    while alive.any():
        seen, running = torch.from_numpy(obs).to(device), torch.from_numpy(alive).to(device)
        began = time.perf_counter()
        actions, state, events = agent.act(state, seen, goal_latents, running, generator)
        seconds += time.perf_counter() - began
        for event in events:
            rows = event.rows.cpu().numpy()
            totals[rows] += (event.result.evaluations, event.flops)
            made = event.identity.cpu().numpy() > 0
            by_level[rows[made], event.level] += 1
            by_cause[rows[made], event.cause.cpu().numpy()[made]] += 1
            log.made(event, now)
        worlds.step(np.where(alive, actions.cpu().numpy(), 0))
        now += 1
        obs = worlds.observe()
        log.saw(obs, alive)
        env_steps += alive
        reached = alive & task.is_success(worlds.states, goals)
        success |= reached
        ended = reached | (alive & (env_steps >= budgets))
        log.episodes_ended(ended, success, now)
        alive = alive & ~ended
    recordings = log.recordings(goal_obs, bank, task)
    return Episodes(
        success=success,
        env_steps=env_steps,
        evaluations=totals[:, 0],
        flops=totals[:, 1],
        plans_by_level=by_level,
        plans_by_cause=by_cause,
        seconds=seconds,
        recordings=recordings,
        recording_seconds=log.seconds,
    )


@torch.no_grad()
def encode_goals(agent: Agent, obs: np.ndarray) -> list[Tensor]:
    """Latents [(B, D_k)] of goal observations (B, *obs_shape) at every level."""
    return encode_stack(agent.levels, torch.from_numpy(obs).to(agent.levels[0].move.device))


def run_random(
    task: Task, starts: np.ndarray, goals: np.ndarray, budgets: np.ndarray, *, seed: int
) -> Episodes:
    """Runs E episodes with actions drawn at random: the floor."""
    random = np.random.default_rng(seed)
    num_actions = task.spec.num_actions
    return _run_actions(
        task, starts, goals, budgets, lambda now: random.integers(0, num_actions, len(starts))
    )


def run_shortest_paths(
    task: Task, starts: np.ndarray, goals: np.ndarray, budgets: np.ndarray, *, seed: int
) -> Episodes:
    """Runs E episodes along exact shortest paths: the ceiling. `seed` is of no use to it."""
    paths = task.optimal_paths(starts, goals)
    longest = max(len(path) for path in paths)
    table = np.zeros((longest + 1, len(paths)), dtype=np.int64)
    for episode, path in enumerate(paths):
        table[: len(path), episode] = path
    return _run_actions(task, starts, goals, budgets, lambda now: table[min(now, longest)])


def _run_actions(
    task: Task,
    starts: np.ndarray,
    goals: np.ndarray,
    budgets: np.ndarray,
    choose: Callable[[int], np.ndarray],
) -> Episodes:
    """Runs E episodes with actions (E,) that need no planning, chosen by env step."""
    worlds = task.batch(starts)
    success = task.is_success(worlds.states, goals)
    env_steps = np.zeros(len(starts), dtype=np.int64)
    for now in range(int(budgets.max())):
        alive = ~success & (env_steps < budgets)
        if not alive.any():
            break
        worlds.step(np.where(alive, choose(now), 0))
        env_steps += alive
        success |= alive & task.is_success(worlds.states, goals)
    nothing = np.zeros(len(starts))
    return Episodes(
        success=success,
        env_steps=env_steps,
        evaluations=nothing,
        flops=nothing,
        plans_by_level=np.zeros((len(starts), 1), dtype=np.int64),
        plans_by_cause=np.zeros((len(starts), len(Cause)), dtype=np.int64),
        seconds=0.0,
        recordings={},
        recording_seconds=0.0,
    )
