"""Episodes run with an agent: what they cost, what is kept of them, and the floor and ceiling."""

from dataclasses import dataclass

import networkx as nx
import numpy as np
import pytest
import torch

from hplan.agent import Agent
from hplan.agent_state import Cause
from hplan.config import AgentConfig
from hplan.episodes import run_agent, run_oracle, run_random
from hplan.guardrails import Guardrail
from hplan.level_config import level_configs
from hplan.subgoal_tree import ROOT, load_tree, save_tree
from hplan.task import Hazardous, Task, Worlds
from hplan.tree_checks import WITH_EPISODE
from tests.hplan.line_world import LineTask, LineWorlds, line_configs, line_stack, noise, positions
from tests.hplan.stacks import tiny_config, tiny_stack, tiny_task

NUM_EPISODES = 4


def _line_agent(*ratios: int, guardrails=(), **settings) -> Agent:
    levels = line_stack(*ratios)
    return Agent(
        levels=levels,
        configs=line_configs(len(levels)),
        energy="distance",
        settings=AgentConfig(**settings),
        guardrails=list(guardrails),
    )


@pytest.fixture(scope="module")
def rooms():
    """Real episodes of a briefly trained stack of three levels, every plan kept."""
    planner = "--hierarchy.level.planner"
    brisk = f"{planner}.num_candidates 16 {planner}.num_elites 4 {planner}.num_iterations 2"
    config = tiny_config(3, brisk)
    task, levels = tiny_task(config), tiny_stack(config, num_updates=5)
    suite = task.suite(episodes_per_bin=2, seed=0)
    # Goals count as near only where they are, so that the levels above have something to do.
    configs = level_configs(config.hierarchy)
    agent = Agent(levels=levels, configs=configs, energy="l2", settings=config.agent)
    budgets = np.full(NUM_EPISODES, 10)
    return run_agent(
        agent, task, suite.starts, suite.goals, budgets, generator=noise(), keep_plans=NUM_EPISODES
    )


def test_the_plans_of_a_real_episode_are_a_tree_under_its_goal(rooms, tmp_path):
    assert sorted(rooms.recordings) == list(range(NUM_EPISODES))
    assert rooms.plans_by_level.sum(0).min() > 0, "every level planned"
    for episode, recording in rooms.recordings.items():
        steps = int(rooms.env_steps[episode])
        tree = recording.tree({"num_levels": 3, "episode": episode, "env_steps": steps})
        assert nx.is_arborescence(tree)
        assert len(tree.nodes[ROOT]["observations"]) == steps + 1
        plans = recording.plans
        assert {record.plan for record in plans} == set(range(1, len(plans) + 1))
        for record in plans:
            above = tree.nodes[record.parent]["level"]
            assert record.parent == ROOT or above == record.level + 1
            assert record.made <= record.ended <= steps
        save_tree(tmp_path / "tree.json", tree)
        again = load_tree(tmp_path / "tree.json")
        assert nx.utils.graphs_equal(tree, again) and tree.graph == again.graph


def test_a_plan_ends_when_the_next_of_its_level_is_made_or_with_its_episode(rooms):
    for episode, recording in rooms.recordings.items():
        last = "success" if rooms.success[episode] else "out_of_steps"
        for level in range(3):
            own = [record for record in recording.plans if record.level == level]
            for plan, after in zip(own, own[1:], strict=False):
                assert plan.ended == after.made
                assert plan.outcome not in WITH_EPISODE
            for plan in own[-1:]:
                assert (plan.outcome, plan.ended) == (last, rooms.env_steps[episode])
            assert all(plan.cause != "start" for plan in own[1:])
            for plan in own[:1]:
                # But for "start" a level is first called upon when the one below, which headed for
                # the goal, has just found no way to it.
                below = {p.made for p in recording.plans if p.level == level - 1}
                assert plan.cause == "start" or (plan.cause == "infeasible" and plan.made in below)


