"""A time budget that no machine can keep is refused in one line; one that it can is kept."""

import numpy as np
import pytest
import torch

from hplan.agent import Agent
from hplan.config import AgentConfig
from hplan.goals import Goals
from hplan.time_budget import check_budget, first_plan_ms
from tests.hplan.line_world import LineTask, line_configs, line_stack, noise, positions


class Pairs:
    """A suite of two pairs, the second of which is the farther."""

    starts, goals = positions(0, 0), positions(3, 90)
    optimal_steps = np.array([3, 90])


def _agent(budget_ms: float) -> Agent:
    levels = line_stack(3, 2)
    return Agent(
        levels=levels,
        configs=line_configs(3),
        energy="distance",
        settings=AgentConfig(budget_ms=budget_ms),
    )


def test_a_budget_that_is_too_small_for_one_round_is_refused_with_what_it_takes():
    with pytest.raises(ValueError, match=r"agent.budget_ms = 0.0001; the first round .* takes"):
        check_budget(_agent(0.0001), LineTask(), Pairs())
    check_budget(_agent(1e6), LineTask(), Pairs())
    check_budget(_agent(0.0), LineTask(), Pairs())


def test_the_first_plan_is_a_round_of_every_level():
    agent = _agent(5.0)
    assert 0 < first_plan_ms(agent, LineTask(), positions(0), positions(90)) < 1000
    assert agent.settings.budget_ms == 5.0


def test_more_time_is_spent_on_more_rounds():
    task, work = LineTask(), []
    for budget_ms in (1e-9, 1e6):
        agent = _agent(budget_ms)
        goals = Goals.observed(agent.levels, torch.from_numpy(task.observe(positions(90))))
        obs, alive = torch.from_numpy(task.observe(positions(0))), torch.tensor([True])
        _, _, events = agent.act(agent.start(1), obs, goals, alive, noise())
        first = next(event for event in events if event.level == 2)
        work.append(int(first.result.evaluations))
    assert work == [128 * 4, 4 * 128 * 4]
