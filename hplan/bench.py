"""Timing one thing beside another, and what trees cost beyond the evaluation that they are of."""

import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from hplan.agent import Agent
from hplan.config import Config
from hplan.episodes import run_agent
from hplan.files import write_atomically
from hplan.level import Level
from hplan.level_config import level_configs
from hplan.subgoal_tree import save_tree
from hplan.tree_summary import write_tree

BANK_SIZE = 4096


def timed_row(
    name: str, run: Callable[[], object], compare: Callable[[], object], num_repeats: int
) -> dict[str, str | float]:
    """A row of the median milliseconds of `run`, and of `compare` as reference, taken in turn."""
    pairs = [(_milliseconds(run), _milliseconds(compare)) for _ in range(num_repeats)]
    value, reference = (statistics.median(times) for times in zip(*pairs, strict=True))
    return _row_of_ms(name, value, reference)


def _row_of_ms(name: str, value: float, reference: float) -> dict[str, str | float]:
    ratio = value / reference
    return {"name": name, "value": value, "unit": "ms", "reference": reference, "ratio": ratio}


def recording_benchmark(
    levels: nn.ModuleList,
    config: Config,
    task: Any,
    *,
    num_episodes: int = 80,
    num_kept: int = 20,
    num_steps: int = 60,
) -> list[dict[str, str | float]]:
    """Times the keeping and writing of subgoal trees beside the evaluation that they are of.

    Args:
        task: a task whose suite has bins, and that draws its observations.
        num_kept: of the episodes, which take `num_steps` env steps each.

    Returns:
        One row, as `timed_row`.
    """
    suite = task.suite(episodes_per_bin=math.ceil(num_episodes / len(task.bins)), seed=0)
    # Fresh weights find every goal within reach; with none, all levels plan.
    configs = [
        replace(level, planner=replace(level.planner, reach=0.0))
        for level in level_configs(config.hierarchy)
    ]
    agent = Agent(
        levels=levels,
        configs=configs,
        energy="distance",
        settings=config.agent,
    )
    began = time.perf_counter()
    episodes = run_agent(
        agent,
        task,
        suite.starts[:num_episodes],
        suite.goals[:num_episodes],
        np.full(num_episodes, num_steps),
        generator=torch.Generator().manual_seed(0),
        keep_plans=num_kept,
        bank=task.distances_to_a_goal(BANK_SIZE)[0],
    )
    recordings, writing = episodes.recordings, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
        for number, recording in recordings.items():
            tree = recording.tree({"num_levels": len(levels), "episode": number})
            save_tree(Path(folder) / f"{number}.json", tree)
            write_tree(writer, f"subgoals/{number}", tree, 0)
    ended = time.perf_counter()
    value, reference = episodes.recording_seconds + ended - writing, ended - began
    return [_row_of_ms("trees/record", 1000 * value, 1000 * reference)]


def predictor_inputs(level: Level, run: Callable[[], None]) -> list[tuple[Tensor, ...]]:
    """What the predictor of `level` is given while `run` runs."""
    batches: list[tuple[Tensor, ...]] = []
    handle = level.predictor.register_forward_pre_hook(lambda _, inputs: batches.append(inputs))
    try:
        run()
    finally:
        handle.remove()
    return batches


def write_report(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Prints rows of a benchmark as a table and writes them as JSON."""
    table = Table("name", "value", "unit", "reference", "ratio")
    for row in rows:
        numbers = [f"{row[key]:,.4g}" for key in ("value", "reference", "ratio")]
        table.add_row(row["name"], numbers[0], row["unit"], numbers[1], numbers[2])
    Console().print(table)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, json.dumps(rows, indent=2) + "\n")


def _milliseconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - began)
