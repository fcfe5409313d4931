"""What each search costs beyond the forwards that it needs."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from hplan.bench import timed_row
from hplan.energy import TargetEnergy, step_cost
from hplan.level import Level
from hplan.level_config import LevelConfig, PlannerConfig
from hplan.peers_bench import (
    ACTION_DIM,
    HORIZON,
    LATENT_DIM,
    NUM_CANDIDATES,
    NUM_ELITES,
    NUM_ROUNDS,
    NUM_WARM_UPS,
    AnyMacroAction,
    small_level,
)
from hplan.search import CONTINUOUS_SEARCHES, find_search
from hplan.search.problem import Problem
from hplan.support import build_support

BATCH_SIZE = 8
NONE_ARRIVES = -1.0
Call = tuple[nn.Module, tuple[Tensor, ...]]


def benchmark(
    levels: nn.ModuleList, configs: list[LevelConfig], *, num_repeats: int = 20
) -> list[dict[str, str | float]]:
    """Times each search beside the bare forwards of the same batches, on one thread.

    Sampling searches and gradient descent run on the small model of `hplan.peers_bench`, for one
    start, and are judged by the squared error of the last latent; what looks at every step runs at
    the bottom of the stack, CEM with its learned prior on the level above, for `BATCH_SIZE` starts.
    The forwards of the gradient search have their backwards too.

    Args:
        levels, configs: a stack and its settings, bottom first; one level has no `cem/prior`.
        num_repeats: of which the median counts.

    Returns:
        Rows as of `hplan.bench.timed_row`, `search/NAME`.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        runs = {f"search/{name}": small_search(name) for name in CONTINUOUS_SEARCHES}
        runs["search/categorical_cem"] = small_search("categorical_cem")
        runs["search/tree"] = stack_search("tree", levels[0], configs[0].planner)
        runs["search/beam"] = stack_search("beam", levels[0], configs[0].planner)
        if len(levels) > 1:
            runs["search/cem/prior"] = stack_search("cem", levels[1], configs[1].planner)
        return [_row(name, *run, num_repeats) for name, run in runs.items()]
    finally:
        torch.set_num_threads(num_threads)


def small_search(name: str) -> tuple[Level, Callable[[], object]]:
    """A search on the small model, with the numbers of its peers."""
    level = small_level().requires_grad_(False)
    level.num_actions = 0 if name in CONTINUOUS_SEARCHES else ACTION_DIM
    z, goal = torch.randn(2, 1, LATENT_DIM, generator=torch.Generator().manual_seed(0))
    support = None if level.num_actions else AnyMacroAction()
    config = PlannerConfig(
        horizon=HORIZON,
        num_candidates=NUM_CANDIDATES,
        max_candidates=NUM_CANDIDATES,
        num_elites=NUM_ELITES,
        num_iterations=NUM_ROUNDS,
    )
    problem = _problem(level, z, goal, arrival=NONE_ARRIVES)
    return level, _search(name, replace(problem, support=support), config)


def stack_search(
    name: str, level: Level, config: PlannerConfig
) -> tuple[Level, Callable[[], object]]:
    """A search of one level of a stack, which may end anywhere, so that every step is judged.

    It goes through all rounds, so that each repeat needs the same forwards.
    """
    config = replace(config, converged=0.0)
    generator = torch.Generator().manual_seed(0)
    z, goal = torch.randn(2, BATCH_SIZE, level.latent_dim, generator=generator)
    support = build_support(level, config)
    problem = _problem(level, z, goal, arrival=torch.inf)
    return level, _search(name, replace(problem, support=support), config)


def _problem(level: Level, z: Tensor, goal: Tensor, *, arrival: float) -> Problem:
    return Problem(
        model=level,
        z=z,
        energy=TargetEnergy(level=level, target=goal.unsqueeze(1), name="l2"),
        cost=step_cost(level, "l2"),
        arrival=arrival,
        support=None,
        guard=None,
        deadline=None,
    )


def _search(name: str, problem: Problem, config: PlannerConfig) -> Callable[[], object]:
    generator = torch.Generator().manual_seed(0)
    return lambda: find_search(name)(problem, config=config, warm_start=None, generator=generator)


@torch.no_grad()
def _row(
    name: str, level: Level, search: Callable[[], object], num_repeats: int
) -> dict[str, str | float]:
    """Milliseconds of one search, and of its forwards alone."""
    calls = recorded_calls(level, search)
    graded = name == "search/gradient"

    def forwards() -> None:
        if graded:
            forwards_and_backwards(calls, HORIZON)
        else:
            for module, inputs in calls:
                module(*inputs)

    for _ in range(NUM_WARM_UPS):
        search()
        forwards()
    return timed_row(name, search, forwards, num_repeats)


def recorded_calls(level: Level, run: Callable[[], object]) -> list[Call]:
    """The predictor and the prior of `level` with what they are given while `run` runs."""
    calls: list[Call] = []
    parts = [part for part in (level.predictor, level.action_prior) if part is not None]
    handles = [
        part.register_forward_pre_hook(lambda module, inputs: calls.append((module, inputs)))
        for part in parts
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    # Copied, for a search's own tensors are of inference mode.
    return [(part, tuple(x.detach().clone() for x in inputs)) for part, inputs in calls]


def forwards_and_backwards(calls: list[Call], horizon: int) -> None:
    """The rollouts of which `calls` are the steps, each but the last followed by its backward."""
    rounds = [calls[i : i + horizon] for i in range(0, len(calls), horizon)]
    for steps in rounds[:-1]:
        with torch.enable_grad():
            latents, actions = steps[0][1][0], []
            for predictor, (_, action) in steps:
                actions.append(action.requires_grad_())
                latents = predictor(latents, action)
        torch.autograd.grad(latents, actions, torch.ones_like(latents))
    for predictor, inputs in rounds[-1]:
        predictor(*inputs)
