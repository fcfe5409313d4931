"""The page on one's own environment: its code makes the task that it tells of."""

import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import yaml

from hplan.config import TaskConfig
from tasks.gymnasium_envs.task import GymTask, make_gym_task
from tests.tasks.gym_corridor import PATH

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "your-own-environment.md").read_text()
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(CONFIG,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> Iterator[GymTask]:
    """The page's task, with data of the page's policy."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "my_car.py").write_text(CODE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.delitem(sys.modules, "my_car", raising=False)
        yield _task_with_data()


def _task_with_data() -> GymTask:
    settings = yaml.safe_load(CONFIG)
    options = settings["task"]
    task = make_gym_task(options.pop("name"), 0, **options)
    random = np.random.default_rng(0)
    return task.with_episodes(task.wander(40, 150, random, settings["data"]["policy"]))


def test_the_user_writes_less_than_thirty_lines():
    written = [line for line in (CODE + CONFIG).splitlines() if line.strip()]
    assert 10 < len(written) < 30


def test_the_policy_gets_to_the_flag_now_and_then_and_everywhere_else(task):
    highest = np.array([task.episodes.observations(e)[:, 0].max() for e in range(40)])
    assert 2 <= (highest >= 0.5).sum() <= 30 and task.episodes.frames[:, 0].min() < -1.1


def test_the_goal_is_the_flag_and_is_reached_as_the_page_says(task):
    suite = task.suite(episodes_per_bin=3, seed=0)
    assert suite.goals.tolist() == [[0.5, 0.0]] * 3
    assert task.success_rule == "my_car.at_the_flag(observation, goal, info) is true"
    batch, reached = task.batch(suite.starts), []
    for _ in range(250):
        rolling = np.where(batch.observe()[:, 1] > 0, 2, 0)
        batch.step(rolling)
        reached.append(task.is_success(batch.states, suite.goals))
    assert not reached[30].any() and reached[-1].all()


def test_the_defaults_are_those_that_the_page_tells():
    task = make_gym_task(f"gym:{PATH}:CorridorBox-v0", 0)
    told = re.findall(r"^\| `(task\.\w+)` .*\| ([\d.]+) \|$", PAGE, re.MULTILINE)
    assert told == [
        ("task.goal_offset", f"{task.goal_offset}"), ("task.tolerance", f"{task.tolerance}")
    ]  # fmt: skip
    assert f"{task.behaviour['hold']:g} env steps on average" in PAGE


def test_the_page_names_all_that_a_gym_task_can_be_told():
    named = set(re.findall(r"task\.(\w+)", PAGE))
    assert named >= {field.name for field in fields(TaskConfig)} - {"layout_seed", "view"}
