"""What is kept of an episode: measured exactly, drawn once, and without any effect on it."""

import base64
import io
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from PIL import Image

from hplan.agent import Agent
from hplan.agent_state import Cause, PlanEvent
from hplan.config import EvaluationConfig
from hplan.episodes import run_agent
from hplan.recording import PlanLog
from hplan.search.result import SearchResult
from tests.hplan.line_world import LineTask, LineWorlds, line_configs, line_stack, noise, positions

BUDGET, ZERO = 40, 100  # the red of the picture of position 0


class WatchedWorlds(LineWorlds):
    """Remembers the actions taken."""

    taken: list[list[int]]

    def step(self, actions):
        self.taken.append(actions.tolist())
        super().step(actions)


@dataclass(frozen=True, kw_only=True)
class DrawnLine(LineTask):
    """A line whose pictures tell the position by their red, and that remembers what was done."""

    drawn: list[int] = field(default_factory=list)
    taken: list[list[int]] = field(default_factory=list)

    def picture(self, obs):
        self.drawn.append(int(obs.item()))
        return np.full((2, 3, 3), (ZERO + self.drawn[-1], 0, 0), dtype=np.uint8)

    def batch(self, starts):
        worlds = WatchedWorlds(starts, np.array(self.moves), self.hurdle)
        worlds.taken = self.taken
        return worlds


def _agent(*ratios, energy="distance", **planner):
    levels = line_stack(*ratios)
    configs = line_configs(len(levels), **planner)
    return Agent(levels=levels, configs=configs, energy=energy, settings=EvaluationConfig())


def _run(task, agent, *, starts=(0, 5, 2), goals=(13, -9, 30), keep=3, bank=None, generator=None):
    return run_agent(
        agent,
        task,
        positions(*starts),
        positions(*goals),
        np.full(len(starts), BUDGET),
        generator=generator or noise(),
        keep_plans=keep,
        bank=bank,
    )


def _bank(*values):
    return LineTask().observe(positions(*values))


def _shown(picture):
    """The position that a picture tells."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    assert image.size == (3, 2)
    return image.getpixel((0, 0))[0] - ZERO


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
    agent = _agent(3, 2, lead=[1], clock=[2], tolerance=[0.2, 0.6])
    found = _run(LineTask(), agent, starts=[0, 0, 40], goals=[33, 60, 0])
    plans = [plan for recording in found.recordings.values() for plan in recording.plans]
    early = [plan for plan in plans if plan.outcome not in ("success", "out_of_steps")]
    reached = [plan for plan in early if plan.outcome == "reached"]
    assert 3 < len(reached) < len(early)
    for plan in early:
        judge = plan.level + (plan.parent > 0)  # the level that set the target
        assert (plan.outcome == "reached") == (plan.energy_ended <= (0.6 if judge else 0.2))
    arrived = [plan for plan in plans if plan.outcome == "success" and plan.energy_ended == 0]
    assert arrived, "who ends with the episode ends so, though its target was met as well"


def test_what_is_kept_changes_nothing_in_the_episodes():
    runs = []
    for keep, bank in ((0, None), (3, _bank(*range(-10, 40)))):
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
        shown = [_shown(picture) for picture in recording.pictures]
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
    assert encoded(2, _bank(*range(700)))[0] == kept + 700


def _event(identity=(1, 1, 1)):
    """Plans of level 1 in three episodes; the second looks one step ahead only."""
    ahead = torch.tensor([[0.0, 1.0, 2.0, 3.0], [0.0, 4.0, 4.0, 4.0], [0.0, -1.0, -2.0, -3.0]])
    zeros = torch.zeros(3)
    result = SearchResult(
        actions=torch.zeros(3, 3, 1),
        latents=ahead.unsqueeze(-1),
        num_steps=torch.tensor([3, 1, 3]),
        score=zeros,
        left=zeros,
        support=zeros,
        evaluations=7,
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
        flops=0,
    )


def test_a_subgoal_is_shown_by_the_nearest_of_the_bank():
    """A step of level 1 is three positions: the subgoals are at 6, 12 and -6."""
    agent, task, over = _agent(3), DrawnLine(), np.ones(3, dtype=bool)
    agent.levels[1].move.fill_(0.25)
    log = PlanLog(agent, np.array([0, 1]))
    log.saw(task.observe(positions(0, 0, 0)), over)
    log.made(_event(), 0)
    log.episodes_ended(over, ~over, 0)
    found = log.recordings(task.observe(positions(9, 9, 9)), _bank(-6, 30, 9, 6), task)
    plans = [found[episode].plans[0] for episode in (0, 1)]
    shown = [_shown(found[e].pictures[plan.subgoal]) for e, plan in enumerate(plans)]
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
    agent, task, over = _agent(3), DrawnLine(), np.ones(3, dtype=bool)
    agent.levels[0].move.fill_(100.0)
    agent.levels[1].move.fill_(0.25)
    log = PlanLog(agent, np.array([0, 1]))
    log.saw(task.observe(positions(0, 0, 0)), over)
    log.made(_event(), 0)
    log.made(_pursuit(2, 2.0, 4.0), 0)
    log.saw(task.observe(positions(1, 1, 1)), over)
    log.made(_pursuit(3, 9.0, 11.0), 1)
    log.episodes_ended(over, ~over, 1)
    # As positions, 9 and 11 would be nearest to 9.
    found = log.recordings(task.observe(positions(20, 20, 20)), _bank(-6, 30, 9, 6), task)
    expected = [[(20, 0), (6, 0), (30, 4)], [(20, 0), (9, 4), (30, 4)]]
    for episode, targets in enumerate(expected):
        pictures = [_shown(picture) for picture in found[episode].pictures]
        plans = found[episode].plans
        assert [plan.parent for plan in plans] == [0, 1, 1]
        told = [(pictures[plan.target], plan.target_distance) for plan in plans]
        assert told == [(place, pytest.approx(gap)) for place, gap in targets]
        assert pictures[plans[0].subgoal] == targets[1][0], "of the first alone"


def test_plans_below_tell_each_subgoal_that_a_plan_goes_on_to():
    agent = _agent(3, 2, lead=[1], clock=[2], tolerance=[0.2, 0.6])
    bank, starts, goals = _bank(*range(-20, 80)), [0, 0, 40], [33, 60, 0]
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


def test_a_plan_that_was_not_taken_is_not_kept():
    log = PlanLog(_agent(3), np.array([0, 1]))
    log.saw(LineTask().observe(positions(0, 0, 0)), np.ones(3, dtype=bool))
    log.made(_event(identity=(0, 1, 1)), 0)
    found = log.recordings(LineTask().observe(positions(0, 0, 0)), None, LineTask())
    assert [len(found[episode].plans) for episode in (0, 1)] == [0, 1]


def test_only_levels_above_the_bottom_set_subgoals():
    plans = _run(LineTask(), _agent(3), bank=_bank(*range(-20, 40))).recordings[2].plans
    assert {plan.level for plan in plans} == {0, 1}
    for plan in plans:
        assert (plan.subgoal_distance is None) == (plan.level == 0)
        assert (plan.target_distance is None) == (plan.parent == 0)
        assert plan.subgoal is plan.target is None, "nobody draws a bare line"


@pytest.mark.parametrize("bank", [None, _bank()])
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