def test_plans_are_counted_by_level_and_by_cause(rooms):
    for episode, recording in rooms.recordings.items():
        records = recording.plans
        by_level = np.bincount([record.level for record in records], minlength=3)
        assert by_level.tolist() == rooms.plans_by_level[episode].tolist()
        surprises = sum(record.cause == "surprise" for record in records)
        assert surprises == rooms.plans_by_cause[episode, Cause.SURPRISE]
        assert rooms.plans_by_cause[episode].sum() == len(records)
        kept = sum(record.predictor_evaluations for record in records)
        assert kept <= rooms.evaluations[episode], "searches that came to nothing count as well"
    assert rooms.evaluations_by_level.shape == (NUM_EPISODES, 3)
    assert (rooms.evaluations_by_level.sum(0) > 0).all(), "every level worked"
    assert np.array_equal(rooms.evaluations, rooms.evaluations_by_level.sum(1))
    assert rooms.plans_by_cause[:, Cause.SURPRISE].sum() > 0
    assert (rooms.flops > rooms.evaluations).all() and rooms.seconds > 0


def test_an_episode_ends_at_its_goal_or_with_its_budget():
    starts, goals = positions(0, 4, 0, 0, 0), positions(6, 4, 40, 5, 3)
    budgets = np.array([50, 50, 17, 5, 0])
    found = run_agent(
        _line_agent(3), LineTask(), starts, goals, budgets, generator=noise(), keep_plans=0
    )
    assert found.success.tolist() == [True, True, False, True, False]
    assert found.env_steps[1:].tolist() == [0, 17, 5, 0] and 6 <= found.env_steps[0] <= 10
    assert (found.evaluations[[1, 4]] == 0).all() and (found.evaluations[[0, 2, 3]] > 0).all()
    assert found.recordings == {}


