"""The subgoal tree in the terminal: every plan told once, names shown as they stand."""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import networkx as nx
import pytest
from rich.console import Console

from hplan.subgoal_tree import PlanRecord, build_tree, save_tree
from hplan.tree_checks import Cause, Outcome
from hplan.tree_text import CAUSES, OUTCOMES, goal_summary, number, render, show
from tests.hplan import trees

GOAL = {
    "num_levels": 3,
    "task": "rooms",
    "method": "hierarchical",
    "energy": "distance",
    "bin": "far",
    "episode": 7,
    "env_steps": 29,
    "optimal_steps": 23,
    "success": True,
}


def plan(number: int, parent: int, level: int, made: int, ended: int, **changes) -> PlanRecord:
    measured = {"energy_before": 23.75, "energy_promised": 0.5, "energy_ended": 3.5}
    told = {"cause": "clock", "outcome": "done", "steps_promised": 19.0, **measured, **changes}
    return trees.plan(number, parent, level, made=made, ended=ended, **told)


def tree(*extra: PlanRecord, **goal) -> nx.DiGraph:
    """A plan at each level, and a row of five at the bottom."""
    bottom = [
        plan(3 + i, 2, 0, 2 + 3 * i, 5 + 3 * i, energy_before=11.0 - i, energy_ended=10.0 - i)
        for i in range(5)
    ]
    bottom[1] = replace(bottom[1], outcome="surprise", cause="surprise")
    records = [plan(1, 0, 2, 2, 17, cause="start", outcome="expired"), plan(2, 1, 1, 2, 17)]
    return build_tree([*records, *bottom, *extra], {**GOAL, **goal})


def printed(graph: nx.DiGraph, *, colour: bool = False, **options) -> list[str]:
    file = io.StringIO()
    system = "truecolor" if colour else None
    console = Console(file=file, width=200, color_system=system, force_terminal=colour)
    console.print(render(graph, **options))
    return file.getvalue().splitlines()


def test_a_plan_tells_what_it_was_made_for_and_what_became_of_it() -> None:
    header, top, *_ = printed(tree())
    for part in ("rooms", "hierarchical", "bin far", "episode 7", "29 env steps", "shortest 23"):
        assert part in header
    assert "★ success" in header
    assert "level 2 #1  2-17, promised 19  ◷ expired  made: start" in top
    assert "energy 23.8 → 3.5 env steps" in top


def test_a_failed_episode_is_told_from_a_reached_one() -> None:
    assert "✗ failed" in printed(tree(success=False))[0]
    assert "failed" not in printed(tree())[0]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"refused": True}, "· ■ refused"),
        ({"unsafe": True, "refused": False}, "· ▲ unsafe"),
        ({"stuck": True}, "· ✗ failed · the agent reported that it was stuck"),
        ({"stuck": True, "refused": True}, "■ refused · the agent reported that it was stuck"),
    ],
)
def test_failures_that_were_told_apart_are_told(told: dict[str, bool], expected: str) -> None:
    assert printed(tree(success=False, **told))[0].endswith(expected)


def test_an_infeasible_plan_is_told() -> None:
    line = printed(tree(plan(8, 0, 1, 20, 23, cause="infeasible", outcome="infeasible")))[-1]
    assert "⊘ infeasible  made: infeasible" in line


def test_what_is_not_known_is_not_made_up() -> None:
    bare = plan(
        8, 0, 0, 20, 23, energy_before=None, energy_ended=None, energy_unit=None,
        steps_promised=None,
    )  # fmt: skip
    line = printed(tree(bare))[-1]
    assert "#8" in line and "energy not measured" in line and "promised" not in line
    half = plan(8, 0, 0, 20, 23, energy_ended=None)
    assert "energy 23.8 → ? env steps" in printed(tree(half))[-1]
    assert goal_summary({}) == "" and printed(build_tree([], {"num_levels": 1})) == ["an episode"]


def test_a_row_of_bottom_plans_is_one_line_that_counts_them() -> None:
    lines = printed(tree())
    assert len(lines) == 4
    assert "5 plans of level 0  2-17  4 ✓ done, 1 ! surprise  energy 11 → 6 env steps" in lines[-1]


def test_two_plans_in_a_row_are_not_folded() -> None:
    pair = [plan(8 + i, 0, 0, 20 + i, 21 + i) for i in range(2)]
    assert sum("#8" in line or "#9" in line for line in printed(tree(*pair))) == 2
    third = plan(10, 0, 0, 22, 23)
    assert any("3 plans of level 0" in line for line in printed(tree(*pair, third)))


def test_a_plan_above_between_them_parts_a_row() -> None:
    row = [plan(8, 0, 0, 20, 21), plan(9, 0, 0, 21, 22), plan(10, 0, 1, 22, 23)]
    lines = printed(tree(*row, plan(11, 0, 0, 23, 24)))
    assert [n for n in range(8, 12) if any(f"#{n} " in line for line in lines)] == [8, 9, 10, 11]


def test_all_plans_are_told_once_each_in_order_of_time() -> None:
    graph = tree(plan(8, 0, 1, 19, 29), plan(9, 8, 0, 19, 29))
    lines = printed(graph, all_plans=True)
    numbers = [int(n) for line in lines for n in re.findall(r"#(\d+) ", line)]
    assert numbers == list(range(1, 10))
    depths = {n: line.index("level") // 4 for n, line in zip(numbers, lines[1:], strict=True)}
    assert depths == {n: nx.shortest_path_length(graph, 0, n) for n in numbers}


def test_markup_of_a_file_is_shown_and_steers_nothing() -> None:
    lines = printed(tree(task="[red]x[/red] [/] [link=u]", bin="a\x1b[31mb\r\nc\x07\u202ed"))
    assert "[red]x[/red] [/] [link=u]" in lines[0]
    assert "bin a[31mb cd" in lines[0]
    assert len(lines) == len(printed(tree()))
    coloured = "".join(printed(tree(task="[on red]x[/]", bin="\x1b[41m"), colour=True))
    assert "\x1b[41m" not in coloured and "\x1b[1m" in coloured


def test_colour_adds_to_the_words_and_says_nothing_alone() -> None:
    coloured = printed(tree(), colour=True)
    assert coloured != printed(tree())
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in coloured] == printed(tree())


def test_every_cause_and_outcome_has_words() -> None:
    assert set(CAUSES) == set(get_args(Cause))
    assert set(OUTCOMES) == set(get_args(Outcome))
    assert len({symbol for symbol, _ in OUTCOMES.values()}) == len(OUTCOMES)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "?"), (0.0, "0"), (0.12345, "0.123"), (23.75, "23.8"), (350.2, "350"), (-7.0, "-7")],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_file_is_shown_also_where_the_terminal_knows_no_unicode(tmp_path: Path) -> None:
    path = tmp_path / "tree.json"
    save_tree(path, tree(task="räume"))
    for encoding, expected in (("utf-8", "räume"), ("ascii", "r?ume")):
        buffer = io.BytesIO()
        console = Console(file=io.TextIOWrapper(buffer, encoding=encoding), width=200)
        show(path, console, all_plans=True)
        console.file.flush()
        text = buffer.getvalue().decode(encoding)
        assert expected in text and len(text.splitlines()) == 8


def test_a_file_that_is_no_tree_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tree.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match=re.escape(str(path))):
        show(path, Console(file=io.StringIO()), all_plans=False)


def test_the_deepest_tree_is_shown() -> None:
    chain = [plan(n, n - 1, 100 - n, 0, 29) for n in range(1, 101)]
    assert len(printed(build_tree(chain, {**GOAL, "num_levels": 100}), all_plans=True)) >= 101
