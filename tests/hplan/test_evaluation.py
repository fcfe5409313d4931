"""Methods compared on a suite: the files they leave, equal work, floor and ceiling."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from hplan.agent import Agent
from hplan.config import AgentConfig
from hplan.episodes import run_agent
from hplan.evaluation import METHODS, evaluate
from hplan.flat_planning import best_given_work, work_per_step
from hplan.level_config import level_configs
from hplan.results import without_timings
from hplan.subgoal_tree import load_tree
from tests.hplan.line_world import LineTask, line_configs, line_stack, noise, positions
from tests.hplan.stacks import tiny_config, tiny_stack, tiny_task

NUM_TREES = 3
PLANNER = "--hierarchy.overrides.planner"
BRISK = (
    f"{PLANNER}.search [tree,cem] {PLANNER}.converged [0.0] {PLANNER}.num_candidates [8] "
    f"{PLANNER}.max_candidates [8] {PLANNER}.num_elites [2] {PLANNER}.num_iterations [1] "
    f"{PLANNER}.horizon [3] {PLANNER}.reach [1.0] "
    "--evaluation.budget_factor 2 --evaluation.budget_extra 0"
)


@pytest.fixture(scope="module")
def stack():
    """Settings, task and a stack of two levels."""
    # Goals are hardly ever within reach, so that there is something to draw at random.
    config = tiny_config(2, BRISK)
    return config, tiny_task(config), tiny_stack(config, num_updates=10)


@pytest.fixture(scope="module")
def results(stack, tmp_path_factory):
    """Folders and rows of the same evaluation twice, and of the hierarchy with another seed."""
    config, task, levels = stack
    found = []
    for seed, methods in ((0, METHODS), (0, METHODS), (1, ["hierarchical"])):
        folder = tmp_path_factory.mktemp("eval")
        rows = evaluate(
            levels,
            replace(config, seed=seed),
            task,
            task.suite(episodes_per_bin=3, seed=0),
            folder,
            methods=list(methods),
            keep_plans=NUM_TREES,
            bank=task.world.frames(),
            update=10,
        )
        found.append((folder, rows))
    return found


def _saved(folder):
    return json.loads((folder / "results.json").read_text())


def _of(rows, method):
    return [row for row in rows if row["method"] == method]


def test_the_same_evaluation_leaves_the_same_files_timings_aside(results):
    (first, _), (again, _), (other, _) = results
    saved = [without_timings(_saved(folder)) for folder in (first, again, other)]
    assert json.dumps(saved[0]) == json.dumps(saved[1])
    assert _of(saved[0]["rows"], "hierarchical") != saved[2]["rows"]
    names = sorted(path.name for path in (first / "episodes").iterdir())
    assert names == [
        f"{method}-{episode:05d}.json"
        for method in ("flat", "flat_distance", "hierarchical")
        for episode in (0, 2, 5)
    ]
    for name in names:
        texts = [(folder / "episodes" / name).read_bytes() for folder in (first, again)]
        assert texts[0] == texts[1]


def test_a_tree_tells_of_its_episode(results):
    folder, rows = results[0]
    tree = load_tree(folder / "episodes" / "hierarchical-00005.json")
    goal = tree.nodes[0]
    assert (goal["method"], goal["task"], goal["bin"]) == ("hierarchical", "rooms-tiny", "medium")
    assert goal["num_levels"] == 2 and goal["env_steps"] <= 2 * 10
    assert goal["pair"] == f"{_saved(folder)['protocol']['pairs_sha256'][:12]}-5"
    assert (goal["episode"], goal["update"]) == (5, 10)
    assert tree.number_of_nodes() > 1
    num_pictures = len(tree.graph["pictures"])
    assert len(goal["observations"]) == goal["env_steps"] + 1 and goal["goal"] < num_pictures
    for node in tree.nodes - {0}:
        plan = tree.nodes[node]
        assert (plan["subgoal"] is None) == (plan["level"] == 0)
        assert plan["energies"][-1] == plan["energy_ended"]
    flat = load_tree(folder / "episodes" / "flat-00005.json")
    assert flat.nodes[0]["pair"] == goal["pair"] and flat.nodes[0]["num_levels"] == 1
    assert flat.nodes[0]["energy"] == "l2" and set(flat.edges) == {(0, n) for n in flat.nodes - {0}}
    shown = [t.graph["pictures"][t.nodes[0]["goal"]] for t in (tree, flat)]
    assert shown[0] == shown[1], "the same pair has the same goal"


def test_trees_are_handed_over_and_change_no_result(stack):
    config, task, levels = stack
    found = []
    for keep_plans in (0, 4):
        trees = []
        rows = evaluate(
            levels,
            config,
            task,
            task.suite(episodes_per_bin=3, seed=0),
            None,
            methods=["hierarchical", "flat"],
            keep_plans=keep_plans,
            log_tree=trees.append,
        )
        found.append((without_timings({"rows": rows}), trees))
    (bare, none), (kept, trees) = found
    assert json.dumps(bare) == json.dumps(kept)
    methods = [(tree.nodes[0]["method"], tree.nodes[0]["episode"]) for tree in trees]
    assert methods == [(m, e) for m in ("hierarchical", "flat") for e in (0, 1, 3, 5)]
    assert none == []
    assert all(tree.nodes[0]["update"] is None for tree in trees)


def test_each_method_has_a_row_for_each_bin(results):
    rows = results[0][1]
    expected = {method: 2 for method in METHODS}
    found = {method: len(_of(rows, method)) for method in METHODS}
    assert found == expected
    assert {row["bin"] for row in rows} == {"short", "medium"}
    assert all(row["episodes"] == 3 for row in rows)
    assert {row["num_levels"] for row in _of(rows, "flat") + _of(rows, "flat_distance")} == {1}
    assert {row["energy"] for row in _of(rows, "flat")} == {"l2"}
    assert {row["energy"] for row in _of(rows, "flat_distance")} == {"distance"}
    assert {row["energy_level"] for row in _of(rows, "upper_energy")} == {1}


def test_shortest_paths_always_arrive_and_neither_they_nor_chance_plan(results):
    rows = results[0][1]
    for row in _of(rows, "oracle"):
        assert row["success_rate"] == row["spl"] == 1.0
        assert row["env_steps_mean"] == row["optimal_steps_mean"]
    for row in _of(rows, "oracle") + _of(rows, "random"):
        assert row["predictor_evaluations_per_step"] == row["flops_per_step"] == 0
        assert row["energy"] == "none"
    assert all(row["spl"] < 0.8 for row in _of(rows, "random"))


def test_flat_planning_takes_the_shortest_horizon_that_does_the_work():
    levels = line_stack()
    agent = Agent(
        levels=levels,
        configs=line_configs(1, horizon=[1]),
        energy="distance",
        settings=AgentConfig(memory=0),
    )

    def run(agent):
        tried.append(agent.configs[0].planner.horizon)
        goals, budgets = positions(12), np.array([12])
        found = run_agent(
            agent, LineTask(), positions(0), goals, budgets, generator=noise(), keep_plans=1
        )
        runs.append(found)
        return found

    # At horizon h a search of 3 + ... + 3^h rows serves h env steps, and all reach the goal.
    for work, horizon in ((0.0, 1), (3.0, 1), (3.1, 2), (6.0, 2), (13.0, 3), (14.0, 4)):
        tried, runs = [], []
        episodes = best_given_work(agent, work, run)
        assert tried == list(range(1, horizon + 1))
        assert not any("recordings" in vars(each) for each in runs), "made of the last alone"
        assert work_per_step(episodes) == sum(3**h for h in range(1, horizon + 1)) / horizon
    tried, runs = [], []
    best_given_work(agent, 1e9, run)
    assert tried[-1] == 8, "no longer than that"


@pytest.mark.parametrize(
    ("reached", "best"), [((1, 3, 2, 0), 1), ((0, 0, 0, 0), 3), ((2, 1, 2, 1), 2)]
)
def test_flat_planning_counts_at_the_effort_that_serves_it_best(reached, best):
    """Of equal ones at the most: the hierarchy's work is at its disposal, not imposed on it."""
    agent = Agent(
        levels=line_stack(),
        configs=line_configs(1, horizon=[1]),
        energy="distance",
        settings=AgentConfig(memory=0),
    )
    runs = []

    def run(agent):
        starts, goals, budgets = positions(0, 0, 0), positions(12, 12, 12), np.full(3, 12)
        found = run_agent(agent, LineTask(), starts, goals, budgets, generator=noise())
        runs.append(replace(found, success=np.arange(3) < reached[len(runs)]))
        return runs[-1]

    found = best_given_work(agent, 30.0, run)  # of horizon 4
    assert len(runs) == len(reached) and found is runs[best]