def test_episodes_that_are_over_cost_no_work():
    """An episode's work is the same however long the others run on."""
    short, budgets = positions(2, -3), np.array([100, 100, 100])
    for last in (5, 90):
        levels = _line_agent()
        found = run_agent(
            levels,
            LineTask(),
            positions(0, 0, 0),
            np.concatenate([short, positions(last)]),
            budgets,
            generator=noise(),
        )
        assert found.success.all() and found.env_steps.tolist() == [2, 3, last]
        # One search of three steps for every three env steps.
        searches = np.array([1, 1, -(-last // 3)])
        assert found.evaluations.tolist() == (searches * (3 + 9 + 27)).tolist()


@dataclass(frozen=True, kw_only=True)
class Cliff(LineTask):
    """A line on which no one should be at position 3."""

    def is_unsafe(self, states):
        return np.asarray(states)[:, 0] == 3


def test_an_episode_ends_where_it_becomes_unsafe_without_success():
    assert isinstance(Cliff(), Hazardous) and not isinstance(LineTask(), Hazardous)
    starts, goals, budgets = positions(0, 5, 0, 2), positions(8, 9, 3, -4), np.full(4, 20)
    for run in (
        lambda task: run_agent(
            _line_agent(), task, starts, goals, budgets, generator=noise(), keep_plans=4
        ),
        lambda task: run_oracle(task, starts, goals, budgets, seed=0),
    ):
        found = run(Cliff())
        assert found.unsafe.tolist() == [True, False, True, False], "also at the goal itself"
        assert found.success.tolist() == [False, True, False, True]
        assert found.env_steps.tolist() == [3, 4, 3, 6]
        free = run(LineTask())
        assert free.success.all() and not free.unsafe.any()
        for episode, recording in found.recordings.items():
            ends = {plan.outcome for plan in recording.plans if plan.ended == (3, 4, 3, 6)[episode]}
            assert ("unsafe" if found.unsafe[episode] else "success") in ends


class _Brittle(LineWorlds):
    """Breaks where it is stepped on at a goal, unless it is halted there."""

    goals: np.ndarray

    def __init__(self, starts, goals):
        super().__init__(starts, np.array(LineTask().moves), None)
        self.goals, self.over = goals, np.zeros(len(starts), dtype=bool)

    def halt(self, over):
        self.over = over

    def step(self, actions):
        assert not (~self.over & (self.states == self.goals)[:, 0]).any(), "stepped on at its goal"
        before = self.states
        super().step(actions)
        self.states = np.where(self.over[:, None], before, self.states)


@dataclass(frozen=True, kw_only=True)
class _BrittleTask(LineTask):
    goals: np.ndarray

    def batch(self, starts):
        return _Brittle(starts, self.goals)


def test_worlds_that_can_halt_are_not_stepped_on_after_their_episode():
    starts, goals, budgets = positions(0, 5, 0), positions(2, -4, 40), np.array([20, 20, 7])
    for run in (
        lambda task: run_agent(_line_agent(), task, starts, goals, budgets, generator=noise()),
        lambda task: run_oracle(task, starts, goals, budgets, seed=0),
    ):
        found, plain = run(_BrittleTask(goals=goals)), run(LineTask())
        assert found.success.tolist() == plain.success.tolist() == [True, True, False]
        assert found.env_steps.tolist() == plain.env_steps.tolist() == [2, 9, 7]
        assert np.array_equal(found.evaluations, plain.evaluations)


def test_an_agent_that_refuses_ends_its_episode_without_a_step():
    forbidden = Guardrail(name="beyond", by_level=[lambda z: (z[..., 0] > 50).float()])
    starts, goals, budgets = positions(0, 60, 60), positions(4, 64, 60), np.full(3, 20)

    def run(*guardrails):
        agent = _line_agent(guardrails=guardrails)
        return run_agent(agent, LineTask(), starts, goals, budgets, generator=noise(), keep_plans=3)

    found, free = run(forbidden), run()
    assert found.refused.tolist() == [False, True, False]
    assert found.success.tolist() == [True, False, True], "who is there need not act"
    assert found.env_steps.tolist() == [4, 0, 0]
    assert not found.unsafe.any() and not found.stuck.any()
    assert free.success.all() and not free.refused.any()
    assert not found.recordings[1].plans, "it had none that it could have adopted"


def _held(before, after):
    """Who is beyond position 50 cannot move."""
    return np.where(before > 50, before, after)


def test_a_failed_episode_tells_whether_the_agent_itself_reported_that_it_was_stuck():
    task, starts, goals = LineTask(hurdle=_held), positions(60, 0), positions(69, 2)
    budgets = np.array([60, 60])
    found = run_agent(_line_agent(), task, starts, goals, budgets, generator=noise())
    assert found.success.tolist() == [False, True] and found.stuck.tolist() == [True, False]
    assert found.env_steps.tolist() == [60, 2], "a report alone ends nothing"
    never = run_agent(_line_agent(stuck_after=0), task, starts, goals, budgets, generator=noise())
    assert not never.stuck.any()


def test_plans_are_kept_of_episodes_spread_evenly():
    starts, goals = positions(*range(9)), positions(*range(10, 19))
    found = run_agent(
        _line_agent(),
        LineTask(),
        starts,
        goals,
        np.full(9, 20),
        generator=noise(),
        keep_plans=3,
    )
    assert list(found.recordings) == [0, 4, 8]
    plans = {episode: recording.plans for episode, recording in found.recordings.items()}
    # Ten steps at three a plan; the last plan arrives.
    assert all([r.outcome for r in plans[e]] == ["done"] * 3 + ["success"] for e in (0, 8))
    assert [r.made for r in plans[4]] == [0, 3, 6, 9]
    assert [r.energy_before for r in plans[4]] == [10, 7, 4, 1]
    assert [r.steps_promised for r in plans[4]] == [3, 3, 3, 1]
    assert [r.energy_promised for r in plans[4]] == [7, 4, 1, 0]


def test_the_same_seed_gives_the_same_episodes():
    starts, goals = positions(0, 5), positions(33, -20)

    def run(seed):
        return run_agent(
            _line_agent(3, 2),
            LineTask(),
            starts,
            goals,
            np.full(2, 60),
            generator=noise(seed),
            keep_plans=2,
        )

    first, again, other = run(0), run(0), run(1)
    assert first.recordings == again.recordings != other.recordings
    assert np.array_equal(first.evaluations, again.evaluations)


def test_shortest_paths_are_the_ceiling_and_random_actions_the_floor():
    config = tiny_config(1)
    task = tiny_task(config)
    suite, budgets = task.suite(episodes_per_bin=20, seed=0), np.full(40, 12)
    best = run_oracle(task, suite.starts, suite.goals, budgets, seed=0)
    assert best.success.all() and np.array_equal(best.env_steps, suite.optimal_steps)
    a, b, c = (run_random(task, suite.starts, suite.goals, budgets, seed=s) for s in (0, 0, 1))
    assert np.array_equal(a.env_steps, b.env_steps)
    assert not np.array_equal(a.env_steps, c.env_steps)
    assert a.success.mean() < 0.6 and (a.env_steps <= 12).all() and not a.evaluations.any()


def test_tasks_and_worlds_of_ones_own_are_known_by_what_they_offer():
    task = LineTask()
    assert isinstance(task, Task) and isinstance(task.batch(positions(0)), Worlds)
    assert isinstance(tiny_task(tiny_config(1)), Task)
    assert not isinstance(object(), Task) and not isinstance(torch.zeros(1), Worlds)
