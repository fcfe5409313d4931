"""When the agent does not wait for its clock: guardrails, dead ends, being stuck, lack of time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hplan.agent import Agent
from hplan.agent_state import Cause
from hplan.config import AgentConfig
from hplan.episodes import run_agent
from hplan.goals import Goals
from hplan.guardrails import Guardrail
from tests.hplan.line_world import (
    NO_ESCAPE,
    Gap,
    LineTask,
    line_configs,
    line_stack,
    noise,
    positions,
    walk,
)

PLANE = ((1.0, 0.0), (0.0, 1.0), (0.0, -1.0))


def _agent(levels, *, settings=NO_ESCAPE, guardrails=(), **planner) -> Agent:
    return Agent(
        levels=levels,
        configs=line_configs(len(levels), **planner),
        energy="distance",
        settings=settings,
        guardrails=list(guardrails),
    )


def _forbidden(*place: float, stride: float = 1.0) -> Guardrail:
    """Keep off a place; at the bottom alone."""
    centre = torch.tensor(place)

    def violation(z: Tensor) -> Tensor:
        return ((z * stride - centre).abs().amax(-1) < 0.5).float()

    return Guardrail(name="place", by_level=[violation])


# --- guardrails ---


def test_a_guardrail_leads_round_what_is_forbidden():
    levels, goal = line_stack(moves=PLANE), np.array([[4.0, 0.0]])
    rail = Guardrail(name="place", by_level=_forbidden(2.0, 0.0).by_level)
    for rails, touches in (([rail], False), ([], True)):
        agent = _agent(levels, guardrails=rails, horizon=[6])
        states = walk(agent, LineTask(moves=PLANE), np.zeros((1, 2)), goal, 8).states
        assert (states == goal).all(-1).any()
        assert (states == (2.0, 0.0)).all(-1).any() == touches


def test_where_no_plan_is_safe_the_agent_says_so_and_does_not_act():
    """On a line there is no way round, and it may not stand still: moves are all ahead."""
    levels = line_stack(moves=((1.0,), (2.0,)))
    rails = [Guardrail(name="all", by_level=[lambda z: (z.abs().amax(-1) > 2.5).float()])]
    agent = _agent(levels, guardrails=rails, horizon=[2])
    state = agent.start(2)
    goals = Goals.observed(levels, torch.tensor([9.0, 1.0]).view(2, 1, 1, 1))
    obs, alive = torch.zeros(2, 1, 1, 1), torch.ones(2, dtype=torch.bool)
    for _ in range(4):
        before, (_, state, _) = state.refused, agent.act(state, obs, goals, alive, noise())
        obs = torch.where(state.refused, obs[:, 0, 0, 0], obs[:, 0, 0, 0] + 1).view(2, 1, 1, 1)
        assert not (before & ~state.refused).any()
    assert state.refused.all() and (obs <= 2).all() and (obs > 0).any()


def test_a_level_whose_plans_are_unsafe_leaves_the_goal_to_the_level_below():
    levels = line_stack(3)
    rails = [Guardrail(name="above", by_level=[None, lambda z: torch.ones_like(z[..., 0])])]
    agent = _agent(levels, guardrails=rails)
    made = walk(agent, LineTask(), positions(0), positions(20), 1)
    assert made.tops.tolist() == [[0]]
    kept = [(e.level, int(e.identity)) for e in made.events[0] if int(e.identity)]
    assert kept == [(0, 1)], "the plans of the level above were made, and not adopted"
    assert (walk(_agent(levels), LineTask(), positions(0), positions(20), 1).tops == 1).all()


@pytest.mark.parametrize("energy", ["distance", "l2"])
def test_a_step_that_what_is_seen_shows_to_be_unsafe_is_not_taken(energy):
    """The first step leads a little farther than predicted, which is no surprise yet."""
    rail = _forbidden(2.5, 0.0)

    def slippery(before, after):
        return after + 0.4 * ((before == 0).all(1) & (after == (1, 0)).all(1))[:, None] * (1, 0)

    task = LineTask(moves=PLANE, hurdle=slippery)
    walks = []
    for rails in ([rail], []):
        agent = replace(
            _agent(line_stack(moves=PLANE), guardrails=rails, horizon=[4]), energy=energy
        )
        walks.append(walk(agent, task, np.zeros((1, 2)), np.array([[4.0, 0.0]]), 4))
    kept, free = walks
    touches = [bool((rail.by_level[0](torch.tensor(each.states)) > 0).any()) for each in walks]
    assert touches == [False, True]
    assert [int(e.cause) for e in kept.events[1]] == [Cause.SURPRISE] and not free.events[1]


@pytest.mark.parametrize("unsafe", [0, 1, 2])
def test_plans_that_no_guardrail_allows_are_not_sent_back_as_infeasible(unsafe):
    """Their searches were widened in vain: each environment would be sent back twice."""
    levels = line_stack(3, 3)
    levels[unsafe].distance = Shortsighted()  # of which every target would be infeasible
    by_level = [None, None, None]
    by_level[unsafe] = lambda z: torch.ones_like(z[..., 0])
    settings = replace(NO_ESCAPE, feedback=2)
    rails = [Guardrail(name="all", by_level=by_level)]
    agent = _agent(levels, settings=settings, guardrails=rails, reach=[0.0])
    found = run_agent(
        agent,
        LineTask(),
        positions(0, 0),
        positions(90, 80),
        np.full(2, 3),
        generator=noise(),
        keep_plans=2,
    )
    assert found.refused.tolist() == [unsafe == 0] * 2
    for recording in found.recordings.values():
        numbers = [record.plan for record in recording.plans]
        assert numbers == list(range(1, len(numbers) + 1))
        assert unsafe not in {record.level for record in recording.plans}


# --- what the bottom cannot approach ---


class Shortsighted(Gap):
    """Finds every goal three steps away, wherever it is."""

    def steps(self, z: Tensor, goal: Tensor) -> Tensor:
        return 0 * super().steps(z, goal) + 3.0


def test_a_goal_that_a_level_cannot_approach_goes_to_the_level_above():
    levels = line_stack(3)
    levels[0].distance = Shortsighted()
    levels[1].distance = Gap()
    settings = replace(NO_ESCAPE, feedback=1)
    planner = {"horizon": [2, 4], "goal_latent": ["own"]}
    agent = _agent(levels, settings=settings, **planner)
    made = walk(agent, LineTask(), positions(0), positions(9), 1)
    causes = [(e.level, Cause(int(e.cause))) for e in made.events[0]]
    assert causes[:3] == [(0, Cause.START), (1, Cause.INFEASIBLE), (0, Cause.TARGET)]
    assert made.tops.tolist() == [[1]]
    quiet = walk(_agent(levels, **planner), LineTask(), positions(0), positions(9), 1)
    assert quiet.tops.tolist() == [[0]] and len(quiet.events[0]) == 1


# --- stuck ---


def _shut(before, after):
    return np.where(after > 2, before, after)


def test_the_search_is_widened_at_a_place_it_keeps_coming_back_to_and_it_says_it_is_stuck():
    settings = AgentConfig(memory=12, stuck_after=2, avoid_penalty=0.0)
    agent = _agent(line_stack(), settings=settings)
    task = LineTask(hurdle=_shut)
    made = walk(agent, task, positions(0), positions(9), 40)
    work = [int(e.result.evaluations) for events in made.events for e in events]
    assert work[0] == 3 + 9 + 27 and max(work) == sum(3**depth for depth in range(1, 5))
    assert work.index(max(work)) >= 2, "only after it came back"
    assert made.stuck.any() and not made.stuck[0].item()
    free = walk(agent, LineTask(), positions(0), positions(9), 9)
    assert not free.stuck.any()
    never = _agent(line_stack(), settings=replace(settings, stuck_after=0))
    calm = walk(never, task, positions(0), positions(9), 40)
    assert not calm.stuck.any()
    assert {int(e.result.evaluations) for events in calm.events for e in events} == {39}


# --- levels above ---


def test_a_subgoal_missed_in_its_time_is_a_surprise():
    levels = line_stack(3)
    agent = _agent(levels, clock=[100, 100], horizon=[3, 4], lead=[1, 2])
    made = walk(agent, LineTask(hurdle=_shut), positions(0), positions(90), 24)
    causes = [Cause(int(e.cause)) for events in made.events for e in events if e.level == 1]
    assert causes[0] == Cause.START and Cause.SURPRISE in causes
    calm = _agent(levels, clock=[100, 100], horizon=[3, 4], lead=[1, 2], surprise=[1e9])
    made = walk(calm, LineTask(hurdle=_shut), positions(0), positions(90), 24)
    above = [Cause(int(e.cause)) for events in made.events for e in events if e.level == 1]
    assert above == [Cause.START], "the negative control"


# --- time ---


@pytest.mark.parametrize("budget_ms", [1e-6, 0.0])
def test_without_time_the_first_plan_counts(budget_ms):
    agent = _agent(line_stack(3), settings=replace(NO_ESCAPE, budget_ms=budget_ms))
    made = walk(agent, LineTask(), positions(0, 3), positions(70, 80), 1)
    work = [e.result.evaluations.tolist() for e in made.events[0] if e.level == 1]
    assert work == [[(1 if budget_ms else 4) * 128 * 4] * 2]