def test_flat_planning_that_takes_more_candidates_still_widens_its_search(stack):
    """Without that a beam of twice the width spent less than the one that widens when in doubt."""
    _, task, levels = stack
    beam = f"{PLANNER}.search [beam] {PLANNER}.num_candidates [4] {PLANNER}.max_candidates [32]"
    config = tiny_config(1, f"{beam} {PLANNER}.horizon [5] {PLANNER}.converged [0.1]")
    configs = level_configs(config.hierarchy)
    agent = Agent(levels=levels[:1], configs=configs, energy="distance", settings=config.agent)
    suite, work = task.suite(episodes_per_bin=2, seed=0), []

    def run(agent):
        budgets = np.full(len(suite.starts), 10)
        found = run_agent(agent, task, suite.starts, suite.goals, budgets, generator=noise())
        work.append(work_per_step(found))
        return found

    least = work_per_step(run(agent))
    work.clear()
    best_given_work(agent, 1.01 * least, run)
    assert len(work) == 2 and work[1] > work[0] == least


def test_a_stack_of_one_level_is_its_own_flat_baseline():
    config = tiny_config(1, "--evaluation.budget_factor 1 --evaluation.budget_extra 0")
    task, levels = tiny_task(config), tiny_stack(config, num_updates=5)
    suite = task.suite(episodes_per_bin=3, seed=0)
    methods = ["hierarchical", "flat_distance", "upper_energy"]
    rows = evaluate(levels, config, task, suite, None, methods=methods)
    whole, flat = _of(rows, "hierarchical"), _of(rows, "flat_distance")
    assert len(rows) == 4, "there is no level above whose energy could be measured"
    for a, b in zip(whole, flat, strict=True):
        different = {key for key in a if a[key] != b[key]}
        assert different <= {"method", "plan_ms_per_step"}
    assert len(level_configs(config.hierarchy)) == 1


