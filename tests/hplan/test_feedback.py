"""What goes back up: a subgoal that the level below cannot approach."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hplan.agent import Agent
from hplan.agent_state import Cause
from hplan.config import AgentConfig
from hplan.goals import Goals
from hplan.guardrails import Guardrail
from tests.hplan.line_world import LineTask, line_configs, line_stack, positions, walk

LIES = "tests.hplan.corrupted_search.corrupted_cem"
FAR = 400.0  # steps of the level: on a line all can be reached, but few of them in time


def _agent(*, feedback: int, probability: float, ratios=(3,)) -> Agent:
    levels = line_stack(*ratios)
    options = {"probability": probability, "spread": FAR}
    configs = line_configs(
        len(levels), search=["tree"] + ["cem"] * (len(ratios) - 1) + [LIES], clock=[100, 8]
    )
    top = configs[-1]
    configs[-1] = replace(top, planner=replace(top.planner, search_options=options))
    return Agent(
        levels=levels,
        configs=configs,
        energy="distance",
        settings=AgentConfig(memory=6, feedback=feedback, patience=3.0),
    )


def _steps_needed(agent: Agent, num_steps: int = 44) -> np.ndarray:
    goals = positions(*range(24, 32))
    states = walk(agent, LineTask(), positions(*[0.0] * len(goals)), goals, num_steps).states
    reached = (states == goals).squeeze(-1)
    return np.where(reached.any(0), reached.argmax(0), num_steps)


DEPTHS = [pytest.param((3,), id="K=2"), pytest.param((3, 2), id="K=3", marks=pytest.mark.slow)]


@pytest.mark.parametrize("ratios", DEPTHS)
def test_feedback_undoes_subgoals_that_cannot_be_reached(ratios):
    clean = _steps_needed(_agent(feedback=0, probability=0.0, ratios=ratios))
    mended = _steps_needed(_agent(feedback=4, probability=0.5, ratios=ratios))
    misled = _steps_needed(_agent(feedback=0, probability=0.5, ratios=ratios))
    lost = mended.mean() - clean.mean()
    assert lost < 0.6 * (misled.mean() - clean.mean())


def test_the_level_above_plans_again_because_of_it_and_remembers_the_place():
    agent = _agent(feedback=2, probability=1.0)
    made = walk(agent, LineTask(), positions(0), positions(40), 1).events[0]
    causes = [(event.level, Cause(int(event.cause))) for event in made]
    assert causes[:4] == [
        (1, Cause.START),
        (0, Cause.START),
        (1, Cause.INFEASIBLE),
        (0, Cause.TARGET),
    ]
    assert causes[4:] == causes[2:4], "as often as `feedback` says"
    quiet = walk(_agent(feedback=0, probability=1.0), LineTask(), positions(0), positions(40), 1)
    assert len(quiet.events[0]) == 2


def test_a_feasible_subgoal_is_not_sent_back():
    agent = _agent(feedback=2, probability=0.0)
    made = walk(agent, LineTask(), positions(0, 5), positions(40, -31), 30).events
    assert not any((e.cause == Cause.INFEASIBLE).any() for events in made for e in events)


def test_what_was_sent_back_is_penalised_at_its_level():
    agent = _agent(feedback=1, probability=1.0)
    state, task = agent.start(1), LineTask()
    assert not state.places[1].valid().any()
    goals = Goals.observed(agent.levels, torch.from_numpy(task.observe(positions(40))))
    obs = torch.from_numpy(task.observe(positions(0)))
    generator = torch.Generator().manual_seed(0)
    _, state, events = agent.act(state, obs, goals, torch.tensor([True]), generator)
    refused = next(e for e in events if e.level == 1).subgoals
    places = state.places[1]
    kept = [bool((place == refused[0]).all()) for place in places.latents[0][places.valid()[0]]]
    assert sum(kept) == 1


@pytest.mark.parametrize(("feedback", "goal_latent"), [(1, "own"), (2, "above")])
def test_a_level_whose_second_plan_is_unsafe_leaves_the_goal_to_the_level_below(
    feedback, goal_latent
):
    """Asked again, the top finds no safe plan: the level below has the goal now, and no subgoal."""
    searches = []

    def safe_at_first(z):
        searches.append(z)
        return torch.full(z.shape[:-1], float(len(searches) > first))

    agent = _agent(feedback=0, probability=1.0)
    configs = [
        replace(config, planner=replace(config.planner, goal_latent=goal_latent))
        for config in agent.configs
    ]
    rail = Guardrail(name="safe at first", by_level=[None, safe_at_first])
    agent = replace(agent, configs=configs, guardrails=[rail])
    first = 10**6
    walk(agent, LineTask(), positions(0), positions(40), 1)
    first = len(searches)  # of one plan of the top
    searches.clear()
    agent = replace(agent, settings=replace(agent.settings, feedback=feedback))
    made = walk(agent, LineTask(), positions(0), positions(40), 1).events[0]
    told = [(event.level, int(event.identity) > 0, int(event.parent) > 0) for event in made]
    unsafe = [(1, False, False), (1, False, False)]  # and once more, widened
    assert told == [(1, True, False), (0, True, True), *unsafe, (0, True, False)]
