"""A time budget for decisions has to suffice for the first round of every level's search."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from hplan.agent import Agent
from hplan.goals import Goals
from hplan.task import Task, looks_of

NO_TIME = 1e-9  # ms: each search stops after its first round


def check_budget(agent: Agent, task: Task, suite: Any) -> None:
    """Refuses an `agent.budget_ms` too small for one round at every level, on this machine.

    Args:
        suite: starts, goals, optimal_steps, all (E, ...).

    Raises:
        ValueError: says what one round takes.
    """
    budget = agent.settings.budget_ms
    if not budget:
        return
    farthest = np.argmax(suite.optimal_steps, keepdims=True)
    needed = first_plan_ms(agent, task, suite.starts[farthest], suite.goals[farthest])
    if needed > budget:
        raise ValueError(
            f"agent.budget_ms = {budget}; the first round of every level's search takes "
            f"{needed:.1f} ms here; give more, or 0 for no limit"
        )


def first_plan_ms(agent: Agent, task: Task, start: np.ndarray, goal: np.ndarray) -> float:
    """Milliseconds until the agent has its first plan at every level; the least of three.

    Args:
        start, goal: (1, ...) states of the task, far apart.
    """
    hurried = replace(agent, settings=replace(agent.settings, budget_ms=NO_TIME, feedback=0))
    device = agent.levels[0].move.device
    obs = torch.from_numpy(task.batch(start).observe()).to(device)
    goals = Goals.any_of(agent.levels, torch.from_numpy(looks_of(task, goal)).to(device))
    alive, spent = torch.ones(1, dtype=torch.bool, device=device), []
    for _ in range(3):
        began = time.perf_counter()
        hurried.act(hurried.start(1), obs, goals, alive, torch.Generator().manual_seed(0))
        spent.append(1000 * (time.perf_counter() - began))
    return min(spent)
