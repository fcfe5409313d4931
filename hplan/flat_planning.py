"""The baseline that counts: the bottom level alone, at no less work than the hierarchy."""

from collections.abc import Callable
from dataclasses import replace

from hplan.agent import Agent
from hplan.effort import scaled
from hplan.episodes import Episodes

LONGEST_TREE = 8  # flat planning grows no further to match work
WIDEST = 1024


def at_least_work(agent: Agent, work: float, run: Callable[[Agent], Episodes]) -> Episodes:
    """Runs a flat agent with the least effort that spends `work` evaluations per env step.

    A tree grows by a step of its horizon, any other search by twice the candidates, in each of its
    rounds: when it stops is its own affair, as in the hierarchy. The episodes of less effort are
    dropped before anybody asks for their recordings. Where even the most effort spends less, those
    of the most are returned.
    """
    config, num_actions = agent.configs[0], agent.levels[0].num_actions
    is_tree = config.planner.search == "tree"
    while True:
        episodes = run(agent)
        planner = config.planner
        at_most = planner.horizon >= LONGEST_TREE if is_tree else planner.num_candidates >= WIDEST
        if work_per_step(episodes) >= work or at_most:
            return episodes
        config = scaled(config, num_actions, float(num_actions) if is_tree else 2.0)
        agent = replace(agent, configs=[config])


def work_per_step(episodes: Episodes) -> float:
    """Predictor evaluations per env step."""
    return float(episodes.evaluations.sum() / max(1, episodes.env_steps.sum()))
