"""The subgoal tree in the terminal: a line for each plan, under the plan that it served.

Whatever comes from a file is data: markup in a name is shown as it stands, control characters are
left out. Outcomes are told by word and by symbol; colour only adds to them.
"""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import networkx as nx
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from hplan.subgoal_tree import ROOT, load_tree

# Why a plan was made, for a reader who does not know the planner.
CAUSES = {
    "start": "the first of its level",
    "clock": "its turn on schedule",
    "done": "the plan before was carried out",
    "target_changed": "it has another target now",
    "surprise": "a prediction failed",
    "infeasible": "the level below could not approach its subgoal",
}
OUTCOMES = {
    "done": ("✓", "green"),
    "reached": ("●", "green"),
    "success": ("★", "bold green"),
    "expired": ("◷", "yellow"),
    "target_changed": ("↷", "yellow"),
    "surprise": ("!", "magenta"),
    "infeasible": ("⊘", "bright_magenta"),
    "out_of_steps": ("✗", "red"),
    "refused": ("■", "bold red"),
    "unsafe": ("▲", "bold bright_red"),
}
FOLDED_FROM = 3  # plans; two lines are no harder to read than one that counts them


def render(graph: nx.DiGraph, *, all_plans: bool = False) -> Tree:
    """The tree as rich draws it: the goal as header, a line for each plan.

    A line tells the level, the plan's number, the env steps from which and to which it ran and how
    many it promised, how it ended, why it was made, and its energy from start to end.

    Args:
        all_plans: give a line to every plan, also to the many short ones in a row at the bottom,
            which are else told in one line.
    """
    top = Tree(_goal_line(graph))
    waiting = [(ROOT, top)]
    while waiting:
        node, branch = waiting.pop()
        for group in _groups(graph, node, all_plans):
            if len(group) > 1:
                branch.add(_folded_line([graph.nodes[plan] for plan in group]))
                continue
            line = branch.add(_plan_line(group[0], graph.nodes[group[0]]))
            waiting.append((group[0], line))
    return top


def show(path: Path, console: Console, *, all_plans: bool) -> None:
    """Prints the tree of a file.

    Raises:
        ValueError: the file is no subgoal tree.
    """
    tree = render(load_tree(path), all_plans=all_plans)
    with console.capture() as captured:
        console.print(tree)
    # A terminal that is not UTF-8 gets question marks rather than a traceback.
    encoding = console.encoding
    console.file.write(captured.get().encode(encoding, "replace").decode(encoding))


def clean(value: Any) -> str:
    """Text of a file in one line, without characters that steer a terminal."""
    spaced = " ".join(str(value).split())
    return "".join(c for c in spaced if not unicodedata.category(c).startswith("C"))


def number(value: int | float | None) -> str:
    """Three digits of an energy or distance, however large; a question mark for none."""
    if value is None:
        return "?"
    return f"{value:.0f}" if 100 <= abs(value) < 1e5 else f"{value:.3g}"


def goal_summary(goal: Mapping[str, Any]) -> str:
    """What node 0 tells of the episode, in one line; what it does not tell is left out."""
    forms = {
        "task": "{}", "method": "{}", "energy": "energy {}", "bin": "bin {}",
        "episode": "episode {}", "update": "update {}", "env_steps": "{} env steps",
        "optimal_steps": "shortest {}",
    }  # fmt: skip
    known = {key: form for key, form in forms.items() if goal.get(key) is not None}
    return " · ".join(form.format(clean(goal[key])) for key, form in known.items())


def ending(goal: Mapping[str, Any]) -> str:
    """How an episode that tells it ended, as an outcome."""
    if goal["success"]:
        return "success"
    return next((name for name in ("unsafe", "refused") if goal.get(name)), "out_of_steps")


def _goal_line(graph: nx.DiGraph) -> Text:
    goal = graph.nodes[ROOT]
    line = Text(goal_summary(goal) or "an episode", style="bold")
    if goal.get("success") is not None:
        name = ending(goal)
        symbol, style = OUTCOMES[name]
        line.append(f" · {symbol} {'failed' if name == 'out_of_steps' else name}", style)
        if goal.get("stuck"):
            line.append(" · the agent reported that it was stuck", style)
    return line


def _plan_line(plan: int, node: Mapping[str, Any]) -> Text:
    line = Text(f"level {node['level']}", style="bold")
    line.append(f" #{plan}", "dim")
    line.append(f"  {node['made']}-{node['ended']}")
    if node["steps_promised"] is not None:
        line.append(f", promised {number(node['steps_promised'])}")
    line.append("  ")
    _append_outcome(line, node["outcome"])
    line.append(f"  made: {clean(node['cause'])}", "cyan")
    line.append(f"  {_energy(node)}")
    return line


def _folded_line(nodes: Sequence[Mapping[str, Any]]) -> Text:
    """One line for plans of one parent that follow each other."""
    line = Text(f"{len(nodes)} plans of level {nodes[0]['level']}", style="bold")
    line.append(f"  {nodes[0]['made']}-{max(node['ended'] for node in nodes)}  ")
    counts = Counter(node["outcome"] for node in nodes)
    for index, (outcome, count) in enumerate(counts.most_common()):
        line.append(f"{', ' if index else ''}{count} ")
        _append_outcome(line, outcome)
    ends = {**nodes[0], "energy_ended": nodes[-1]["energy_ended"]}
    line.append(f"  {_energy(ends)}")
    return line


def _append_outcome(line: Text, outcome: str) -> None:
    symbol, style = OUTCOMES[outcome]
    line.append(f"{symbol} {outcome}", style)


def _energy(node: Mapping[str, Any]) -> str:
    if node["energy_before"] is None and node["energy_ended"] is None:
        return "energy not measured"
    unit = f" {clean(node['energy_unit'])}" if node.get("energy_unit") else ""
    return f"energy {number(node['energy_before'])} → {number(node['energy_ended'])}{unit}"


def _groups(graph: nx.DiGraph, node: int, all_plans: bool) -> list[list[int]]:
    """The plans below `node` in order of time; those to be told in one line are together."""
    below = sorted(graph.successors(node), key=lambda plan: (graph.nodes[plan]["made"], plan))
    if all_plans:
        return [[plan] for plan in below]
    groups = []
    for bottom, run in groupby(below, lambda plan: graph.nodes[plan]["level"] == 0):
        plans = list(run)
        groups += [plans] if bottom and len(plans) >= FOLDED_FROM else [[p] for p in plans]
    return groups
