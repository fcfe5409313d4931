"""What is kept of an episode: measured exactly, drawn once, and without any effect on it."""

import numpy as np
import pytest
import torch

from hplan.agent import Agent
from hplan.config import AgentConfig
from hplan.episodes import run_agent
from tests.hplan.drawn_line import DrawnLine, bank_of, shown_by
from tests.hplan.line_world import LineTask, line_configs, line_stack, noise, positions

BUDGET = 40


def _agent(*ratios, energy="distance", **planner):
    levels = line_stack(*ratios)
    configs, settings = line_configs(len(levels), **planner), AgentConfig(feedback=0)
    return Agent(levels=levels, configs=configs, energy=energy, settings=settings)


def _run(task, agent, *, starts=(0, 5, 2), goals=(13, -9, 30), keep=3, bank=None, generator=None):
    found = run_agent(
        agent,
        task,
        positions(*starts),
        positions(*goals),
        np.full(len(starts), BUDGET),
        generator=generator or noise(),
        keep_plans=keep,
        bank=bank,
    )
    assert len(found.recordings) == min(keep, len(starts))  # measured and drawn now
    return found


def test_energies_are_those_of_every_env_step_of_a_plan():
    plans = _run(LineTask(), _agent(), starts=[0], goals=[10]).recordings[0].plans
    expected = [[10, 9, 8, 7], [7, 6, 5, 4], [4, 3, 2, 1], [1, 0]]
    assert [plan.energies for plan in plans] == expected
    assert [plan.energy_ended for plan in plans] == [7, 4, 1, 0]
    assert {plan.energy_unit for plan in plans} == {"env steps"}
    plans = _run(LineTask(), _agent(energy="l2"), starts=[0], goals=[10]).recordings[0].plans
    assert plans[0].energies == [100, 81, 64, 49]
    assert {plan.energy_unit for plan in plans} == {"squared latent difference"}


@pytest.mark.parametrize("energy", ["distance", "l2"])
def test_energies_of_all_levels_begin_with_what_the_planner_saw(energy):
    found = _run(LineTask(), _agent(3, 2, energy=energy), starts=[0, 0], goals=[33, 60], keep=2)
    plans = [plan for recording in found.recordings.values() for plan in recording.plans]
    assert {plan.level for plan in plans} == {0, 1, 2}
    for plan in plans:
        assert len(plan.energies) == plan.ended - plan.made + 1
        assert plan.energies[0] == pytest.approx(plan.energy_before, rel=1e-4, abs=1e-5)
        assert plan.energies[-1] == plan.energy_ended


def test_a_plan_ends_as_reached_if_and_only_if_its_target_is_met():
    # Subgoals near enough to be met before the level above plans again.
    agent = _agent(3, 2, lead=[1], clock=[100, 2], tolerance=[0.2, 0.6])
    found = _run(LineTask(), agent, starts=[0, 0, 40], goals=[12, 60, 28])
    plans = [plan for recording in found.recordings.values() for plan in recording.plans]
    early = [plan for plan in plans if plan.outcome not in ("success", "out_of_steps")]
    reached = [plan for plan in early if plan.outcome == "reached"]
    assert 3 < len(reached) < len(early)
    for plan in early:
        stride = (1, 3, 6)[plan.level + (plan.parent > 0)]  # of the level that set the target
        is_met = plan.energy_ended <= (0.2 if stride == 1 else 0.6)
        # A subgoal is reached as well where the prediction of it has come true.
        is_met |= plan.parent > 0 and (plan.energy_ended / stride) ** 2 <= 0.1
        assert (plan.outcome == "reached") == is_met
    arrived = [plan for plan in plans if plan.outcome == "success" and plan.energy_ended == 0]
    assert arrived, "who ends with the episode ends so, though its target was met as well"


def test_what_is_kept_changes_nothing_in_the_episodes():
    runs = []
    for keep, bank in ((0, None), (3, bank_of(*range(-10, 40)))):
        task, generator, agent = DrawnLine(), noise(), _agent(3)
        torch.manual_seed(0)
        found = _run(task, agent, keep=keep, bank=bank, generator=generator)
        drawn = [state.tolist() for state in (generator.get_state(), torch.get_rng_state())]
        runs.append((task.taken, drawn, found))
    (bare_actions, bare_noise, bare), (actions, after, kept) = runs
    assert actions == bare_actions and after == bare_noise and len(actions) > 10
    for name in ("success", "env_steps", "evaluations", "flops", "plans_by_level"):
        assert np.array_equal(getattr(bare, name), getattr(kept, name))
    other = noise(1)
    _run(DrawnLine(), _agent(3), keep=0, generator=other)
    assert other.get_state().tolist() != after[0], "what is drawn does tell"


