"""The page on planning: what it lets a user write runs as written, and its table is whole."""

import re
import sys
from pathlib import Path

import pytest
import torch

from hplan.agent import Agent
from hplan.config import AgentConfig
from hplan.goals import Goals
from hplan.guardrails import build_guardrails
from hplan.search import SEARCHES
from tests.hplan.line_world import LineTask, line_configs, line_stack, noise, positions, walk

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "planning.md").read_text()
SEARCH, GUARDRAIL, GOALS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def my_file(tmp_path, monkeypatch):
    """A module that holds all of the page's code."""
    (tmp_path / "my_file.py").write_text(SEARCH + GUARDRAIL + GOALS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_file", raising=False)
    import my_file

    return my_file


def _agent(search: str = "cem", **settings) -> Agent:
    levels = line_stack(3)
    return Agent(
        levels=levels,
        configs=line_configs(2, search=["tree", search]),
        energy="distance",
        settings=AgentConfig(),
        **settings,
    )


def test_a_search_of_ones_own_plans_at_its_level(my_file):
    made = walk(_agent("my_file.at_random"), LineTask(), positions(0, 3), positions(40, -50), 3)
    above = [event for events in made.events for event in events if event.level == 1]
    assert above and all((event.result.evaluations == 4).all() for event in above)


def test_a_guardrail_of_ones_own_is_obeyed(my_file):
    levels = line_stack(3)
    rails = build_guardrails(["my_file.keep_small"], levels, LineTask(), 0)
    kept = walk(_agent(guardrails=rails), LineTask(), positions(0), positions(12), 20).states
    free = walk(_agent(), LineTask(), positions(0), positions(12), 20).states
    assert kept.max() == 9 and free.max() > 11


def test_goals_without_an_observation_are_reached(my_file):
    agent, task = _agent(), LineTask()
    examples = torch.tensor([[6.0, -4.0]]).view(1, 2, 1, 1, 1)
    for goals, reached in (
        (my_file.any_of_these(agent.levels, examples), -4.0),
        (my_file.where_it_is_low(agent.levels, 1), 0.0),
    ):
        assert isinstance(goals, Goals)
        worlds, state, generator = task.batch(positions(-8)), agent.start(1), noise()
        seen = []
        for _ in range(16):
            obs = torch.from_numpy(worlds.observe())
            actions, state, _ = agent.act(state, obs, goals, torch.tensor([True]), generator)
            worlds.step(actions.numpy())
            seen.append(float(worlds.states[0, 0]))
        assert reached in seen


def test_the_table_names_every_search():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(SEARCHES)
