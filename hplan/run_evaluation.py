"""A run's evaluation: which pairs, where results go, what terminal and TensorBoard show of it."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from hplan.config import Config
from hplan.dashboard import log_evaluation, log_latents, log_rows
from hplan.evaluation import BRIEF_METHODS, evaluate
from hplan.files import as_file_name
from hplan.results import print_table
from hplan.run import is_main_process
from hplan.shell import say
from hplan.task import KnownDistances
from hplan.tree_summary import tree_tag, write_tree

logger = logging.getLogger(__name__)

BRIEF_SUITE = 1_000_000  # added to the suite's seed
PROBE_SUITE = 2_000_000
UNFINISHED = ".unfinished"  # beside the results: the methods that are finished, until all are
PROJECTED_STATES = 1000  # in TensorBoard's Projector


def evaluate_run(
    config: Config,
    task: Any,
    levels: nn.ModuleList,
    run_dir: Path,
    bank: np.ndarray | None,
    *,
    update: int,
    brief: bool,
) -> None:
    """Runs the methods on the suite, prints the table, and writes results beside the run.

    `brief` is the short form that ends `train`: fewer episodes, and the methods that decide. The
    whole one, asked for again after it was stopped, goes on after the methods that are finished.
    """
    settings = config.evaluation
    # Pairs of its own for the short form: who tunes by it does not tune on the suite.
    suite = task.suite(
        episodes_per_bin=settings.brief_episodes_per_bin if brief else settings.episodes_per_bin,
        seed=settings.suite_seed + (BRIEF_SUITE if brief else 0),
    )
    name = (
        as_file_name(task.name)
        + ("" if settings.energy == "distance" else f"-{settings.energy}")
        + ("-brief" if brief else "")
    )
    folder, shown = run_dir / "eval" / name, run_dir / "tensorboard" / f"eval-{name}"
    trees: list[nx.DiGraph] = []
    rows = evaluate(
        levels.eval(),
        config,
        task,
        suite,
        folder,
        methods=[m for m in settings.methods if not brief or m in BRIEF_METHODS],
        keep_plans=settings.num_trees,
        bank=bank,
        update=update,
        unfinished=None if brief else folder / UNFINISHED,
        log_tree=trees.append,
        report=say,
    )
    # Only now: an evaluation that was stopped leaves what was there before.
    shutil.rmtree(shown, ignore_errors=True)
    with SummaryWriter(str(shown)) as writer:
        for tree in trees:
            write_tree(writer, tree_tag(tree, name), tree, update)
        log_evaluation(writer, config, rows, update)
        if isinstance(task, KnownDistances):
            log_latents(writer, levels, *task.distances_to_a_goal(PROJECTED_STATES), update)
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    print_table(rows)
    say(f"results: {folder / 'results.json'}")


def training_probe(
    config: Config, task: Any, levels: nn.ModuleList, bank: np.ndarray
) -> Callable[[SummaryWriter, int], None] | None:
    """What looks at the agent while it learns: a few episodes, and their trees, in TensorBoard."""
    settings, training = config.evaluation, config.training
    if not settings.during_training or not is_main_process():
        return None
    suite = task.suite(
        episodes_per_bin=settings.during_training, seed=settings.suite_seed + PROBE_SUITE
    )
    name = f"{as_file_name(task.name)}-training"

    def probe(writer: SummaryWriter, update: int) -> None:
        has_distance = update > training.num_updates - training.distance_updates
        energy = settings.energy if has_distance else "l2"
        try:
            rows = evaluate(
                levels,
                replace(config, evaluation=replace(settings, energy=energy)),
                task,
                suite,
                None,
                methods=["hierarchical"],
                keep_plans=len(suite.starts),
                bank=bank,
                update=update,
                log_tree=lambda tree: write_tree(writer, tree_tag(tree, name), tree, update),
            )
        except ValueError as error:  # such as an environment's: training is not lost by it
            logger.warning(f"after update {update} the agent was not looked at: {error}")
            return
        log_rows(writer, rows, update)

    return probe
