"""The subgoal tree: all plans of an episode, each under the plan that it served.

It is a `networkx.DiGraph`. Node 0 is the episode's goal, every other node a plan; an edge leads
from a plan to each plan that was made in its service at a level below. The same object is in tests,
on disk (node-link JSON) and in TensorBoard.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import networkx as nx

from hplan.files import write_atomically
from hplan.results import plain_data

VERSION = 1
ROOT = 0

Cause = Literal["start", "clock", "done", "reached", "target_changed", "surprise", "escape"]
Outcome = Literal[
    "done", "reached", "expired", "target_changed", "surprise", "success", "out_of_steps"
]


@dataclass(frozen=True, kw_only=True)
class PlanRecord:
    """What is kept of a plan. In the graph `plan` is the node, `parent` its edge.

    Attributes:
        plan: number of the plan in its episode, from 1.
        parent: the plan of a level above that it served; 0 is the episode's goal.
        level: k of the level that planned, 0 at the bottom.
        cause: why it was made: first of its level ("start"), on schedule ("clock"), the plan before
            it carried out ("done"), the subgoal met ("reached"), another target from above
            ("target_changed"), a prediction that failed ("surprise"), a cycle left ("escape").
        made: env step at which it was made.
        outcome: how it ended: carried out ("done"), its target met ("reached"), its time over
            ("expired"), as the causes ("target_changed", "surprise"), with the episode
            ("success", "out_of_steps").
        ended: env step at which it ended.
        energy_before: energy towards its target where it was made.
        energy_promised: energy towards its target where its prediction ends.
        energy_ended: energy towards its target where it ended; None if it was not measured.
        horizon: steps of the level that it looks ahead.
        steps_promised: env steps until its target by its own prediction; None if it promises none.
        predictor_evaluations: predictor rows that its search took.
        support: how far outside the data: largest |eps| of its macro-actions' noise, in standard
            deviations of the prior; None where actions are discrete.
        subgoal: index of the real observation whose latent is nearest to the subgoal it set; None
            if it set none or nobody looked.
    """

    plan: int
    parent: int
    level: int
    cause: Cause
    made: int
    outcome: Outcome
    ended: int
    energy_before: float | None
    energy_promised: float | None
    energy_ended: float | None
    horizon: int
    steps_promised: float | None
    predictor_evaluations: int
    support: float | None
    subgoal: int | None


OPTIONAL_NUMBERS = (
    "energy_before", "energy_promised", "energy_ended", "steps_promised", "support", "subgoal"
)  # fmt: skip
LEAST = {
    "plan": 1, "parent": 0, "level": 0, "made": 0, "ended": 0, "horizon": 1,
    "predictor_evaluations": 0,
}  # fmt: skip


def build_tree(records: Iterable[PlanRecord], goal_info: Mapping[str, Any]) -> nx.DiGraph:
    """The subgoal tree of one episode.

    Args:
        records: its plans, in any order.
        goal_info: plain data on the episode, the attributes of node 0. Must hold `num_levels`;
            by custom also `task`, `method`, `episode`, `goal` (index of the goal's observation),
            `env_steps`, `optimal_steps`, `success`.

    Returns:
        A tree of edges from the plan above to the plan below. Nodes: 0 with `goal_info` and `level`
        (K, above all plans); plans with the attributes of `PlanRecord`. Graph attribute: `version`.
        Floats are rounded to 6 digits; what is not finite is None.

    Raises:
        ValueError: records that do not make a tree whose levels go down.
    """
    return _tree([asdict(record) for record in records], goal_info)


def _tree(records: Iterable[Mapping[str, Any]], goal_info: Mapping[str, Any]) -> nx.DiGraph:
    """As `build_tree`, from the records' attributes by name."""
    goal = plain_data(goal_info)
    num_levels = goal.get("num_levels")
    if type(num_levels) is not int or num_levels < 1:
        raise ValueError(f"goal_info has num_levels {num_levels!r}; give a positive integer")
    plans: dict[int, dict[str, Any]] = {}
    for record in records:
        attributes = plain_data(record)
        _check_values(attributes)
        plan = attributes.pop("plan")
        if plan in plans:
            raise ValueError(f"plan {plan} occurs twice")
        plans[plan] = attributes
    graph = nx.DiGraph(version=VERSION)
    graph.add_node(ROOT, **{**goal, "level": num_levels})
    for plan, attributes in sorted(plans.items()):
        parent = attributes.pop("parent")
        if parent != ROOT and parent not in plans:
            raise ValueError(f"plan {plan} has parent {parent}, which does not exist")
        graph.add_node(plan, **attributes)
        graph.add_edge(parent, plan)
    _check_tree(graph)
    return graph


def _check_values(plan: dict[str, Any]) -> None:
    """Refuses a plan with a missing attribute, or a value that no plan can have."""
    name = f"plan {plan['plan']!r}"
    if odd := sorted(set(plan) ^ {f.name for f in fields(PlanRecord)}):
        raise ValueError(f"{name} lacks or should not have {', '.join(odd)}")
    for key, least in LEAST.items():
        if type(plan[key]) is not int or plan[key] < least:
            raise ValueError(f"{name} has {key} {plan[key]!r}; allowed is an integer from {least}")
    for key in OPTIONAL_NUMBERS:
        if plan[key] is not None and type(plan[key]) not in (int, float):
            raise ValueError(f"{name} has {key} {plan[key]!r}; allowed is a number or none")
    for key, allowed in (("cause", get_args(Cause)), ("outcome", get_args(Outcome))):
        if plan[key] not in allowed:
            raise ValueError(f"{name} has {key} {plan[key]!r}; known: {', '.join(allowed)}")
    if plan["ended"] < plan["made"]:
        raise ValueError(f"{name} ended at {plan['ended']}, before it was made at {plan['made']}")


def _check_tree(graph: nx.DiGraph) -> None:
    """Refuses parents that are circular, not of a level above, or younger than their children."""
    if not nx.is_directed_acyclic_graph(graph):
        cycle = " -> ".join(str(edge[0]) for edge in nx.find_cycle(graph))
        raise ValueError(f"the plans form a cycle: {cycle}")
    for parent, child in graph.edges:
        above, below = graph.nodes[parent], graph.nodes[child]
        if below["level"] >= above["level"]:
            raise ValueError(
                f"plan {child} of level {below['level']} has parent {parent} of level "
                f"{above['level']}; a parent is of a level above"
            )
        if parent != ROOT and below["made"] < above["made"]:
            raise ValueError(
                f"plan {child} was made at {below['made']}, before its parent {parent}"
            )


def save_tree(path: Path, graph: nx.DiGraph) -> None:
    """Write a tree as node-link JSON, whole or not at all; the same tree gives the same bytes."""
    data = nx.node_link_data(graph, edges="edges")
    write_atomically(path, json.dumps(data, sort_keys=True, allow_nan=False) + "\n")


def load_tree(path: Path) -> nx.DiGraph:
    """Read a tree that `save_tree` wrote, and check it as `build_tree` does.

    Raises:
        ValueError: the file is missing, malformed, truncated, of another version or not a tree.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"subgoal tree {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"subgoal tree {path} is truncated or not JSON: {error}") from error
    try:
        return _from_node_link(data)
    except (KeyError, TypeError, AttributeError, nx.NetworkXException) as error:
        raise ValueError(
            f"subgoal tree {path} is malformed: {type(error).__name__}: {error}"
        ) from error
    except ValueError as error:
        raise ValueError(f"subgoal tree {path} is malformed: {error}") from error


def _from_node_link(data: Any) -> nx.DiGraph:
    if not isinstance(data, dict):
        raise ValueError(f"holds a {type(data).__name__}, not an object")
    if data["graph"].get("version") != VERSION:
        raise ValueError(f"version {data['graph'].get('version')!r}; this hplan reads {VERSION}")
    if data["directed"] is not True or data["multigraph"] is not False:
        raise ValueError("not a simple directed graph")
    parents = {edge["target"]: edge["source"] for edge in data["edges"]}
    nodes = {node["id"]: {k: v for k, v in node.items() if k != "id"} for node in data["nodes"]}
    if len(parents) != len(data["edges"]):
        raise ValueError("a plan has two parents")
    if len(nodes) != len(data["nodes"]):
        raise ValueError("a plan occurs twice")
    if ROOT not in nodes:
        raise ValueError("node 0, the goal, is missing")
    goal = nodes.pop(ROOT)
    if set(parents) != set(nodes):
        odd = sorted(set(parents) ^ set(nodes), key=str)[0]
        raise ValueError(f"plan {odd!r} is without a parent or does not exist")
    return _tree([{**nodes[n], "plan": n, "parent": parents[n]} for n in nodes], goal)
