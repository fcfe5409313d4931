"""What a search costs beyond the predictions that it needs, and trees beyond an evaluation."""

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
from hplan.config import Config, LevelConfig, level_configs
from hplan.energy import arrival_energy, step_cost, target_energy
from hplan.episodes import run_agent
from hplan.files import write_atomically
from hplan.level import Level
from hplan.search import find_search
from hplan.subgoal_tree import save_tree
from hplan.tree_summary import write_tree

BATCH_SIZE = 8
BANK_SIZE = 4096


@torch.no_grad()
def benchmark(
    levels: nn.ModuleList, configs: list[LevelConfig], *, num_repeats: int = 20
) -> list[dict[str, str | float]]:
    """Times each search beside the bare predictor forwards of the same batches, on one thread.

    The energy is L2 in the level's own latent, which costs next to nothing beside a network's.

    Args:
        levels, configs: a stack and its settings, bottom first; a stack of one level has no `cem`.
        num_repeats: of which the median counts.

    Returns:
        Rows of name, value, unit, reference (same unit), ratio (value to reference).
    """
    places = {"search/tree": 0, "search/categorical_cem": 0, "search/cem": 1}
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [
            _row(name, levels[k], configs[k], num_repeats)
            for name, k in places.items()
            if k < len(levels)
        ]
    finally:
        torch.set_num_threads(num_threads)


def _row(name: str, level: Level, config: LevelConfig, num_repeats: int) -> dict[str, str | float]:
    """Milliseconds of one search for `BATCH_SIZE` starts, and of its forwards alone."""
    planner = replace(config.planner, search=name.partition("/")[2])
    generator = torch.Generator().manual_seed(0)
    z, goal = torch.randn(2, BATCH_SIZE, level.latent_dim, generator=generator)

    def search() -> None:
        find_search(planner.search)(
            level,
            z,
            target_energy(level, goal, "l2"),
            cost=step_cost(level, "l2"),
            arrival=arrival_energy(level, planner.tolerance, "l2"),
            config=planner,
            warm_start=None,
            generator=generator,
        )

    batches = predictor_inputs(level, search)

    def forwards() -> None:
        for batch in batches:
            level.predictor(*batch)

    forwards()
    return timed_row(name, search, forwards, num_repeats)


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
        One row, as `benchmark`.
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
        settings=config.evaluation,
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
    writing = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
        for number, recording in episodes.recordings.items():
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
