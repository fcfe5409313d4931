"""A hierarchy of depth one is flat planning, bit for bit, on real episodes."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from hplan.agent import NUM_CORRECTIONS, Agent
from hplan.corrections import WIDER, WIDEST
from hplan.energy import Avoiding, TargetEnergy, arrival_energy, step_cost
from hplan.level_config import level_configs
from hplan.search.beam import beam
from hplan.search.problem import Problem
from tests.hplan.line_world import noise, walk
from tests.hplan.stacks import tiny_config, tiny_stack, tiny_task


class Mended:
    """A level that follows the transitions [start, action, end, radius, times] it got wrong."""

    def __init__(self, level, wrong) -> None:
        self.level, self.wrong = level, wrong
        self.num_actions = level.num_actions

    def predict(self, z: Tensor, action: Tensor) -> Tensor:
        after = self.level.predict(z, action)
        for start, number, end, radius, _ in self.wrong:  # the newest comes last, and wins
            near = (z - start).square().mean(-1) < radius
            after = torch.where((near & (action.argmax(-1) == number)).unsqueeze(-1), end, after)
        return after

    def of(self, rows: Tensor) -> "Mended":
        return self


def _flat_actions(agent: Agent, task, start, goal, num_steps) -> tuple[list[int], int]:
    """Flat planning written out for one episode; also how often the world surprised it."""
    level, planner, settings = agent.levels[0], agent.configs[0].planner, agent.settings
    near = arrival_energy(level, planner.tolerance, agent.energy)
    unit, limits = step_cost(level, agent.energy), planner.surprise * level.rollout_error
    same_place = agent.start(1).corrections.radius
    worlds, target = task.batch(start), level.encode(torch.from_numpy(task.observe(goal)))
    plan, before, done, past, wrong, actions = None, None, 0, [], [], []
    for _ in range(num_steps):
        z = level.encode(torch.from_numpy(worlds.observe()))
        gap = 0.0 if not done else float((plan.latents[:, done] - z).square().mean())
        failed = gap > float(limits[min(max(done, 1), len(limits)) - 1])
        alike = [
            other
            for other in wrong[-NUM_CORRECTIONS:]
            if actions and other[1] == actions[-1]
            if float((other[0] - before).square().mean()) < same_place and other[4]
        ]
        if failed:
            known = [other[3] for other in alike if other[4] >= settings.confirmed]
            wider = min(WIDER * max(known), WIDEST * same_place) if known else same_place
            times = 1 + max((other[4] for other in alike), default=0)
            wrong.append([before, actions[-1], z, wider, times])
        for other in alike if not failed else []:
            if other[4] < settings.confirmed:  # it came true once more, or was chance
                there = float((other[2] - z).square().mean()) < same_place
                other[4] = (other[4] + 1) * there
        if plan is None or done == plan.num_steps or failed:
            past, known_wrong = [z, *past][: settings.memory], wrong[-NUM_CORRECTIONS:]
            energy = Avoiding(
                energy=TargetEnergy(level=level, target=target.unsqueeze(1), name=agent.energy),
                places=torch.stack(past, dim=1),
                valid=torch.ones(1, len(past), dtype=torch.bool),
                radius=same_place,
                penalty=settings.avoid_penalty * unit,
            )
            problem = Problem(
                model=Mended(level, [w for w in known_wrong if w[4] >= settings.confirmed]),
                z=z,
                energy=energy,
                cost=unit,
                arrival=near if agent.energy == "distance" else torch.inf,
                support=None,
                guard=None,
                deadline=None,
            )
            plan = beam(problem, config=planner, warm_start=None, generator=noise())
            done = 0
        actions.append(int(plan.actions[0, done].argmax()))
        done, before = done + 1, z
        worlds.step(np.array(actions[-1:]))
    return actions, len(wrong)


@cache
def _stack(num_updates: int) -> torch.nn.ModuleList:
    return tiny_stack(tiny_config(1), num_updates=num_updates)


@pytest.mark.parametrize(
    ("num_updates", "energy", "confirmed"),
    [
        (20, "distance", 1),
        (20, "distance", 2),
        (0, "l2", 1),
        pytest.param(0, "distance", 1, marks=pytest.mark.slow),
        pytest.param(0, "distance", 2, marks=pytest.mark.slow),
        pytest.param(20, "l2", 1, marks=pytest.mark.slow),
    ],
)
def test_a_hierarchy_of_depth_one_acts_as_flat_planning_bit_for_bit(num_updates, energy, confirmed):
    config, num_steps = tiny_config(1), 15
    task, levels = tiny_task(config), _stack(num_updates)
    agent = Agent(
        levels=levels,
        configs=level_configs(config.hierarchy),
        energy=energy,
        settings=replace(config.agent, stuck_after=0, confirmed=confirmed),
    )
    suite = task.suite(episodes_per_bin=2, seed=0)
    num_surprises = 0
    for e in (0, 2):  # one of each bin
        start, goal = suite.starts[e : e + 1], suite.goals[e : e + 1]
        flat, surprises = _flat_actions(agent, task, start, goal, num_steps)
        assert walk(agent, task, start, goal, num_steps, seed=e).actions[:, 0].tolist() == flat
        num_surprises += surprises
    assert num_surprises > 0, "the loop that carries a plan out was never cut short"
