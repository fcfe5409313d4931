"""The subgoal tree: all plans of an episode, each under the plan that it served.

It is a `networkx.DiGraph`; the same object is in tests, on disk (node-link JSON) and in
TensorBoard. Node 0 is the episode's goal, every other node a plan; an edge leads from a plan to
each plan that was made in its service at a level below. A plan's *target* is what the plan above
set as its subgoal, or the goal itself.

Attributes of the graph (`graph.graph`):
    version: of the format.
    pictures: distinct pictures of observations, each a PNG in base64; other attributes name them by
        index. May be empty.

Attributes of node 0, the goal; None where it is not known:
    num_levels: K. level: K, above all plans.
    task, method, energy: names. bin: name of the suite's bin.
    pair: identity of start and goal; equal in two trees whose episodes had the same.
    episode: index in its suite.
    update: optimiser update that the weights come from.
    env_steps: taken. optimal_steps: env steps of the shortest path. success: bool.
    stuck: bool, it failed, and the agent itself reported that it was stuck. refused: bool, the
        agent ended it, having no plan free of what is forbidden. unsafe: bool, it ended where
        something happened that never should.
    observations: picture at every env step from 0 to env_steps; [] if there are none.
    goal: picture of the goal's observation.
    Further attributes may be added, if they are text, numbers, true or false.

Attributes of plans: those of `PlanRecord` but `plan` and `parent`, which are the node and its edge.

    tree = load_tree(Path("runs/rooms-L3-s0/eval/rooms/episodes/hierarchical-00000.json"))
    longest = max(tree.nodes - {ROOT}, key=lambda n: tree.nodes[n]["ended"] - tree.nodes[n]["made"])
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx

from hplan.files import write_atomically
from hplan.results import plain_data
from hplan.tree_checks import (
    PLAN,
    Cause,
    EnergyUnit,
    Outcome,
    check_pictures,
    check_plan,
    checked_goal,
    find_cycle,
    shown,
)

VERSION = 3
ROOT = 0
_LATER = ("target", "target_distance")  # which the first files of version 2 lack
_NEW = ("energies", "energy_unit", "subgoal", "subgoal_distance", *_LATER)  # since version 2
_OTHER = ("support",)  # before version 3 it was in standard deviations of the prior


@dataclass(frozen=True, kw_only=True)
class PlanRecord:
    """What is kept of a plan. In the graph `plan` is the node, `parent` its edge.

    Attributes:
        plan: number of the plan in its episode, from 1.
        parent: the plan of a level above that it served; 0 is the episode's goal.
        level: k of the level that planned, 0 at the bottom.
        cause: why it was made: first of its level ("start"), on schedule ("clock"), the plan before
            it carried out ("done"), another target from above ("target_changed"), a prediction that
            failed ("surprise"), a subgoal that the level below could not approach ("infeasible").
        made: env step at which it was made.
        outcome: how it ended: with the episode ("success", "out_of_steps", "refused", "unsafe");
            else its target met ("reached"); else carried out without that ("done"), its time over
            ("expired"), or as the causes ("target_changed", "surprise", "infeasible").
        ended: env step at which it ended.
        energy_before: energy towards its target where it was made.
        energy_promised: energy towards its target where its prediction ends.
        energy_ended: energy towards its target where it ended; None if it was not measured.
        energies: the energy towards its target at each env step from `made` to `ended`, both
            included; None if they were not measured.
        energy_unit: of all its energies; None if it was not kept.
        horizon: steps of the level that it looks ahead.
        steps_promised: env steps that it lasts by its own prediction; None if it promises none.
        predictor_evaluations: predictor rows that its search took.
        support: how far outside the data: where its farthest macro-action's distance to the nearest
            real one lies among such distances of the data's own, a percentile from 0 to 100; None
            at the bottom.
        subgoal: picture of the real observation whose latent is nearest to the first subgoal that
            it set; None if it set none (at the bottom) or nobody looked.
        subgoal_distance: mean squared difference between these two latents, in units of the mean
            squared change over one step of the level; 0 says that they are identical.
        target: picture of the real observation whose latent is nearest to its target, which the
            plan above had set when this one was made; the goal's own picture if that is its target;
            None if nobody looked.
        target_distance: as `subgoal_distance`, in units of the level that set the target; 0 for the
            goal.
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
    energies: list[float | None] | None
    energy_unit: EnergyUnit | None
    horizon: int
    steps_promised: float | None
    predictor_evaluations: int
    support: float | None
    subgoal: int | None
    subgoal_distance: float | None
    target: int | None
    target_distance: float | None


def build_tree(
    records: Iterable[PlanRecord], goal_info: Mapping[str, Any], pictures: Sequence[str] = ()
) -> nx.DiGraph:
    """The subgoal tree of one episode.

    Args:
        records: its plans, in any order.
        goal_info: attributes of node 0 (see above), `num_levels` at least.
        pictures: as in the graph's attribute.

    Returns:
        A tree with the attributes above. Floats are rounded to 6 digits; what is not finite is
        None.

    Raises:
        ValueError: records that do not make a tree whose levels go down, or impossible values.
    """
    plans = [plain_data(vars(record)) for record in records]
    return _tree(plans, plain_data(goal_info), list(pictures))


