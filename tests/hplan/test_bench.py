"""What is timed beside what."""

import pytest

from hplan import bench
from hplan.bench import recording_benchmark
from tasks import build_task
from tests.hplan.stacks import tiny_config, tiny_stack


def test_trees_are_timed_within_the_evaluation_that_they_are_of(monkeypatch):
    config = tiny_config(2)
    levels = tiny_stack(config, num_updates=0)
    task = build_task(config.task.name, 0)
    sizes = {"num_episodes": 3, "num_kept": 3, "num_steps": 4}
    kept = []
    monkeypatch.setattr(bench, "save_tree", lambda path, tree: kept.append(tree))
    (row,) = recording_benchmark(levels, config, task, **sizes)
    assert row["name"] == "trees/record" and row["value"] > 0
    assert len(kept) == 3
    for tree in kept:
        plans = [plan for _, plan in tree.nodes(data=True) if plan["level"] == 1]
        assert plans and all(plan["subgoal_distance"] is not None for plan in plans)
    assert row["ratio"] == pytest.approx(row["value"] / row["reference"])
