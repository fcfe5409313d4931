"""The benchmark's rows, and that a search is timed beside the predictions that it makes."""

import pytest
import torch

from hplan import bench
from hplan.bench import BATCH_SIZE, benchmark, predictor_inputs, recording_benchmark
from hplan.config import level_configs
from hplan.energy import target_energy
from hplan.search import find_search
from tasks import build_task
from tests.hplan.stacks import tiny_config, tiny_stack


@pytest.mark.parametrize("num_levels", [1, 2])
def test_rows_are_whole_and_the_threads_as_before(num_levels):
    config = tiny_config(num_levels)
    levels, threads = tiny_stack(config, num_updates=0), torch.get_num_threads()
    rows = benchmark(levels, level_configs(config.hierarchy), num_repeats=3)
    names = ["search/tree", "search/categorical_cem", "search/cem"][: num_levels + 1]
    assert [row["name"] for row in rows] == names
    for row in rows:
        assert set(row) == {"name", "value", "unit", "reference", "ratio"}
        assert row["ratio"] == pytest.approx(row["value"] / row["reference"])
        assert row["value"] > 0 and row["reference"] > 0 and row["unit"] == "ms"
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("name", "k"), [("tree", 0), ("categorical_cem", 0), ("cem", 1)])
def test_the_reference_predicts_as_many_rows_as_the_search(name, k):
    config = tiny_config(2)
    level = tiny_stack(config, num_updates=0)[k]
    z = torch.zeros(BATCH_SIZE, level.latent_dim)
    found = []

    def search():
        result = find_search(name)(
            level,
            z,
            target_energy(level, z, "l2"),
            cost=1.0,
            arrival=1.0,
            config=level_configs(config.hierarchy)[k].planner,
            warm_start=None,
            generator=torch.Generator(),
        )
        found.append(result)

    batches = predictor_inputs(level, search)
    rows = sum(z.shape[:-1].numel() for z, _ in batches)
    assert rows == BATCH_SIZE * found[0].evaluations
    assert not level.predictor._forward_pre_hooks


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