def _tree(plans: Iterable[dict[str, Any]], goal: dict[str, Any], pictures: Any) -> nx.DiGraph:
    """As `build_tree`, from plain data of any kind."""
    check_pictures(pictures)
    goal = checked_goal(goal, len(pictures))
    by_number: dict[int, dict[str, Any]] = {}
    for attributes in plans:
        check_plan(attributes, goal, len(pictures))
        if attributes["plan"] in by_number:
            raise ValueError(f"plan {attributes['plan']} occurs twice")
        by_number[attributes["plan"]] = attributes
    graph = nx.DiGraph(version=VERSION, pictures=pictures)
    graph.add_node(ROOT, **goal)
    for plan, attributes in sorted(by_number.items()):
        parent = attributes["parent"]
        if parent != ROOT and parent not in by_number:
            raise ValueError(f"plan {plan} has parent {parent}, which does not exist")
        kept = {key: value for key, value in attributes.items() if key not in ("plan", "parent")}
        graph.add_node(plan, **kept)
        graph.add_edge(parent, plan)
    _check_tree(graph)
    return graph


def _check_tree(graph: nx.DiGraph) -> None:
    """Refuses parents that are circular, not of a level above, or younger than their children."""
    if cycle := find_cycle({child: parent for parent, child in graph.edges}, ROOT):
        more = " -> ..." if len(cycle) > 10 else ""
        raise ValueError(f"the plans form a cycle: {' -> '.join(map(str, cycle[:10]))}{more}")
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


def tree_json(graph: nx.DiGraph) -> str:
    """A tree as node-link JSON: strict (nothing that is not finite), and the same for equal trees.

    Nodes and edges are in the order of the plans' numbers.
    """
    nodes = [{**graph.nodes[node], "id": node} for node in sorted(graph)]
    edges = [{"source": parent, "target": child} for parent, child in sorted(graph.edges)]
    data = {
        "directed": True, "multigraph": False, "graph": graph.graph, "nodes": nodes, "edges": edges
    }  # fmt: skip
    return json.dumps(data, sort_keys=True, allow_nan=False)


def parse_tree(data: object) -> nx.DiGraph:
    """The tree that parsed node-link JSON of any version holds, checked as `build_tree` does.

    It comes back as of the present version: attributes that an old one lacks, or has in another
    unit, are None, or empty.

    Raises:
        ValueError: whatever else the data is; says in one line why.
    """
    if not isinstance(data, dict):
        raise ValueError(f"holds {shown(data)}, not an object")
    facts = data.get("graph")
    version = facts.get("version") if isinstance(facts, dict) else None
    if type(version) is not int or not 1 <= version <= VERSION:
        raise ValueError(f"has version {shown(version)}; this hplan reads 1 to {VERSION}")
    if data.get("directed") is not True or data.get("multigraph") is not False:
        raise ValueError("not a simple directed graph")
    nodes, parents = _nodes(data.get("nodes")), _parents(data.get("edges"))
    if ROOT not in nodes:
        raise ValueError("node 0, the goal, is missing")
    goal = nodes.pop(ROOT)
    if odd := sorted(set(parents) ^ set(nodes)):
        raise ValueError(f"plan {odd[0]} is without a parent or does not exist")
    pictures = facts.get("pictures")
    if version < VERSION:
        lacking = dict.fromkeys(_LATER)
        nodes = {n: {**lacking, **nodes[n], **dict.fromkeys(_OTHER)} for n in nodes}
    if version == 1:
        # Its indices were into the data of the run; nobody ever wrote one.
        goal, pictures = {**goal, "goal": None}, []
        nodes = {plan: {**nodes[plan], **dict.fromkeys(_NEW)} for plan in nodes}
    plans = [{**nodes[plan], "plan": plan, "parent": parents[plan]} for plan in nodes]
    return _tree(plans, goal, pictures)


def _nodes(items: object) -> dict[int, dict[str, Any]]:
    """Attributes by node."""
    found: dict[int, dict[str, Any]] = {}
    for item in _objects(items, "nodes"):
        node = _number(item, "id", "a node")
        if node in found:
            raise ValueError(f"plan {node} occurs twice")
        found[node] = {key: value for key, value in item.items() if key != "id"}
        if reserved := {"plan", "parent"} & set(item):
            raise ValueError(f"plan {node} should not have {shown(sorted(reserved)[0])}")
    return found


def _parents(items: object) -> dict[int, int]:
    """Parent by plan."""
    found: dict[int, int] = {}
    for item in _objects(items, "edges"):
        child = _number(item, "target", "an edge")
        if child in found:
            raise ValueError(f"plan {child} has two parents")
        found[child] = _number(item, "source", "an edge")
    return found


def _objects(items: object, name: str) -> list[dict[str, Any]]:
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(f"has no list of objects as {name}")
    return items


def _number(item: dict[str, Any], key: str, name: str) -> int:
    """The number of a node."""
    if not PLAN["parent"].allows(item.get(key)):
        raise ValueError(f"{name} has {key} {shown(item.get(key))}; allowed is an integer from 0")
    return item[key]


def save_tree(path: Path, graph: nx.DiGraph) -> None:
    """Write a tree as node-link JSON, whole or not at all; the same tree gives the same bytes."""
    write_atomically(path, tree_json(graph) + "\n")


def load_tree(path: Path) -> nx.DiGraph:
    """Read a tree that `save_tree` wrote, now or in an older version; see `parse_tree`.

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
        return parse_tree(data)
    except ValueError as error:
        raise ValueError(f"subgoal tree {path} is malformed: {error}") from error
