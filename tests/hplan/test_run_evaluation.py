"""What a run's evaluations leave in TensorBoard, and the film and text made of their trees."""

import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from hplan.__main__ import main
from hplan.run_evaluation import training_probe
from hplan.subgoals_plugin import PLUGIN_NAME
from hplan.subgoals_plugin.blob import unpack_tree
from tasks import Task, build_task
from tests.hplan.stacks import tiny_config, tiny_stack, tiny_task

TINY = (
    "train --config tiny --levels 2 --run a --training.num_updates 20 "
    "--training.distance_updates 10 --training.validate_every 10 --training.validation_pairs 10 "
    "--data.num_episodes 20 --evaluation.brief_episodes_per_bin 1 "
    "--evaluation.budget_factor 1 --evaluation.budget_extra 0 "
    "--hierarchy.overrides.planner.reach [0.0]"  # upper levels plan, however near the goal is
)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run, trained and briefly evaluated."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(TINY.split()) == 0
    return folder / "runs" / "a"


def the_same_rooms(layout_seed: int) -> Task:
    """The task that the run is trained on, by another name."""
    return build_task("rooms-tiny", layout_seed)


def _read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()


def _trees(events: EventAccumulator) -> dict[str, list[tuple[int, dict]]]:
    """Tag -> (step, tree as plain data) of every logged tree."""
    return {
        tag: [
            (event.step, json.loads(unpack_tree(event.tensor_proto.string_val[0])))
            for event in events.Tensors(tag)
        ]
        for tag in events.PluginTagToContent(PLUGIN_NAME)
    }


def test_trees_and_success_are_logged_after_every_validation_of_training(run_dir: Path) -> None:
    events = _read(run_dir / "tensorboard")
    trees = _trees(events)
    assert {step for logged in trees.values() for step, _ in logged} == {10, 20}
    pairs = {tree["nodes"][0]["pair"] for logged in trees.values() for _, tree in logged}
    assert len(pairs) == 2, "the same pair of each bin at every validation"
    # Before distances are learned, L2 is all there is to plan by.
    by_energy = {tag.split("/")[2]: logged[0][0] for tag, logged in trees.items()}
    assert by_energy == {"hierarchical-l2": 10, "hierarchical-distance": 20}
    assert events.Scalars("plan/success_rate/short/hierarchical-distance")[0].step == 20


def test_the_brief_evaluation_logs_the_trees_that_it_writes(run_dir: Path) -> None:
    folder = run_dir / "eval" / "rooms-tiny-brief" / "episodes"
    written = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    (events,) = (_read(path) for path in (run_dir / "tensorboard").glob("eval-*"))
    logged = [tree for trees in _trees(events).values() for _, tree in trees]
    by_name = {(tree["nodes"][0]["method"], tree["nodes"][0]["pair"]): tree for tree in logged}
    assert len(by_name) == len(logged) == len(written) >= 4
    for tree in written:
        goal = tree["nodes"][0]
        assert by_name[goal["method"], goal["pair"]] == tree
        assert goal["update"] == 20
        assert len(goal["observations"]) == goal["env_steps"] + 1
    upper = [node for tree in written for node in tree["nodes"][1:] if node["level"] == 1]
    assert upper and all(node["subgoal"] is not None for node in upper)
    tags = events.Tags()
    assert "plan/success_rate" in tags["images"]
    assert list((run_dir / "tensorboard").glob("eval-*/projector_config.pbtxt"))


def test_an_episode_is_watched_and_told(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run_dir.parent.parent)
    assert main(["watch", "--run", "a", "--episode", "1"]) == 0
    films = sorted(path.name for path in (run_dir / "watch").glob("*/*"))
    assert [Path(name).suffix for name in films] == [".gif", ".mp4"]
    assert all("hierarchical" in name for name in films)
    capsys.readouterr()
    path = next((run_dir / "eval").glob("*/episodes/hierarchical-00001.json"))
    assert main(["tree", str(path)]) == 0
    folded = capsys.readouterr().out
    assert main(["tree", str(path), "--plans", "all"]) == 0
    told = capsys.readouterr().out
    plans = len(json.loads(path.read_text())["nodes"]) - 1
    assert {int(n) for n in re.findall(r" #(\d+)  ", told)} == set(range(1, plans + 1))
    assert len(told.splitlines()) == plans + 1 and len(folded.splitlines()) <= plans + 1


