"""The baseline that counts: the bottom level alone, given no less work than the hierarchy."""

from collections.abc import Callable
from dataclasses import replace

from hplan.agent import Agent
from hplan.effort import scaled
from hplan.episodes import Episodes

LONGEST_TREE = 8  # flat planning grows no further to match work
WIDEST = 1024


def best_given_work(agent: Agent, work: float, run: Callable[[Agent], Episodes]) -> Episodes:
    """Runs a flat agent with more and more effort, until it spends `work` evaluations per env step.

    Returns the run that reached most goals, of equal ones that of most work: a search that tries
    more also finds more of what its model gets wrong, and more work must be no handicap.

    A tree grows by a step of its horizon, any other search by twice the candidates, in each of its
    rounds: when it stops is its own affair, as in the hierarchy. The other episodes are dropped
    before anybody asks for their recordings.
    """
    config, num_actions = agent.configs[0], agent.levels[0].num_actions
    is_tree = config.planner.search == "tree"
    best: Episodes | None = None
    while True:
        episodes = run(agent)
        if best is None or episodes.success.mean() >= best.success.mean():
            best = episodes
        planner = config.planner
        at_most = planner.horizon >= LONGEST_TREE if is_tree else planner.num_candidates >= WIDEST
        if work_per_step(episodes) >= work or at_most:
            return best
        config = scaled(config, num_actions, float(num_actions) if is_tree else 2.0)
        agent = replace(agent, configs=[config])


def work_per_step(episodes: Episodes) -> float:
    """Predictor evaluations per env step."""
    return float(episodes.evaluations.sum() / max(1, episodes.env_steps.sum()))
