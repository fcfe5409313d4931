"""A small subgoal tree, for tests of what stores, serves or shows one."""

import base64
from dataclasses import replace
from typing import Any

import networkx as nx

from hplan.subgoal_tree import PlanRecord, build_tree

NUM_LEVELS, ENV_STEPS = 2, 5
PNG = b"\x89PNG\r\n\x1a\n"
PICTURES = [base64.b64encode(PNG + bytes((0, index))).decode() for index in range(3)]


def small_tree(update: int) -> nx.DiGraph:
    """Three plans on two levels; trees of different updates differ."""
    measured: dict[str, Any] = {
        "made": 1, "ended": 3, "energy_before": 13.25, "energy_promised": 0.5, "energy_ended": 1.0,
        "energies": [13.25, 7.0 + update, 1.0], "support": 97.5,
    }  # fmt: skip
    set_by_above = {"target": 1, "target_distance": 0.25}
    the_goal = {"target": 2, "target_distance": 0.0}
    records = [
        plan(1, 0, 1, subgoal=1, subgoal_distance=0.25, **the_goal, **measured),
        plan(2, 1, 0, **set_by_above, **measured),
        plan(3, 0, 0, **the_goal, **measured),
    ]
    goal = {
        "num_levels": NUM_LEVELS,
        "task": "rooms",
        "method": "hierarchical",
        "energy": "distance",
        "bin": "far",
        "pair": "0123456789ab-12",
        "episode": 12,
        "update": update,
        "env_steps": ENV_STEPS,
        "optimal_steps": 3,
        "success": True,
        "observations": [0, 1, 1, 0, 2, 2],
        "goal": 2,
    }
    return build_tree(records, goal, PICTURES)


def plan(number: int, parent: int, level: int, **changes: Any) -> PlanRecord:
    """A plan of which nothing was measured or looked up, but for `changes`."""
    record = PlanRecord(
        plan=number,
        parent=parent,
        level=level,
        cause="start",
        made=0,
        outcome="reached",
        ended=0,
        energy_before=None,
        energy_promised=None,
        energy_ended=None,
        energies=None,
        energy_unit="env steps",
        horizon=5,
        steps_promised=15.0,
        predictor_evaluations=640,
        support=None,
        subgoal=None,
        subgoal_distance=None,
        target=None,
        target_distance=None,
    )
    return replace(record, **changes)
