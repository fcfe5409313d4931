"""Compares planning methods on a task's suite of pairs, flat ones given no less work on average."""

import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import networkx as nx
import numpy as np
import torch
from torch import nn

from hplan.agent import Agent
from hplan.agent_state import Cause
from hplan.config import Config
from hplan.effort import scaled
from hplan.episodes import Episodes, run_agent, run_oracle, run_random
from hplan.finished_trials import FinishedTrial, FinishedTrials, evaluation_key
from hplan.flat_planning import best_given_work, work_per_step
from hplan.guardrails import build_guardrails
from hplan.level_config import EnergyName, level_configs
from hplan.protocol import protocol_card, step_budgets
from hplan.results import EpisodeOutcomes, summarise, write_results
from hplan.subgoal_tree import save_tree
from hplan.task import Solvable, Task
from hplan.time_budget import check_budget

logger = logging.getLogger(__name__)

METHODS = ("random", "flat", "flat_distance", "upper_energy", "hierarchical", "oracle")
BRIEF_METHODS = ("flat", "flat_distance", "hierarchical", "oracle")
FLAT: dict[str, EnergyName] = {"flat": "l2", "flat_distance": "distance"}  # with their energies
EARLY_CAUSES = {
    "surprise": Cause.SURPRISE, "infeasible": Cause.INFEASIBLE, "target_changed": Cause.TARGET
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One method with one energy, to be run on the whole suite.

    Attributes:
        run: given the predictor evaluations per env step that flat planning is to match.
    """

    method: str
    energy: EnergyName | Literal["none"]
    energy_level: int = 0
    run: Callable[[float], Episodes]


def evaluate(
    levels: nn.ModuleList,
    config: Config,
    task: Task,
    suite: Any,
    folder: Path | None,
    *,
    methods: list[str],
    keep_plans: int = 0,
    bank: np.ndarray | None = None,
    update: int | None = None,
    unfinished: Path | None = None,
    log_tree: Callable[[nx.DiGraph], None] | None = None,
    protocol: dict[str, Any] | None = None,
    report: Callable[[str], None] = logger.info,
) -> list[dict[str, Any]]:
    """Runs `methods` on a suite and returns the rows of its results.

    Args:
        suite: starts, goals, optimal_steps, bin_index, all (E, ...), bins and sha256.
        folder: where results.json, results.csv and the subgoal trees go; None writes nothing.
        keep_plans: subgoal trees to make, of episodes evenly spread over the suite.
        bank: (M, *obs_shape) real observations, of which the nearest stands for a subgoal in the
            trees; None leaves the subgoals out.
        update: optimiser update of the weights, for the trees.
        unfinished: a folder that keeps each method once it is finished, and from which those are
            taken that were when this evaluation was stopped; the caller removes it when nothing is
            left to do. None keeps nothing.
        log_tree: given each subgoal tree.
        protocol: further facts for the protocol card.
        report: told of each method when it is done.

    Raises:
        ValueError: an unknown method.
    """
    check_methods(methods, config)
    if "oracle" in methods and not isinstance(task, Solvable):
        methods = [method for method in methods if method != "oracle"]
        report(f"oracle: left out, no shortest ways are known in task {task.name!r}")
    budgets = step_budgets(config, suite)
    keep_plans = keep_plans if folder is not None or log_tree is not None else 0
    trials = _trials(levels, config, task, suite, budgets, methods, keep_plans, bank)
    finished = None
    if unfinished is not None:
        # Whatever else is asked for: a method that is in both lists need not be run again.
        alone = replace(config, evaluation=replace(config.evaluation, methods=[]))
        card = protocol_card(alone, task, suite, budgets) | (protocol or {})
        key = evaluation_key(
            card, levels, budgets=budgets, bank=bank, keep_plans=keep_plans, update=update
        )
        finished = FinishedTrials(folder=unfinished, key=key)
    run = partial(_measured, config=config, task=task, suite=suite, update=update)
    rows: list[dict[str, Any]] = []
    trees: dict[str, nx.DiGraph] = {}
    for done in _one_after_the_other(trials, run, finished, report):
        rows += done.rows
        trees |= done.trees
        for tree in done.trees.values() if log_tree is not None else ():
            log_tree(tree)
    if folder is not None:
        # Only now: an evaluation that was stopped leaves what was there before.
        shutil.rmtree(folder / "episodes", ignore_errors=True)
        for name, tree in trees.items():
            save_tree(folder / "episodes" / name, tree)
        card = protocol_card(config, task, suite, budgets) | (protocol or {})
        write_results(folder, card, rows)
    return rows


def check_methods(methods: list[str], config: Config) -> None:
    """Raises ValueError for a method that does not exist, or needs a distance never learned."""
    for method in methods:
        if method not in METHODS:
            raise ValueError(f"evaluation.methods has {method!r}; allowed are {', '.join(METHODS)}")
    by_distance = config.evaluation.energy == "distance" or "flat_distance" in methods
    if by_distance and not config.training.distance_updates:
        raise ValueError(
            "training.distance_updates = 0, so the run has no learned distance; give ENERGY=l2, "
            "and leave flat_distance out of evaluation.methods"
        )


def _trials(
    levels: nn.ModuleList,
    config: Config,
    task: Task,
    suite: Any,
    budgets: np.ndarray,
    methods: list[str],
    keep_plans: int,
    bank: np.ndarray | None,
) -> list[Trial]:
    """What is to be run; the hierarchy first: flat planning matches its work."""
    settings, effort = config.evaluation, config.agent.effort
    num_actions = task.spec.num_actions
    configs = [scaled(level, num_actions, effort) for level in level_configs(config.hierarchy)]
    guardrails = build_guardrails(config.agent.guardrails, levels, task, config.seed)

    def run(agent: Agent, keep: int = keep_plans) -> Episodes:
        return run_agent(
            agent,
            task,
            suite.starts,
            suite.goals,
            budgets,
            generator=torch.Generator().manual_seed(config.seed),
            keep_plans=keep,
            bank=bank,
        )

    whole = Agent(
        levels=levels,
        configs=configs,
        energy=settings.energy,
        settings=config.agent,
        guardrails=guardrails,
    )
    check_budget(whole, task, suite)
    bottom = replace(whole, levels=levels[:1], configs=configs[:1])
    trials = []
    if "hierarchical" in methods:
        trials.append(
            Trial(method="hierarchical", energy=settings.energy, run=lambda work: run(whole))
        )
    for method, energy in FLAT.items():
        if method in methods:
            best = partial(best_given_work, replace(bottom, energy=energy), run=run)
            trials.append(Trial(method=method, energy=energy, run=best))
    if "upper_energy" in methods:
        for k in range(1, len(levels)):
            trials.append(
                Trial(
                    method="upper_energy",
                    energy=settings.energy,
                    energy_level=k,
                    run=lambda work, k=k: run(replace(whole, measured_at=k), 0),
                )
            )
    for method, runner in (("random", run_random), ("oracle", run_oracle)):
        if method in methods:
            done = partial(runner, task, suite.starts, suite.goals, budgets, seed=config.seed)
            trials.append(Trial(method=method, energy="none", run=lambda work, done=done: done()))
    return trials


def _one_after_the_other(
    trials: list[Trial],
    run: Callable[[Trial, float], FinishedTrial],
    finished: FinishedTrials | None,
    report: Callable[[str], None],
) -> Iterator[FinishedTrial]:
    """Every trial, taken from the `finished` or run, given the work that it is to match."""
    hierarchy = 0.0
    for trial in trials:
        work = hierarchy if trial.method in FLAT else 0.0
        run_it = partial(run, trial, work)
        name = f"{trial.method}-{trial.energy_level}"
        done = run_it() if finished is None else finished.taken_or_run(name, work, run_it)
        report(f"{trial.method} ({trial.energy}): {done.summary}")
        yield done
        if trial.method == "hierarchical":
            hierarchy = done.work


def _measured(
    trial: Trial, work: float, *, config: Config, task: Task, suite: Any, update: int | None
) -> FinishedTrial:
    """Runs a trial, flat planning given no less than `work`, and makes of it what remains."""
    episodes = trial.run(work)
    outcomes = _outcomes(trial, episodes, config, task, suite)
    return FinishedTrial(
        rows=summarise(outcomes, suite.bins),
        trees={
            f"{trial.method}-{episode:05d}.json": tree
            for episode, tree in _trees(trial, episodes, task, suite, update)
        },
        work=work_per_step(episodes),
        summary=f"{outcomes.success.mean():.0%} of {len(outcomes.success)} episodes, "
        f"{episodes.seconds:.0f} s",
    )


def _outcomes(
    trial: Trial, episodes: Episodes, config: Config, task: Task, suite: Any
) -> EpisodeOutcomes:
    num_levels = 1 if trial.method in FLAT else config.hierarchy.num_levels

    def at_all_levels(values: np.ndarray) -> np.ndarray:
        """(E, K) of those below, zero where a method has no such level."""
        full = np.zeros((len(values), num_levels), dtype=values.dtype)
        full[:, : values.shape[1]] = values
        return full

    return EpisodeOutcomes(
        method=trial.method,
        energy=trial.energy,
        energy_level=trial.energy_level,
        num_levels=num_levels,
        task=task.name,
        success=episodes.success,
        env_steps=episodes.env_steps,
        stuck=episodes.stuck,
        refused=episodes.refused,
        unsafe=episodes.unsafe,
        bin_index=suite.bin_index,
        optimal_steps=suite.optimal_steps,
        predictor_evaluations_by_level=at_all_levels(episodes.evaluations_by_level),
        flops=episodes.flops,
        plan_seconds=episodes.seconds,
        replans_by_level=at_all_levels(episodes.plans_by_level),
        early_replans_by_cause={
            name: episodes.plans_by_cause[:, cause] for name, cause in EARLY_CAUSES.items()
        },
    )


def _trees(
    trial: Trial, episodes: Episodes, task: Task, suite: Any, update: int | None
) -> Iterator[tuple[int, nx.DiGraph]]:
    """The subgoal tree of each episode whose plans were kept."""
    for episode, recording in episodes.recordings.items():
        tree = recording.tree(
            {
                "num_levels": episodes.plans_by_level.shape[1],
                "task": task.name,
                "method": trial.method,
                "energy": trial.energy,
                "pair": f"{suite.sha256[:12]}-{episode}",
                "episode": episode,
                "bin": suite.bins[suite.bin_index[episode]][0],
                "update": update,
                "env_steps": int(episodes.env_steps[episode]),
                "optimal_steps": int(suite.optimal_steps[episode]),
                **{
                    name: bool(getattr(episodes, name)[episode])
                    for name in ("success", "stuck", "refused", "unsafe")
                },
            }
        )
        yield episode, tree
