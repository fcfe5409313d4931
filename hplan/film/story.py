"""What there is to tell of an episode at one env step: asked of its subgoal tree by the film."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx

from hplan.subgoal_tree import ROOT
from hplan.tree_text import CAUSES, ending

PlanNode = Mapping[str, Any]
ENDINGS = {
    "success": "GOAL REACHED",
    "out_of_steps": "OUT OF STEPS",
    "refused": "REFUSED TO ACT",
    "unsafe": "UNSAFE",
}


@dataclass(frozen=True, kw_only=True)
class Subgoal:
    """What a plan aims at with those below it.

    Attributes:
        picture: of the nearest real observation. distance: as in the tree. None: not known.
        is_first: it is the first one that the plan set, whether or not it has gone on since then.
    """

    picture: int | None
    distance: float | None
    is_first: bool


class Story:
    """The plans of an episode over its env steps 0 to `last`.

    Attributes:
        goal: attributes of the tree's node 0.
        plans: number -> attributes, in order of time.
    """

    def __init__(self, graph: nx.DiGraph, last: int) -> None:
        self.goal: PlanNode = graph.nodes[ROOT]
        self.last = last
        order = sorted((graph.nodes[plan]["made"], plan) for plan in graph.nodes if plan != ROOT)
        self.plans: dict[int, PlanNode] = {plan: graph.nodes[plan] for _, plan in order}
        self._parents = {plan: parent for parent, plan in graph.edges}

    def of_level(self, level: int) -> dict[int, PlanNode]:
        """The plans of one level, in order of time."""
        return {plan: node for plan, node in self.plans.items() if node["level"] == level}

    def served(self, now: int) -> dict[int, int]:
        """level -> number of the plan that is carried out at env step `now`.

        Those are the plan of the lowest level that has one, and the plans above that it serves: a
        level may be left out, while its last plan has not been ended by another.
        """
        running = [
            (-node["level"], node["made"], plan)
            for plan, node in self.plans.items()
            if node["made"] <= now < node["ended"] or now == node["ended"] == self.last
        ]
        served = {}
        plan = max(running)[2] if running else ROOT
        while plan != ROOT:
            served[self.plans[plan]["level"]] = plan
            plan = self._parents[plan]
        return served

    def without(self, level: int, now: int) -> str:
        """What happens at env step `now` while `level` is left out."""
        served = self.served(now)
        below = max((k for k in served if k < level), default=None)
        above = min((k for k in served if k > level), default=None)
        target = "the goal" if above is None else f"level {above}'s"
        return "none now" if below is None else f"none now:\nlevel {below} aims at {target}"

    def subgoal(self, plan: int, now: int) -> Subgoal:
        """What `plan` has set at env step `now`: the target of the plan below that serves it.

        Its first subgoal, if there is no such plan or its target is not known.
        """
        serving = (self.plans[p] for p in self.served(now).values() if self._parents[p] == plan)
        node = next(serving, None)
        if node is not None and node["target"] is not None:
            return Subgoal(picture=node["target"], distance=node["target_distance"], is_first=False)
        node = self.plans[plan]
        return Subgoal(picture=node["subgoal"], distance=node["subgoal_distance"], is_first=True)

    def reason(self, now: int) -> str:
        """Why the newest plans up to `now` were made, and at the end how the episode ended."""
        step = max((n["made"] for n in self.plans.values() if n["made"] <= now), default=None)
        newest = [(plan, node) for plan, node in self.plans.items() if node["made"] == step]
        text = "no plan yet"
        if newest:
            plan, node = max(newest, key=lambda pair: pair[1]["level"])
            text = f"newest plan: {plan} of level {node['level']}, at step {step}: "
            text += f"{CAUSES[node['cause']]} ({node['cause']})"
            text += f", with {len(newest) - 1} below it" if len(newest) > 1 else ""
        if now == self.last and self.goal.get("success") is not None:
            stuck = ", THE AGENT SAYS IT IS STUCK" if self.goal.get("stuck") else ""
            text = f"{ENDINGS[ending(self.goal)]}{stuck}  ·  {text}"
        return text
