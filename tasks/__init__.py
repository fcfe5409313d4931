"""Worlds to plan in: `build_task(name, layout_seed)` gives one with its data and its suites."""

from tasks.doors_task import DoorsTask
from tasks.registry import TASKS, build_task
from tasks.simulator import GridBatch, GridWorld
from tasks.suite import Pairs, Suite
from tasks.task import Task
from tasks.wander import Wanderer

__all__ = [
    "TASKS",
    "DoorsTask",
    "GridBatch",
    "GridWorld",
    "Pairs",
    "Suite",
    "Task",
    "Wanderer",
    "build_task",
]