class Failing:
    """A task whose environment fails as soon as it is stepped."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __getattr__(self, name: str) -> object:
        return getattr(self.task, name)

    def batch(self, starts: np.ndarray) -> object:
        raise ValueError("the environment returned NaN at env step 0")


def test_an_environment_that_fails_while_training_is_told_and_trained_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_config(2)
    task, levels = tiny_task(config), tiny_stack(config, num_updates=0)
    bank = task.observe(task.suite(episodes_per_bin=2, seed=5).starts)
    probe = training_probe(config, Failing(task), levels, bank)
    with SummaryWriter(str(tmp_path)) as writer, caplog.at_level(logging.WARNING, logger="hplan"):
        probe(writer, 700)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("after update 700 the agent was not looked at: the environment returned")


def test_looking_at_the_agent_changes_no_weight(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blind = "--evaluation.during_training 0 --evaluation.episodes_per_bin 0"
    assert main(f"{TINY} {blind}".split()) == 0
    weights = [
        next((folder / "checkpoints").glob("*.safetensors")).read_bytes()
        for folder in (run_dir, tmp_path / "runs" / "a")
    ]
    assert weights[0] == weights[1]


def test_another_seed_and_task_of_the_evaluation_collects_no_other_data(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = run_dir.parent.parent
    monkeypatch.chdir(home)
    before = sorted((home / "data").iterdir())
    only = "--evaluation.methods [hierarchical] --evaluation.episodes_per_bin 1"
    assert main(f"eval --run a --seed 1 --task {__name__}.the_same_rooms {only}".split()) == 0
    assert sorted((home / "data").iterdir()) == before
    path = next((run_dir / "eval" / "rooms-tiny" / "episodes").iterdir())
    plans = json.loads(path.read_text())["nodes"][1:]
    subgoals = [plan["subgoal"] for plan in plans if plan["level"]]
    assert subgoals and None not in subgoals, "what the stack was trained on stands for them"


@pytest.mark.slow  # what it is made of, test_work_curve measures
def test_a_runs_curve_is_measured(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run_dir.parent.parent)
    assert main("curve --run a --efforts 0.1,2".split()) == 0
    assert (run_dir / "eval" / "rooms-tiny-curve" / "curve.png").is_file()
    assert "hierarchical (distance) x 2" in capsys.readouterr().out


def test_an_evaluation_that_is_stopped_leaves_the_one_before_and_is_gone_on_with(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run_dir.parent.parent)

    def stopped(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    def files() -> dict[Path, bytes]:
        kept = [*(run_dir / "eval").rglob("*"), *(run_dir / "tensorboard").rglob("*")]
        return {path: path.read_bytes() for path in kept if path.is_file()}

    before = files()
    only = "--evaluation.methods [hierarchical,oracle] --evaluation.episodes_per_bin 1"
    with monkeypatch.context() as patch:
        patch.setattr("hplan.evaluation.run_oracle", stopped)
        assert main(f"eval --run a {only}".split()) == 130
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "the same command goes on after the methods" in err
    (kept,) = files().keys() - before.keys()
    assert kept == run_dir / "eval" / "rooms-tiny" / ".unfinished" / "hierarchical-0.json"
    assert before.items() <= files().items()
    assert main(f"eval --run a {only}".split()) == 0
    lines = capsys.readouterr().out.splitlines()
    taken = [line.partition(" ")[0] for line in lines if "taken from the evaluation" in line]
    assert taken == ["hierarchical"]
    assert not kept.parent.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("watch --run a --episode many", "--episode many; allowed is a whole number"),
        ("watch --run a --episode 999", "999"),
        ("watch --run a --method nobody", "nobody"),
        ("watch --run a --suite elsewhere", "these: rooms-tiny"),
        ("watch --run a --energy l2", "watch heeds no settings"),
        ("tree absent.json --levels 2", "tree heeds no settings"),
        ("watch --run b", "runs here: a"),
        ("curve --run a --efforts 1,0", "--efforts 1,0; allowed are numbers above 0"),
        ("curve --run a --efforts 1,many", "--efforts 1,many; allowed"),
        ("curve --run a --beside b", "--beside runs/b: no runs/b/eval/rooms-tiny-curve/"),
        ("watch somewhere", "'somewhere' is not an option"),
        ("tree", "usage: hplan tree"),
        ("tree absent.json", "absent.json cannot be read"),
        ("tree absent.json --plans none", "usage: hplan tree"),
        ("train --episode 3", "unknown option --episode"),
    ],
)
def test_a_mistake_gets_one_clear_line(
    run_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    said: str,
) -> None:
    monkeypatch.chdir(run_dir.parent.parent)
    capsys.readouterr()
    assert main(text.split()) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
