"""What commands leave behind: runs, data, and nothing half-written when they are stopped."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pygame
import pytest

from hplan import checkpoint, files, run
from hplan.__main__ import main
from hplan.arguments import read_arguments
from hplan.command_line import read_config

ROOT = Path(__file__).resolve().parent.parent.parent
SHORT = (
    "--training.num_updates 2 --training.distance_updates 1 --training.validation_pairs 10 "
    "--data.num_episodes 20 --evaluation.episodes_per_bin 0 --evaluation.during_training 0"
)

Command = Callable[[str], tuple[int, str, str]]
Refused = Callable[[str], str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run called a, of two levels."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(f"train --config tiny {SHORT} --levels 2 --run a".split()) == 0
    return folder


@pytest.fixture
def trained(home: Path, command: Command) -> None:
    """The current folder is a copy of `home`."""
    shutil.copytree(home, ".", dirs_exist_ok=True)


@pytest.mark.parametrize("num_levels", [1, pytest.param(2, marks=pytest.mark.slow), 3, 4])
def test_train_says_and_trains_as_many_levels_as_asked(command: Command, num_levels: int) -> None:
    code, out, err = command(f"train --levels {num_levels} --config tiny {SHORT}")
    assert code == 0, err
    first = out.splitlines()[0]
    assert f"levels={num_levels} " in first
    run_dir = Path(re.search(r"run=(\S+)", first).group(1))
    saved = checkpoint.load_checkpoint(run_dir)
    assert {name.partition(".")[0] for name in saved.weights} == set(map(str, range(num_levels)))
    assert saved.config.hierarchy.num_levels == num_levels
    assert saved.update == 2
    assert read_config(read_arguments(["--config", str(run_dir / "config.yaml")])) == saved.config
    assert list((run_dir / "tensorboard").glob("events*"))
    (report,) = Path("data").glob("*/coverage.json")
    assert len(json.loads(report.read_text())["clips"]) == num_levels
    assert f"collect: wrote {report.parent}: 20 episodes" in out
    assert out.count("covers: level ") == num_levels


def test_runs_that_cannot_be_used(trained: None, refused: Refused) -> None:
    again = refused(f"train --config tiny {SHORT} --run a")
    assert "run folder runs/a exists; RESUME=1 continues it, RUN=another-name" in again
    depth = "run runs/a holds 2 levels, LEVELS=3 was asked for; train again or drop LEVELS."
    assert depth in refused("eval --run a --levels 3")
    assert depth in refused("train --resume --run a --levels 3")
    assert "runs here: a;" in refused("eval --run b")
    assert "runs here: a;" in refused("train --resume --run b")
    assert "training.num_updates = 9" in refused("train --resume --run a --training.num_updates 9")
    assert "task.name = rooms" in refused("eval --run a --task rooms")
    file = Path("runs/a/config.yaml")
    whole = file.read_text()
    file.write_text(re.sub(r"free_nats: [0-9.]+,?", "", whole))
    assert "had no hierarchy.level.loss.free_nats" in refused("train --resume --run a")
    file.write_text(whole)
    weights = next(Path("runs/a/checkpoints").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-7])
    assert "truncated or altered" in refused("eval --run a")
    Path("runs/a/checkpoints/last.json").unlink()
    assert "no checkpoint yet" in refused("eval --run a")


def test_a_run_in_use_is_left_alone(trained: None, refused: Refused) -> None:
    with run.locked(Path("runs/a")):
        assert "in use by another process" in refused("train --resume --run a")


def test_a_finished_run_has_nothing_to_resume(trained: None, command: Command) -> None:
    code, out, _ = command("train --resume --run a")
    assert code == 0 and "all 2 updates are done already" in out
    assert "covers:" not in out, "the data are not new"


def test_damaged_and_foreign_data_are_named(command: Command, refused: Refused) -> None:
    code, out, _ = command("collect --config tiny --data.num_episodes 20")
    assert code == 0
    folder = next(Path("data").iterdir())
    assert f"collect: wrote {folder}: 20 episodes" in out
    code, out, _ = command("collect --config tiny --data.num_episodes 20")
    assert code == 0 and f"collect: found {folder}: 20 episodes" in out and "covers: " in out
    frames = folder / "frames.bin"
    content = frames.read_bytes()
    frames.write_bytes(content[: len(content) // 2])
    said = refused(f"train --config tiny {SHORT}")
    assert f"{frames} is truncated or altered" in said
    frames.write_bytes(content)
    other = f"train --config tiny {SHORT} --task rooms --data.folder {folder}"
    assert "is of task 'rooms-tiny', 'rooms' was asked for" in refused(other)
    (folder / "metadata.json").unlink()
    assert "not a dataset" in refused(f"train --config tiny {SHORT}")


def test_a_full_disk_gets_one_clear_line(tmp_path: Path, refused: Refused) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only a machine's owner can mount a small disk")
    try:
        said = refused(f"train --config tiny {SHORT} --run {disk}/a")
        assert "disk is full" in said and "RESUME=1" in said
        said = refused(f"collect --config tiny --data.num_episodes 5000 --data.folder {disk}/data")
        assert "disk is full" in said
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_full_between_checkpoints_loses_nothing(
    trained: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = checkpoint.load_checkpoint(Path("runs/a"))

    def full(*args: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ValueError, match="the disk is full"):
        files.write_atomically(Path("runs/a/checkpoints/last.json"), b"{}")
    after = checkpoint.load_checkpoint(Path("runs/a"))
    assert after.update == before.update
    assert not list(Path("runs/a/checkpoints").glob(".*"))


@pytest.mark.slow  # within one process a signal stops runs in test_training
@pytest.mark.timeout(120)
def test_ctrl_c_says_how_to_go_on_and_loses_nothing(tmp_path: Path, command: Command) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    blind = "--evaluation.episodes_per_bin 0 --evaluation.during_training 0"
    train = f"train --config tiny --levels 2 --run a {blind}"
    process = subprocess.Popen(
        [sys.executable, "-m", "hplan", *train.split()],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("update "):
            process.send_signal(signal.SIGINT)
            break
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert err.count("\n") == 1 and "make train RESUME=1 RUN=runs/a" in err
    stopped = json.loads((tmp_path / "runs/a/checkpoints/last.json").read_text())["update"]
    assert 6 <= stopped < 60
    code, out, err = command(f"{train} --resume")
    assert code == 0, err
    assert f"goes on after update {stopped} of 60" in out
    assert checkpoint.load_checkpoint(tmp_path / "runs/a").update == 60


def made(arguments: str) -> str:
    """What make would run."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        ["make", "-n", "VENV=0", *arguments.split()],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_make_passes_only_what_is_set() -> None:
    assert re.search(r"-m hplan train\s*$", made("train LEVELS= RESUME=0"), re.MULTILINE)
    given = "CONFIG=tiny TASK=rooms LEVELS=3 SEED=4 DEVICES=2 NODES=1 RUN=a RESUME=1 ENERGY=l2"
    line = " ".join(made(f"train {given}").split())
    assert line.endswith(
        "-m hplan train --config tiny --task rooms --levels 3 --seed 4 --devices 2 --nodes 1 "
        "--run a --resume --energy l2"
    )
    line = " ".join(made("curve RUN=a EFFORTS=0.5,2 BESIDE=b,c").split())
    assert line.endswith("-m hplan curve --run a --efforts 0.5,2 --beside b,c")
    assert "-m hplan eval --levels 3 --run runs/a" in " ".join(
        made("eval RUN=runs/a LEVELS=3").split()
    )


def test_every_make_target_does_something_and_says_what() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):", text, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE).group(1).split()
    assert set(targets) == set(phony)
    helped = re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE)
    assert set(targets) - set(helped) == {"check-interpreter"}


def test_an_environment_of_anybodys_is_played_once_it_has_data(
    command: Command, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    same = "--config tiny --task gym:tests.tasks.gym_corridor:CorridorBox-v0 --task.goal_offset 6"
    assert "takes its goals from data; collect it first" in refused(f"play {same} --render human")
    code, _, err = command(f"collect {same} --data.num_episodes 20")
    assert code == 0, err
    pygame.display.init()
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_q, unicode="q"))
    code, _, err = command(f"play {same} --data.num_episodes 20 --render human")
    assert (code, err) == (0, "")


def test_what_is_only_collected_may_be_shorter_than_plans(
    command: Command, refused: Refused
) -> None:
    short = "--config tiny --data.episode_length 5 --data.num_episodes 20"
    assert "planner.horizon = 8 of level 0" in refused(f"train {short}")
    code, _, err = command(f"collect {short}")
    assert (code, err) == (0, "")
