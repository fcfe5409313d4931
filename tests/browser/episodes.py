"""Made-up episodes whose subgoal trees look like real ones, of any size."""

import base64
import io
import random
from collections import defaultdict
from itertools import pairwise

import networkx as nx
import numpy as np
from PIL import Image

from hplan.subgoal_tree import PlanRecord, build_tree

SIDE, CELL = 9, 12  # cells, pixels of a cell
WALL, FLOOR, GOAL, AGENT = (96, 96, 104), (24, 26, 32), (38, 160, 92), (222, 66, 58)
PARTS = 4  # plans that a plan above the bottom is replaced by, at most


def maze_picture(agent: tuple[int, int], goal: tuple[int, int]) -> str:
    """A PNG in base64: four rooms, the goal and the agent."""
    cells = np.full((SIDE, SIDE, 3), FLOOR, dtype=np.uint8)
    middle = SIDE // 2
    cells[middle], cells[:, middle] = WALL, WALL
    cells[middle, [1, -2]], cells[[1, -2], middle] = FLOOR, FLOOR
    cells[goal], cells[agent] = GOAL, AGENT
    file = io.BytesIO()
    Image.fromarray(cells.repeat(CELL, 0).repeat(CELL, 1)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def route(env_steps: int) -> list[tuple[int, int]]:
    """Cells at env steps 0..env_steps: along the top wall, then down, to and fro in the end."""
    along = [(1, column) for column in range(SIDE)] + [(row, SIDE - 1) for row in range(2, SIDE)]
    last = len(along) - 1
    return [along[min(step, last - (step - last) % 2 if step > last else last)]
            for step in range(env_steps + 1)]  # fmt: skip


def episode_tree(
    *,
    num_levels: int,
    env_steps: int,
    bottom_steps: int = 3,
    seed: int = 0,
    pictures: bool = True,
    targets: bool = True,
    task: str = "rooms",
    **goal_info: object,
) -> nx.DiGraph:
    """A tree in which every plan above the bottom has children until `bottom_steps` are reached.

    Args:
        bottom_steps: env steps that a plan at the bottom lasts, at most.
        targets: whether each plan's target is kept; else it is as an old file.
        goal_info: further attributes of node 0.
    """
    cells = route(env_steps)
    distinct = sorted(set(cells))
    records = _plans(num_levels, env_steps, bottom_steps, random.Random(seed))
    goal = {
        "num_levels": num_levels, "task": task, "env_steps": env_steps, "success": True,
        "optimal_steps": max(1, env_steps * 2 // 3), "bin": "medium", "energy": "distance",
        "episode": 3, "pair": "0123456789ab-3", "method": "hierarchical", "update": 2000,
        **goal_info,
    }  # fmt: skip
    if not pictures:
        return build_tree([PlanRecord(**{**r, "subgoal": None}) for r in records], goal)
    goal["observations"] = [distinct.index(cell) for cell in cells]
    goal["goal"] = distinct.index(cells[-1])
    _add_targets(records, [distinct.index(cell) for cell in cells], goal["goal"])
    if not targets:
        records = [{**r, "target": None, "target_distance": None} for r in records]
    shown = [maze_picture(cell, cells[-1]) for cell in distinct]
    return build_tree(
        [PlanRecord(**record) for record in records], goal, list(dict.fromkeys(shown))
    )


def _add_targets(records: list[dict], seen: list[int], goal: int) -> None:
    """Each plan is to reach where it ends; a plan's first subgoal is the target of its first child.

    Args:
        seen: picture at each env step. goal: that of the goal.
    """
    children = defaultdict(list)
    for record in records:
        children[record["parent"]].append(record)
    for child in children[0]:
        child["target"], child["target_distance"] = goal, 0.0
    for record in records:
        for rank, child in enumerate(children[record["plan"]]):
            child["target"] = seen[child["ended"]]
            child["target_distance"] = record["subgoal_distance"] + rank / 8
            if rank == 0:
                record["subgoal"] = child["target"]


def _plans(num_levels: int, env_steps: int, bottom_steps: int, chance: random.Random) -> list[dict]:
    """Attributes of all plans, parents first."""
    plans: list[dict] = []

    def add(parent: int, level: int, made: int, ended: int, cause: str, outcome: str) -> None:
        number = len(plans) + 1
        plans.append(_plan(number, parent, level, made, ended, cause, outcome, chance))
        if level:
            divide(number, level - 1, made, ended)

    def divide(parent: int, level: int, made: int, ended: int) -> None:
        longest = bottom_steps if level == 0 else max(bottom_steps, -(-(ended - made) // PARTS))
        borders, step = [made], made
        while step < ended:
            step = min(ended, step + chance.randint(max(1, longest - 1), longest))
            borders.append(step)
        cause = "start" if made == 0 else "target_changed"
        for begin, end in pairwise(borders):
            last = end == env_steps
            outcome = "success" if last else chance.choice(("done", "expired", "surprise"))
            if end == ended and not last:
                outcome = "reached" if chance.random() < 0.5 else "target_changed"
            add(parent, level, begin, end, cause, outcome)
            cause = {"expired": "clock", "surprise": "surprise"}.get(outcome, "done")

    divide(0, num_levels - 1, 0, env_steps)
    return plans


def _plan(
    number: int, parent: int, level: int, made: int, ended: int, cause: str, outcome: str,
    chance: random.Random,
) -> dict:  # fmt: skip
    """Attributes of one plan; its energy falls to almost 0, or rises where it was surprised."""
    steps = ended - made
    start = steps * (1 + 0.2 * chance.random())
    slope = -0.4 if outcome == "surprise" else 0.95
    energies = [round(start - slope * start * i / steps, 6) for i in range(steps + 1)]
    return {
        "plan": number, "parent": parent, "level": level, "made": made, "ended": ended,
        "cause": cause, "outcome": outcome, "energies": energies, "energy_unit": "env steps",
        "energy_before": energies[0], "energy_promised": round(0.1 * start, 6),
        "energy_ended": energies[-1], "horizon": 4, "steps_promised": float(steps),
        "predictor_evaluations": 2048, "support": round(chance.uniform(5, 99), 6),
        "subgoal": None, "subgoal_distance": round(chance.random() / 2, 6) if level else None,
        "target": None, "target_distance": None,
    }  # fmt: skip
