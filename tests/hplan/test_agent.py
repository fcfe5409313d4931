"""The agent loop on a line: who plans when, and what it does when the world disobeys."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hplan.agent import Agent
from hplan.agent_state import Cause
from hplan.config import AgentConfig
from hplan.goals import Goals
from hplan.planner import plan_level, shifted
from tests.hplan.line_world import (
    AHEAD,
    BACK,
    NO_ESCAPE,
    Gap,
    LineTask,
    line_configs,
    line_stack,
    noise,
    positions,
    walk,
)

ENERGIES = ("distance", "l2")


def _agent(levels, *, energy="distance", settings=NO_ESCAPE, measured_at=0, **planner) -> Agent:
    return Agent(
        levels=levels,
        configs=line_configs(len(levels), **planner),
        energy=energy,
        settings=settings,
        measured_at=measured_at,
    )


def _causes(events, level):
    return [Cause(int(c)) for made in events for e in made if e.level == level for c in e.cause]


# --- what a hierarchy does on a line ---


@pytest.mark.parametrize("energy", ENERGIES)
@pytest.mark.parametrize("pursuit", ENERGIES)
@pytest.mark.parametrize("ratios", [(), (3,), (3, 2)], ids=["K=1", "K=2", "K=3"])
def test_far_goals_are_reached_and_kept_to(ratios, pursuit, energy):
    levels = line_stack(*ratios)
    for level in levels:
        level.move.fill_(0.1 / level.stride**2)
    goals = positions(0, 1, -7, 19)
    agent = _agent(levels, energy=energy, tolerance=[0.4], clock=[100, 2], pursuit=[pursuit])
    states = walk(agent, LineTask(), positions(0, 0, 0, 0), goals, 33).states
    reached = (states == goals).any(axis=0)
    assert reached.all(), states[-1]
    if energy == "distance":
        first = (states == goals).argmax(axis=0).ravel()
        assert (first <= 1.5 * np.abs(goals).ravel() + 2).all()


def test_levels_above_make_no_plan_when_the_goal_is_within_reach():
    agent = _agent(line_stack(3, 2), reach=[4.0, 3.0, 9.0])
    near = walk(agent, LineTask(), positions(0, 9), positions(4, 5), 1)
    assert {event.level for event in near.events[0]} == {0} and (near.tops == 0).all()
    mid = walk(agent, LineTask(), positions(0), positions(9), 1)
    assert {event.level for event in mid.events[0]} == {0, 1} and (mid.tops == 1).all()
    far = walk(agent, LineTask(), positions(0), positions(50), 1)
    assert [event.level for event in far.events[0]] == [2, 1, 0] and (far.tops == 2).all()
    both = walk(agent, LineTask(), positions(0, 0, 0), positions(50, 2, -8), 1)
    assert both.tops.tolist() == [[2, 0, 1]]
    rows = [(event.level, event.rows.tolist()) for event in both.events[0]]
    assert rows == [(2, [0]), (1, [2]), (1, [0]), (0, [1]), (0, [0, 2])]


@pytest.mark.parametrize(
    ("energy", "goal_latent", "measured_at"),
    [("distance", "above", [1, 2, 2]), ("distance", "own", [0, 1, 2]), ("l2", "above", [0, 1, 2])],
)
def test_a_level_measures_the_goal_in_the_latent_of_the_level_above(
    energy, goal_latent, measured_at
):
    reach = {"reach": [4.0, 3.0, 9.0], "goal_latent": [goal_latent]}
    agent = _agent(line_stack(3, 2), energy=energy, **reach)
    events = walk(agent, LineTask(), positions(0, 0, 0), positions(3, 9, 50), 1).events[0]
    seen = {(e.level, e.target_level) for e in events if (e.parent == 0).any()}
    assert seen == set(enumerate(measured_at))


def test_a_users_energy_of_a_level_is_measured_there():
    levels = line_stack(3, 2)
    agent = _agent(levels, reach=[4.0, 3.0, 9.0])
    for told, expected in (({0, 2}, [0, 2, 2]), ({2}, [1, 2, 2]), ({0, 1, 2}, [0, 1, 2])):
        goals = Goals.of_energy(levels, lambda k, z, t=told: z[..., 0] ** 2 if k in t else None, 1)
        assert [agent.goal_level(k, goals) for k in range(3)] == expected


def test_the_levels_above_fall_away_as_the_goal_comes_near():
    made = walk(_agent(line_stack(3, 2)), LineTask(), positions(0), positions(40), 44)
    tops = made.tops[:, 0].tolist()
    assert tops[0] == 2 and tops[-1] == 0 and tops == sorted(tops, reverse=True)
    assert (made.states == 40).any()


def test_a_plan_serves_the_level_above_or_the_goal():
    made = walk(_agent(line_stack(3, 2)), LineTask(), positions(0), positions(50), 30)
    level_of = {0: None}
    for top, events in zip(made.tops[:, 0], made.events, strict=True):
        for event in events:
            expected = None if event.level == top else event.level + 1
            assert level_of[int(event.parent)] == expected
            level_of[int(event.identity)] = event.level
    assert {0, 1, 2} <= set(level_of.values())
    assert sorted(level_of) == list(range(len(level_of))), "plans are numbered from 1"


@pytest.mark.parametrize("energy", ENERGIES)
@pytest.mark.parametrize("lead", [1, 3])
def test_the_subgoal_is_as_many_steps_ahead_as_the_settings_say(energy, lead):
    agent = _agent(line_stack(3), energy=energy, lead=[lead], horizon=[3, 4])
    events = walk(agent, LineTask(), positions(0), positions(90), 1).events[0]
    (above,) = (event for event in events if event.level == 1)
    (below,) = (event for event in events if event.level == 0 and event.target_level == 1)
    assert torch.equal(above.subgoals, above.result.latents[:, lead])
    assert torch.equal(below.target, above.subgoals)


def test_a_plan_is_made_anew_when_its_clock_runs_out():
    agent = _agent(line_stack(3), clock=[100, 2], horizon=[3, 4])
    made = walk(agent, LineTask(), positions(0), positions(400), 40)
    when = [t for t, events in enumerate(made.events) for e in events if e.level == 1]
    causes = _causes(made.events, 1)
    assert causes[0] == Cause.START and set(causes[1:]) == {Cause.CLOCK}
    # It looks when the bottom level has to: at the first such moment after two steps of three.
    assert all(2 * 3 <= gap <= 2 * 3 + 3 for gap in np.diff(when))
    never = replace(agent, configs=line_configs(2, clock=[1000]))
    late = _causes(walk(never, LineTask(), positions(0), positions(400), 40).events, 1)
    assert Cause.CLOCK not in late and late[1:]


def test_a_new_plan_of_a_level_above_starts_from_the_last(monkeypatch):
    warm_starts = []

    def spy(levels, k, *args, warm_start, **rest):
        warm_starts.append((k, warm_start))
        return plan_level(levels, k, *args, warm_start=warm_start, **rest)

    monkeypatch.setattr("hplan.turn.plan_level", spy)
    # Its first subgoal is farther than the agent comes in one step of the level.
    agent = _agent(line_stack(3), clock=[100, 1])
    made = walk(agent, LineTask(), positions(0), positions(400), 12)
    plans = [e.result.actions for events in made.events for e in events if e.level == 1]
    above = [warm for k, warm in warm_starts if k == 1]
    assert len(above) == len(plans) > 2 and (above[0] == 0).all()
    # One step of the level has passed when its clock runs out.
    moved_on = [shifted(plan, torch.ones(len(plan), dtype=torch.long)) for plan in plans]
    assert all(torch.equal(warm, plan) for warm, plan in zip(above[1:], moved_on, strict=False))


def test_the_level_below_plans_anew_when_the_subgoal_moves_on():
    agent = _agent(line_stack(3), clock=[100, 50], horizon=[3, 4])
    made = walk(agent, LineTask(), positions(0), positions(400), 40)
    for events in made.events[1:]:
        if [event.level for event in events] == [1, 0]:
            assert _causes([events], 0) == [Cause.TARGET]
    assert Cause.TARGET in _causes(made.events, 0)


def test_a_single_level_can_measure_its_energy_in_the_space_of_one_above():
    agent = _agent(line_stack(3, 2), measured_at=2)
    made = walk(agent, LineTask(), positions(0, 0), positions(11, -5), 12)
    assert {event.level for events in made.events for event in events} == {0}
    assert (made.states == positions(11, -5)).any(axis=0).all()


# --- a world that does not obey the model ---


RIGHT, UP, DOWN = range(3)
PLANE = ((1.0, 0.0), (0.0, 1.0), (0.0, -1.0))


def _wall(before, after):
    """No way from (1, 0) to (2, 0), which the model knows nothing of."""
    blocked = (before == (1, 0)).all(axis=1) & (after == (2, 0)).all(axis=1)
    return np.where(blocked[:, None], before, after)


@pytest.mark.parametrize("energy", ENERGIES)
def test_a_wall_surprises_and_the_next_plan_goes_round_it(energy):
    agent = _agent(line_stack(moves=PLANE), energy=energy)
    task = LineTask(moves=PLANE, hurdle=_wall)
    made = walk(agent, task, np.zeros((1, 2)), np.array([[2.0, 0.0]]), 5)
    old, new = made.events[0][0].result, made.events[2][0].result
    assert [_causes([events], 0) for events in made.events[:3]] == [
        [Cause.START],
        [],
        [Cause.SURPRISE],
    ]
    assert old.actions.argmax(-1)[0, :2].tolist() == [RIGHT, RIGHT]
    assert sorted(new.actions.argmax(-1)[0].tolist()) == [RIGHT, UP, DOWN]
    assert new.latents[0].tolist() == made.states[2:, 0].tolist(), "now the model knows"
    assert made.states[-1, 0].tolist() == [2, 0]
    calm = replace(agent, configs=line_configs(1, surprise=[1e9]))
    stuck = walk(calm, task, np.zeros((1, 2)), np.array([[2.0, 0.0]]), 30).states
    assert (stuck[1:, 0] == (1, 0)).all(), "the negative control"


def test_a_surprise_changes_what_the_agent_does_next():
    """Thrown beyond its goal by the second step, it turns back instead of carrying its plan out."""
    slide = LineTask(hurdle=lambda before, after: np.where(after == 2, 9.0, after))
    made = walk(_agent(line_stack()), slide, positions(0), positions(5), 6)
    old = made.events[0][0].result
    assert old.actions.argmax(-1).tolist() == [[AHEAD] * 3]
    assert made.actions.ravel().tolist() == [AHEAD, AHEAD] + [BACK] * 4
    assert _causes(made.events[2:3], 0) == [Cause.SURPRISE]
    calm = _agent(line_stack(), surprise=[1e9])
    blind = walk(calm, slide, positions(0), positions(5), 3)
    assert blind.actions.ravel().tolist() == [AHEAD] * 3, "the negative control"


class Pit(Gap):
    """A learned distance gone wrong: between 1 and 3 steps ahead it looks too far."""

    def steps(self, z: Tensor, goal: Tensor) -> Tensor:
        return super().steps(z, goal) + 3.5 * ((z > 0.5) & (z < 3.5)).squeeze(-1)


@pytest.mark.parametrize(("memory", "leaves"), [(6, True), (0, False)])
def test_the_agent_leaves_a_trap_because_it_remembers_where_it_was(memory, leaves):
    levels = line_stack()
    levels[0].distance = Pit()
    settings = AgentConfig(memory=memory, avoid_penalty=4.0)
    agent = _agent(levels, settings=settings)
    states = walk(agent, LineTask(), positions(0), positions(8), 60).states
    assert (states == 8).any() == leaves
    if not leaves:
        assert (np.abs(states) <= 3).all()


# --- work ---


@pytest.mark.parametrize("energy", ENERGIES)
def test_work_is_the_rows_that_the_predictors_saw_and_the_finished_cost_none(energy, request):
    levels, rows = line_stack(3, 2), []
    for level in levels:
        handle = level.predictor.register_forward_hook(
            lambda module, inputs, output: rows.append(output.numel() // output.shape[-1])
        )
        request.addfinalizer(handle.remove)
    agent = _agent(levels, energy=energy, settings=AgentConfig())
    starts, goals = positions(0, 0, 0, 0), positions(30, 2, -14, 40)
    for alive in ((True,) * 4, (True, False, True, False), (False,) * 4):
        rows.clear()
        made = walk(agent, LineTask(), starts, goals, 12, alive=alive)
        events = [event for events in made.events for event in events]
        assert sum(int(e.result.evaluations.sum()) for e in events) == sum(rows)
        assert all(alive[row] for event in events for row in event.rows)
        assert (sum(rows) > 0) == any(alive)


# --- batches and seeds ---


def test_episodes_run_together_as_each_alone():
    agent = _agent(line_stack(), settings=AgentConfig())
    starts, goals = positions(0, 3, -8), positions(11, -6, -7)
    whole = walk(agent, LineTask(), starts, goals, 15)
    for b in range(3):
        alone = walk(agent, LineTask(), starts[b : b + 1], goals[b : b + 1], 15)
        assert np.array_equal(alone.actions[:, 0], whole.actions[:, b])


def test_the_same_seed_gives_the_same_plans_and_another_seed_others():
    agent = _agent(line_stack(3, 2))

    def plans(seed):
        made = walk(agent, LineTask(), positions(0, 5), positions(33, -20), 12, seed=seed)
        return [event.result for events in made.events for event in events]

    first, again, other = plans(0), plans(0), plans(1)
    assert all(torch.equal(a.latents, b.latents) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0].latents, other[0].latents)


def test_acting_changes_nothing_but_what_it_returns():
    agent = _agent(line_stack(3))
    state = agent.start(1)
    obs = torch.zeros(1, 1, 1, 1)
    goals = Goals.observed(agent.levels, torch.full((1, 1, 1, 1), 30.0))
    alive = torch.ones(1, dtype=torch.bool)
    first = agent.act(state, obs, goals, alive, noise())
    again = agent.act(state, obs, goals, alive, noise())
    assert int(state.num_plans) == 0 and int(first[1].num_plans) == 2
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1].plans[1].latents, again[1].plans[1].latents)
