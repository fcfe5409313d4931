"""An evaluation that was stopped goes on after the methods that are finished, to the same files."""

import copy
import csv
import json
import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch

from hplan import evaluation
from hplan.evaluation import evaluate
from hplan.finished_trials import FinishedTrial, FinishedTrials
from hplan.results import TIMING_KEYS, without_timings
from hplan.run_evaluation import UNFINISHED, evaluate_run
from hplan.subgoal_tree import tree_json
from tests.hplan.stacks import tiny_config, tiny_stack, tiny_task
from tests.hplan.trees import small_tree

METHODS = ["random", "flat", "upper_energy", "hierarchical", "oracle"]
TRIALS = ["hierarchical-0", "flat-0", "upper_energy-1", "random-0", "oracle-0"]  # as they are run
PLANNER = "--hierarchy.overrides.planner"
BRISK = (
    f"{PLANNER}.search [tree,cem] {PLANNER}.converged [0.0] {PLANNER}.num_candidates [8] "
    f"{PLANNER}.max_candidates [8] {PLANNER}.num_elites [2] {PLANNER}.num_iterations [1] "
    f"{PLANNER}.horizon [2] {PLANNER}.reach [1.0] "
    "--evaluation.budget_factor 1 --evaluation.budget_extra 0 "
    "--evaluation.episodes_per_bin 2 --evaluation.brief_episodes_per_bin 2"
)

Run = Callable[..., list[str]]


@pytest.fixture(scope="module")
def stack() -> SimpleNamespace:
    """Settings, task and a stack of two levels."""
    config = tiny_config(2, BRISK)
    levels = tiny_stack(config, num_updates=2)
    return SimpleNamespace(config=config, task=tiny_task(config), levels=levels)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The trials that were really run, in order."""
    measured, names = evaluation._measured, []

    def counted(trial: evaluation.Trial, *args: Any, **settings: Any) -> FinishedTrial:
        names.append(f"{trial.method}-{trial.energy_level}")
        return measured(trial, *args, **settings)

    monkeypatch.setattr(evaluation, "_measured", counted)
    return names


@pytest.fixture
def run(stack: SimpleNamespace, ran: list[str], tmp_path: Path) -> Run:
    """Evaluates, always in the same folders, and returns what was really run."""

    def call(*, stop_after: int = -1, methods: list[str] = METHODS, **changes: Any) -> list[str]:
        reports: list[str] = []

        def report(text: str) -> None:
            reports.append(text)
            if len(reports) == stop_after:
                raise KeyboardInterrupt

        settings = {
            "levels": stack.levels,
            "config": stack.config,
            "task": stack.task,
            "suite": stack.task.suite(episodes_per_bin=2, seed=0),
            "folder": tmp_path / "eval",
            "keep_plans": 2,
            "bank": stack.task.world.frames(),
            "update": 2,
            "unfinished": tmp_path / "unfinished",
        } | changes
        config = settings["config"]
        settings["config"] = replace(config, evaluation=replace(config.evaluation, methods=methods))
        ran.clear()
        try:
            evaluate(**settings, methods=methods, report=report)
        except KeyboardInterrupt:
            assert len(reports) == stop_after
        else:
            assert stop_after == -1
        taken = [text.partition(" ")[0] for text in reports if text.endswith("that was stopped")]
        assert len(taken) + len(ran) == len(reports), "a line for each, be it taken or run"
        return list(ran)

    return call


def _left(folder: Path) -> dict[str, Any]:
    """Name -> content of all that an evaluation has left, timings aside."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    found: dict[str, Any] = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    found["results.json"] = json.dumps(without_timings(json.loads(found["results.json"])))
    rows = csv.DictReader(found["results.csv"].decode().splitlines())
    found["results.csv"] = [{k: row[k] for k in row if k not in TIMING_KEYS} for row in rows]
    return found


