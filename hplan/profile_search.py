"""Where the time of planning goes: the agent's episodes under Python's profiler, on one thread."""

import cProfile
import re
import time
from dataclasses import dataclass, replace
from types import CodeType
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from hplan.agent import Agent
from hplan.config import Config
from hplan.episodes import run_agent
from hplan.level_config import level_configs

MATRIX_PRODUCTS = ("linear", "addmm", "baddbmm", "bmm", "matmul", "mm", "einsum", "conv2d")
LAYERS = ("layer_norm", "silu", "relu", "gelu", "softmax", "embedding", "cat")
EPISODES_PER_BIN, NUM_STEPS, NUM_SHOWN = 4, 30, 25


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The seconds of a run without the profiler, which makes small calls look dearer; and of its
    functions, the longest first: (name, seconds without what it called, calls).
    """

    seconds: float
    functions: list[tuple[str, float, int]]

    def share(self, names: tuple[str, ...]) -> float:
        """Share of the time that built-in functions of these names took."""
        return sum(seconds for name, seconds, _ in self.functions if name in names) / self.seconds


def profile_planning(levels: nn.ModuleList, config: Config, task: Any, *, fresh: bool) -> Profile:
    """Profiles a short evaluation of a stack.

    Args:
        task: one whose suite has bins.
        fresh: untrained, a stack finds all goals near, and every step surprises it; all of its
            levels plan nevertheless, for a tenth of the steps.
    """
    configs, num_steps = level_configs(config.hierarchy), NUM_STEPS
    if fresh:
        configs = [replace(c, planner=replace(c.planner, reach=0.0)) for c in configs]
        num_steps = max(1, NUM_STEPS // 10)
    agent = Agent(
        levels=levels,
        configs=configs,
        energy=config.evaluation.energy,
        settings=config.agent,
    )
    suite = task.suite(episodes_per_bin=EPISODES_PER_BIN, seed=0)
    profile, num_threads = cProfile.Profile(), torch.get_num_threads()

    def run(steps: int) -> float:
        budgets, generator = np.full(len(suite.starts), steps), torch.Generator().manual_seed(0)
        began = time.perf_counter()
        run_agent(agent, task, suite.starts, suite.goals, budgets, generator=generator)
        return time.perf_counter() - began

    torch.set_num_threads(1)
    try:
        run(1)  # what is done but once
        seconds = run(num_steps)
        profile.runcall(run, num_steps)
    finally:
        torch.set_num_threads(num_threads)
    entries = sorted(profile.getstats(), key=lambda entry: -entry.inlinetime)
    functions = [(_name(entry.code), entry.inlinetime, entry.callcount) for entry in entries]
    return Profile(seconds=seconds, functions=functions)


def show(profile: Profile) -> None:
    """Prints the functions that took most of the time, and the share of the networks."""
    console, table = Console(), Table("function", "own ms", "calls")
    for name, seconds, calls in profile.functions[:NUM_SHOWN]:
        table.add_row(name, f"{1000 * seconds:.0f}", str(calls))
    products, layers = profile.share(MATRIX_PRODUCTS), profile.share(LAYERS)
    console.print(table)
    console.print(
        f"{profile.seconds:.2f} s without the profiler: {products:.0%} in matrix products, "
        f"{layers:.0%} in the networks' other layers, {1 - products - layers:.0%} elsewhere"
    )


def _name(code: CodeType | str) -> str:
    """`file.py:12 function`, or the bare name of a built-in one."""
    if isinstance(code, str):
        method = re.search(r"method '(\w+)'", code)
        return method[1] if method else re.split(r"[ .]", code.strip("<>"))[-1]
    return f"{'/'.join(code.co_filename.split('/')[-2:])}:{code.co_firstlineno} {code.co_name}"