def test_observations_are_the_pictures_of_every_env_step():
    task = DrawnLine()
    found = _run(task, _agent(), starts=[0, 5, 3], goals=[6, 5, 90])
    for episode, (start, goal, steps) in enumerate([(0, 6, 6), (5, 5, 0), (3, 90, BUDGET)]):
        recording = found.recordings[episode]
        shown = [shown_by(picture) for picture in recording.pictures]
        assert [shown[i] for i in recording.observations] == list(range(start, start + steps + 1))
        assert shown[recording.goal] == goal
        assert len(set(shown)) == len(shown)
    assert len(set(task.drawn)) == len(task.drawn), "each position is drawn once"
    assert found.recordings[1].plans == []


def test_observations_are_encoded_once_however_often_they_occur():
    def encoded(keep, bank=None):
        agent, rows = _agent(3), []
        agent.levels[0].encoder.register_forward_hook(lambda _, args, z: rows.append(len(z)))
        found = _run(DrawnLine(), agent, starts=[0, 1], goals=[20, 21], keep=keep, bank=bank)
        return sum(rows), found

    (bare, _), (kept, found) = encoded(0), encoded(2)
    pictures = {p for recording in found.recordings.values() for p in recording.pictures}
    assert kept - bare == len(pictures) == 22, "positions 0 to 21"
    assert encoded(2, bank_of(*range(700)))[0] == kept + 700


def test_plans_below_tell_each_subgoal_that_a_plan_goes_on_to():
    agent = _agent(3, 2, lead=[1], clock=[100, 4], surprise=[1e9], tolerance=[0.2, 0.6])
    bank, starts, goals = bank_of(*range(-20, 80)), [0, 0, 40], [33, 60, 0]
    found = _run(DrawnLine(), agent, starts=starts, goals=goals, bank=bank).recordings
    onwards = 0
    for recording in found.values():
        plans = {plan.plan: plan for plan in recording.plans}
        for plan in recording.plans:
            above = plans.get(plan.parent)
            if above is None:
                assert (plan.target, plan.target_distance) == (recording.goal, 0)
            elif plan.made == above.made:
                told = (plan.target, plan.target_distance)
                assert told == (above.subgoal, above.subgoal_distance)
            else:
                onwards += plan.target != above.subgoal
    assert onwards > 3


def test_only_levels_above_the_bottom_set_subgoals():
    plans = _run(LineTask(), _agent(3), bank=bank_of(*range(-20, 40))).recordings[2].plans
    assert {plan.level for plan in plans} == {0, 1}
    for plan in plans:
        assert (plan.subgoal_distance is None) == (plan.level == 0)
        assert (plan.target_distance is None) == (plan.parent == 0)
        assert plan.subgoal is plan.target is None, "nobody draws a bare line"


@pytest.mark.parametrize("bank", [None, bank_of()])
def test_without_a_bank_no_subgoal_is_shown(bank):
    recording = _run(DrawnLine(), _agent(3), bank=bank).recordings[2]
    assert all(plan.subgoal is plan.subgoal_distance is None for plan in recording.plans)
    for plan in recording.plans:  # the goal needs none
        told = (None, None) if plan.parent else (recording.goal, 0)
        assert (plan.target, plan.target_distance) == told
    assert {plan.parent > 0 for plan in recording.plans} == {True, False}
    assert len(recording.pictures) > 10


def test_a_task_without_pictures_is_kept_without():
    recording = _run(LineTask(), _agent()).recordings[0]
    assert (recording.pictures, recording.observations, recording.goal) == ([], [], None)
    assert recording.plans


def test_a_picture_that_is_none_is_refused():
    class Wrong(LineTask):
        def picture(self, obs):
            return obs

    with pytest.raises(ValueError, match=r"picture is float32 \(1, 1, 1\); allowed is uint8"):
        _run(Wrong(), _agent())
