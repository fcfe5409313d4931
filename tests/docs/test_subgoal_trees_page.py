"""The page on subgoal trees: its blocks run and answer rightly, its tables name what there is."""

import contextlib
import io
import re
from dataclasses import fields
from pathlib import Path

import pytest

from hplan.subgoal_tree import ROOT, PlanRecord, build_tree, load_tree, save_tree
from tests.hplan import trees

PAGE = Path(__file__).resolve().parents[2] / "docs" / "subgoal-trees.md"
SETUP, *QUESTIONS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
TREE = re.search(r'Path\("(.*?)"\)', SETUP).group(1)


def plan(number: int, parent: int, level: int, made: int, ended: int, **changes) -> PlanRecord:
    measured = {"energy_before": 40.0, "energy_promised": 10.0, "energy_ended": 20.0}
    told = {"steps_promised": 20.0, **measured, **changes}
    return trees.plan(number, parent, level, made=made, ended=ended, **told)


RECORDS = [
    plan(1, 0, 2, 0, 11),
    plan(2, 1, 1, 0, 4, energy_ended=3.0, outcome="expired"),
    plan(3, 2, 0, 0, 4, energy_before=9.0, energy_promised=1.0, energy_ended=2.0),
    plan(4, 1, 1, 4, 11, cause="clock", energy_ended=6.0),
    plan(
        5, 4, 0, 4, 6, cause="surprise", outcome="infeasible", energy_ended=7.0, energy_before=9.0
    ),
    plan(6, 4, 0, 6, 11, cause="surprise", energy_ended=None),
    plan(7, 0, 0, 11, 29, cause="target_changed", outcome="out_of_steps", energy_before=None),
]
ANSWERS = [
    "plan 1 of level 2: 11 env steps, reached\n",
    "surprise: 2 of 4\n",
    "level 0: 50% of 4\nlevel 1: 50% of 2\nlevel 2: 0% of 1\n",
    "subgoals of level 1: 4.5 env steps away\nsubgoals of level 2: 4.5 env steps away\n",
    "level 0: 9.0 of 7.0\nlevel 1: 71.0 of 60.0\nlevel 2: 20.0 of 30.0\n",
]


def answer(question: str, records: list[PlanRecord], folder: Path) -> str:
    """What the page's code prints, in a folder that holds a tree where the page looks for it."""
    save_tree(folder / TREE, build_tree(records, {"num_levels": 3, "env_steps": 29}))
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        exec(compile(SETUP + question, str(PAGE), "exec"), {})
    return printed.getvalue()


@pytest.mark.parametrize("index", range(5))
def test_a_question_is_answered_as_by_hand(index: int, tmp_path: Path) -> None:
    assert len(QUESTIONS) == len(ANSWERS)
    assert answer(QUESTIONS[index], RECORDS, tmp_path) == ANSWERS[index]


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_episode_without_plans_has_no_answers(question: str, tmp_path: Path) -> None:
    assert answer(question, [], tmp_path) == ""


def attributes(first_header: str) -> set[str]:
    """Names in the first column of the table with that header."""
    lines = PAGE.read_text().splitlines()
    rows = lines[next(i for i, s in enumerate(lines) if s.startswith(f"| `{first_header}")) + 2 :]
    end = next(i for i, line in enumerate(rows) if not line.startswith("|"))
    return {name for row in rows[:end] for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_the_tables_name_the_attributes_that_there_are(tmp_path: Path) -> None:
    save_tree(tmp_path / "tree.json", build_tree(RECORDS, {"num_levels": 3}))
    tree = load_tree(tmp_path / "tree.json")
    assert attributes("tree.graph") == set(tree.graph)
    assert attributes("tree.nodes[0]") == set(tree.nodes[ROOT])
    assert attributes("tree.nodes[plan]") == set(tree.nodes[1])
    assert set(tree.nodes[1]) == {f.name for f in fields(PlanRecord)} - {"plan", "parent"}