def everywhere(k, z):
    """A guardrail that forbids every place, at every level."""
    return torch.ones(z.shape[:-1])


def test_guardrails_and_effort_of_the_settings_are_those_of_the_agents():
    config = tiny_config(1, BRISK)
    task, levels = tiny_task(config), tiny_stack(config, num_updates=2)
    suite = task.suite(episodes_per_bin=2, seed=0)

    def rows(**settings):
        # A search that is widened, where an agent circles, would count as more work.
        changed = replace(config, agent=replace(config.agent, stuck_after=0, **settings))
        return evaluate(levels, changed, task, suite, None, methods=["hierarchical"])

    whole, none = rows(), rows(guardrails=["tests.hplan.test_evaluation.everywhere"])
    assert [row["refused"] for row in none] == [2, 2] and not any(r["refused"] for r in whole)
    assert [row["successes"] for row in none] == [0, 0]
    # A tree of horizon 3 over three actions, and one of horizon 2.
    shorter = rows(effort=1 / 3)
    for more, less in zip(whole, shorter, strict=True):
        plans = [row["replans_by_level"][0] / row["env_steps_mean"] for row in (more, less)]
        work = [row["predictor_evaluations_per_step"] for row in (more, less)]
        assert [w / p for w, p in zip(work, plans, strict=True)] == pytest.approx([39, 12])


def test_an_unknown_method_is_refused_before_anything_is_run():
    config = tiny_config(1)
    with pytest.raises(ValueError, match="methods has 'flta'; allowed are random, flat, "):
        evaluate(torch.nn.ModuleList(), config, LineTask(), None, None, methods=["flat", "flta"])
