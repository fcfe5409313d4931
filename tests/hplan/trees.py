"""A small subgoal tree, for tests of what stores, serves or shows one."""

import base64

import networkx as nx

from hplan.subgoal_tree import PlanRecord, build_tree

NUM_LEVELS, ENV_STEPS = 2, 5
PNG = b"\x89PNG\r\n\x1a\n"
PICTURES = [base64.b64encode(PNG + bytes((0, index))).decode() for index in range(3)]


def small_tree(update: int) -> nx.DiGraph:
    """Three plans on two levels; trees of different updates differ."""
    records = [_plan(1, 0, 1, update), _plan(2, 1, 0, update), _plan(3, 0, 0, update)]
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


def _plan(plan: int, parent: int, level: int, update: int) -> PlanRecord:
    return PlanRecord(
        plan=plan,
        parent=parent,
        level=level,
        cause="start",
        made=1,
        outcome="reached",
        ended=3,
        energy_before=13.25,
        energy_promised=0.5,
        energy_ended=1.0,
        energies=[13.25, 7.0 + update, 1.0],
        energy_unit="env steps",
        horizon=5,
        steps_promised=15.0,
        predictor_evaluations=640,
        support=2.5,
        subgoal=1 if level else None,
        subgoal_distance=0.25 if level else None,
        target=1 if parent else 2,
        target_distance=0.25 if parent else 0.0,
    )
