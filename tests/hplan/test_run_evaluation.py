"""What a run's evaluations leave in TensorBoard, and the film and text made of their trees."""

import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hplan.__main__ import main
from hplan.subgoals_plugin import PLUGIN_NAME
from hplan.subgoals_plugin.blob import unpack_tree

TINY = (
    "train --config tiny --levels 2 --run a --training.num_updates 20 "
    "--training.distance_updates 10 --training.validate_every 10 --training.validation_pairs 10 "
    "--data.num_episodes 20 --evaluation.brief_episodes_per_bin 1 "
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
    films = sorted(path.name for path in (run_dir / "watch").iterdir())
    assert [Path(name).suffix for name in films] == [".gif", ".mp4"]
    assert all("hierarchical" in name for name in films)
    path = next((run_dir / "eval").glob("*/episodes/hierarchical-00001.json"))
    assert main(["tree", str(path)]) == 0
    folded = capsys.readouterr().out
    assert main(["tree", str(path), "--plans", "all"]) == 0
    told = capsys.readouterr().out
    plans = len(json.loads(path.read_text())["nodes"]) - 1
    assert len(told.splitlines()) >= plans + 1
    assert len(folded.splitlines()) <= len(told.splitlines())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("watch --run a --episode many", "--episode many; allowed is a whole number"),
        ("watch --run a --episode 999", "999"),
        ("watch --run a --method nobody", "nobody"),
        ("watch --run b", "runs here: a"),
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
