"""What a log keeps of plans handed to it one by one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hplan.agent import Agent
from hplan.agent_state import Cause, PlanEvent
from hplan.config import AgentConfig
from hplan.recording import PlanLog
from hplan.search.problem import SearchResult
from tests.hplan.drawn_line import DrawnLine, bank_of, shown_by
from tests.hplan.line_world import LineTask, line_configs, line_stack, positions


def _agent():
    """Of two levels, the upper one of three positions a step."""
    levels, settings = line_stack(3), AgentConfig()
    return Agent(levels=levels, configs=line_configs(2), energy="distance", settings=settings)


def _event(identity=(1, 1, 1)):
    """Plans of level 1 in three episodes; the second looks one step ahead only."""
    ahead = torch.tensor([[0.0, 1.0, 2.0, 3.0], [0.0, 4.0, 4.0, 4.0], [0.0, -1.0, -2.0, -3.0]])
    zeros = torch.zeros(3)
    result = SearchResult(
        actions=torch.zeros(3, 3, 1),
        macro_actions=torch.zeros(3, 3, 1),
        latents=ahead.unsqueeze(-1),
        num_steps=torch.tensor([3, 1, 3]),
        score=zeros,
        left=zeros,
        violation=zeros,
        evaluations=torch.tensor([7, 5, 11]),
    )
    return PlanEvent(
        level=1,
        rows=torch.arange(3),
        identity=torch.tensor(identity),
        parent=torch.zeros(3, dtype=torch.long),
        cause=torch.full((3,), int(Cause.START)),
        target=torch.tensor([[10.0], [10.0], [10.0]]),
        target_level=1,
        energy_name="distance",
        before=zeros,
        result=result,
        lead=2,
        support=torch.tensor([97.5, torch.nan, 3.0]),
        flops=zeros,
    )


def _log(agent, task, bank, *, goal):
    """Of the first two of three episodes with the same goal."""
    goals = task.observe(positions(goal, goal, goal))
    return PlanLog(agent, np.array([0, 1]), goals=goals, bank=bank, task=task)


def test_work_and_support_are_those_of_each_plan():
    log = _log(_agent(), LineTask(), None, goal=9)
    log.saw(LineTask().observe(positions(0, 0, 0)), np.ones(3, dtype=bool))
    log.made(_event(), 0)
    plans = [recording.plans[0] for recording in log.recordings().values()]
    assert [plan.predictor_evaluations for plan in plans] == [7, 5]
    assert [plan.support for plan in plans] == [97.5, None], "None where it was not measured"


@pytest.mark.parametrize(
    ("cause", "outcome"),
    [
        (Cause.DONE, "done"), (Cause.CLOCK, "expired"), (Cause.SURPRISE, "surprise"),
        (Cause.INFEASIBLE, "infeasible"), (Cause.TARGET, "target_changed"),
    ],
)  # fmt: skip
def test_a_plan_ends_by_what_the_next_is_made_for(cause, outcome):
    log = _log(_agent(), LineTask(), None, goal=9)
    log.saw(LineTask().observe(positions(0, 0, 0)), np.ones(3, dtype=bool))
    log.made(_event(), 0)
    log.made(replace(_event((2, 2, 2)), cause=torch.full((3,), int(cause))), 0)
    log.episodes_ended("refused", np.array([True, False, False]), 0)
    first, second = log.recordings()[0].plans
    assert (first.outcome, second.outcome) == (outcome, "refused")
    assert second.cause == ("clock" if cause == Cause.CLOCK else outcome)


def test_a_subgoal_is_shown_by_the_nearest_of_thebank_of():
    """A step of level 1 is three positions: the subgoals are at 6, 12 and -6."""
    agent, task, over = _agent(), DrawnLine(), np.ones(3, dtype=bool)
    agent.levels[1].move.fill_(0.25)
    log = _log(agent, task, bank_of(-6, 30, 9, 6), goal=9)
    log.saw(task.observe(positions(0, 0, 0)), over)
    log.made(_event(), 0)
    log.episodes_ended("out_of_steps", over, 0)
    found = log.recordings()
    plans = [found[episode].plans[0] for episode in (0, 1)]
    shown = [shown_by(found[e].pictures[plan.subgoal]) for e, plan in enumerate(plans)]
    assert list(found) == [0, 1] and shown == [6, 9]
    # 12 is one unit of level 1 away from 9.
    assert [plan.subgoal_distance for plan in plans] == [0, pytest.approx(1 / 0.25)]


def _pursuit(identity, first, second):
    """Bottom plans in the service of plan 1, for targets at (first, second) steps of level 1."""
    above = _event(identity=(identity,) * 3)
    return replace(
        above,
        level=0,
        parent=torch.ones(3, dtype=torch.long),
        target=torch.tensor([[first], [second], [0.0]]),
        lead=0,
    )


def test_a_target_is_shown_by_the_nearest_of_the_bank_at_the_level_that_set_it():
    """Plan 1 goes on from its first subgoal, at 6 or 12, to the next at 27 or 33."""
    agent, task, over = _agent(), DrawnLine(), np.ones(3, dtype=bool)
    agent.levels[0].move.fill_(100.0)
    agent.levels[1].move.fill_(0.25)
    log = _log(agent, task, bank_of(-6, 30, 9, 6), goal=20)
    log.saw(task.observe(positions(0, 0, 0)), over)
    log.made(_event(), 0)
    log.made(_pursuit(2, 2.0, 4.0), 0)
    log.saw(task.observe(positions(1, 1, 1)), over)
    log.made(_pursuit(3, 9.0, 11.0), 1)
    log.episodes_ended("out_of_steps", over, 1)
    # As positions, 9 and 11 would be nearest to 9.
    found = log.recordings()
    expected = [[(20, 0), (6, 0), (30, 4)], [(20, 0), (9, 4), (30, 4)]]
    for episode, targets in enumerate(expected):
        pictures = [shown_by(picture) for picture in found[episode].pictures]
        plans = found[episode].plans
        assert [plan.parent for plan in plans] == [0, 1, 1]
        told = [(pictures[plan.target], plan.target_distance) for plan in plans]
        assert told == [(place, pytest.approx(gap)) for place, gap in targets]
        assert pictures[plans[0].subgoal] == targets[1][0], "of the first alone"


def test_a_plan_that_was_not_taken_is_not_kept():
    log = _log(_agent(), LineTask(), None, goal=0)
    log.saw(LineTask().observe(positions(0, 0, 0)), np.ones(3, dtype=bool))
    log.made(_event(identity=(0, 1, 1)), 0)
    found = log.recordings()
    assert [len(found[episode].plans) for episode in (0, 1)] == [0, 1]