@pytest.fixture(scope="module")
def uninterrupted(stack: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What an evaluation leaves that nobody stopped and that kept nothing."""
    folder = tmp_path_factory.mktemp("whole")
    evaluate(
        stack.levels,
        replace(stack.config, evaluation=replace(stack.config.evaluation, methods=METHODS)),
        stack.task,
        stack.task.suite(episodes_per_bin=2, seed=0),
        folder,
        methods=METHODS,
        keep_plans=2,
        bank=stack.task.world.frames(),
        update=2,
    )
    return _left(folder)


def test_it_goes_on_after_what_is_finished_and_leaves_what_an_uninterrupted_one_leaves(
    run: Run, tmp_path: Path, uninterrupted: dict
) -> None:
    assert run(stop_after=1) == TRIALS[:1]
    assert not (tmp_path / "eval").exists()
    assert run(stop_after=3) == TRIALS[1:3], "it may be stopped again"
    trees: list[nx.DiGraph] = []
    assert run(log_tree=trees.append) == TRIALS[3:]
    assert _left(tmp_path / "eval") == uninterrupted
    assert len(uninterrupted) == 2 + len(trees) == 2 + 4
    assert run() == []
    assert _left(tmp_path / "eval") == uninterrupted, "all of them taken"


def test_a_trial_comes_back_to_the_bit(tmp_path: Path) -> None:
    trial = FinishedTrial(
        rows=[{"a": 0.1 + 0.2, "b": math.nan, "c": [1, None], "d": {"e": 3.0}}],
        trees={"hierarchical-00000.json": small_tree(7)},
        work=1 / 3,
        summary="50% of 2 episodes, 1 s",
    )
    finished = FinishedTrials(folder=tmp_path, key="k")
    assert finished.taken_or_run("name", 0.0, lambda: trial) is trial
    taken = finished.taken_or_run("name", 0.0, lambda: pytest.fail("run again"))
    assert repr(taken.rows) == repr(trial.rows) and taken.work == trial.work
    assert list(taken.trees) == list(trial.trees)
    assert [tree_json(tree) for tree in taken.trees.values()] == [tree_json(small_tree(7))]


def _nudged(levels: torch.nn.ModuleList) -> torch.nn.ModuleList:
    """The stack with the last bits of one weight changed."""
    levels = copy.deepcopy(levels)
    weight = next(levels[-1].predictor.parameters())
    weight.view(-1)[-1] *= 1 + 1e-6
    return levels


def _other_suite(stack: SimpleNamespace, **changes: Any) -> Any:
    return replace(stack.task.suite(episodes_per_bin=2, seed=0), **changes)


CHANGES = {
    "weights": lambda s: {"levels": _nudged(s.levels)},
    "seed": lambda s: {"config": replace(s.config, seed=1)},
    "a setting": lambda s: {"config": replace(s.config, agent=replace(s.config.agent, memory=3))},
    "pairs": lambda s: {"suite": s.task.suite(episodes_per_bin=2, seed=1)},
    "budgets": lambda s: {"suite": _other_suite(s, budgets=np.array([8, 9, 9, 8]))},
    "update": lambda s: {"update": 3},
    "number of trees": lambda s: {"keep_plans": 3},
    "pictures": lambda s: {"bank": s.task.world.frames()[::-1].copy()},
    "no pictures": lambda s: {"bank": None},
}


def test_what_was_kept_is_of_no_use_where_anything_that_decides_is_another(
    run: Run, stack: SimpleNamespace
) -> None:
    quick = {"methods": ["random", "oracle"], "stop_after": 1}
    quick["suite"] = _other_suite(stack, budgets=np.array([8, 8, 9, 9]))
    for change, settings in CHANGES.items():
        assert run(**quick) == ["random-0"]
        assert run(**quick) == []
        assert run(**(quick | settings(stack))) == ["random-0"], change


def test_nor_where_the_software_or_the_machine_is_another(
    run: Run, stack: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "my_guardrail.py"
    module.write_text("def nowhere(k, z):\n    return 0 * z[..., 0] ** 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    agent = replace(stack.config.agent, guardrails=["my_guardrail.nowhere"])
    quick = {"methods": ["random", "oracle"], "stop_after": 1}
    quick["config"] = replace(stack.config, agent=agent)
    changes = {
        "module of the user's own": lambda: module.write_text(module.read_text() + "\n"),
        "machine": lambda: monkeypatch.setattr("platform.machine", lambda: "another"),
        "code": lambda: monkeypatch.setattr("hplan.protocol.code_hash", lambda: "another"),
    }
    assert run(**quick) == ["random-0"]
    for what, change in changes.items():
        assert run(**quick) == []
        change()
        assert run(**quick) == ["random-0"], what
    del sys.modules["my_guardrail"]


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def _alter(file: Path) -> None:
    content = file.read_bytes()
    at = content.index(b'"env_steps_mean": ') + 18
    file.write_bytes(content[:at] + b"9" + content[at + 1 :])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _exchange(file: Path) -> None:
    shutil.copy(file.with_name("random-0.json"), file)


@pytest.mark.parametrize("damage", [_truncate, _alter, _empty, _exchange, Path.unlink])
def test_a_damaged_file_counts_as_not_finished(
    run: Run, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    methods = ["random", "oracle"]
    assert run(methods=methods) == ["random-0", "oracle-0"]
    damage(tmp_path / "unfinished" / "oracle-0.json")
    assert run(methods=methods) == ["oracle-0"]
    assert run(methods=methods) == []


def test_the_results_before_stay_until_the_new_ones_are_whole(
    run: Run, stack: SimpleNamespace, tmp_path: Path
) -> None:
    methods = ["flat", "random"]  # flat planning leaves trees, too
    run(methods=methods)
    before = _left(tmp_path / "eval")
    other = {"config": replace(stack.config, seed=1), "methods": methods}
    assert run(**other, stop_after=1) == ["flat-0"]
    assert _left(tmp_path / "eval") == before
    assert run(**other) == ["random-0"]
    assert _left(tmp_path / "eval") != before


def test_another_list_of_methods_uses_those_that_would_be_the_same(run: Run) -> None:
    assert run(stop_after=4) == TRIALS[:4]
    # Flat planning alone has no work to match.
    assert run(methods=["oracle", "random", "flat"]) == ["flat-0", "oracle-0"]
    assert run(methods=["oracle", "random", "upper_energy"]) == []


def test_a_run_keeps_its_methods_until_the_results_are_shown(
    stack: SimpleNamespace, ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*args: object) -> None:
        raise KeyboardInterrupt

    def evaluated(brief: bool) -> list[str]:
        ran.clear()
        evaluate_run(config, stack.task, stack.levels, tmp_path, None, update=2, brief=brief)
        return ran

    methods = replace(stack.config.evaluation, methods=["flat", "oracle"])
    config = replace(stack.config, evaluation=methods)
    with monkeypatch.context() as patch:
        patch.setattr("hplan.run_evaluation.log_evaluation", stopped)
        for brief in (True, False):
            with pytest.raises(KeyboardInterrupt):
                evaluated(brief)
    (folder,) = tmp_path.rglob(UNFINISHED)
    assert folder.parent.name == "rooms-tiny", "the brief one keeps nothing"
    assert evaluated(brief=False) == []
    assert not folder.exists()
    assert evaluated(brief=False) == ["flat-0", "oracle-0"]
