"""What a person types, and what they get: settings, runs, and one clear line for every mistake."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from hplan import checkpoint, files, run
from hplan.__main__ import main
from hplan.command_line import as_yaml, read_arguments, read_config
from hplan.config import Config

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
SHORT = (
    "--training.num_updates 2 --training.distance_updates 1 --training.validation_pairs 10 "
    "--data.num_episodes 20 --evaluation.episodes_per_bin 0"
)

Command = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs a command in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(text: str) -> tuple[int, str, str]:
        code = main(text.split())
        out, err = capsys.readouterr()
        return code, out, err

    return call


def config_of(text: str) -> Config:
    return read_config(read_arguments(text.split()))


def refused(command: Command, text: str) -> str:
    """The one line that a refused command leaves."""
    code, _, err = command(text)
    assert code == 2
    assert err.startswith("hplan: ") and err.count("\n") == 1, err
    return err


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_parses_and_its_resolved_form_is_itself(path: Path, tmp_path: Path) -> None:
    config = config_of(f"--config {path}")
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(as_yaml(config))
    assert config_of(f"--config {resolved}") == config


def test_the_default_config_spells_out_every_setting() -> None:
    def keys(node: dict) -> dict:
        return {
            key: keys(value) if isinstance(value, dict) and key != "overrides" else None
            for key, value in node.items()
        }

    default = yaml.safe_load((ROOT / "configs" / "default.yaml").read_text())
    assert keys(default) == keys(asdict(Config()))


def test_other_configs_are_short() -> None:
    for path in CONFIGS:
        if path.stem != "default":
            assert len(path.read_text().splitlines()) <= 20, path


@pytest.mark.parametrize(
    "text",
    [
        "--levels 2 --config tiny --seed 5",
        "--config tiny --seed 5 --levels 2",
        "--seed=5 --hierarchy.num_levels 2 --config=tiny",
    ],
)
def test_what_is_typed_wins_wherever_it_stands(text: str) -> None:
    config = config_of(text)
    assert (config.hierarchy.num_levels, config.seed) == (2, 5)
    assert config.task.name == "rooms-tiny"


def test_files_are_laid_over_each_other_key_by_key(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("hierarchy: {overrides: {model.latent_dim: [3], loss.inverse_weight: null}}")
    overrides = config_of(f"--config tiny --config {file}").hierarchy.overrides
    assert overrides["model.latent_dim"] == [3]
    assert overrides["model.ratio"] == [1, 3, 2, 2]
    assert "loss.inverse_weight" not in overrides


def test_one_override_can_be_typed() -> None:
    before = config_of("").hierarchy.overrides
    after = config_of("--hierarchy.overrides.loss.regulariser_weight [1.0,2.0]").hierarchy.overrides
    assert after == before | {"loss.regulariser_weight": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("--levels 0", "hierarchy.num_levels = 0; allowed is a whole number from 1 up"),
        ("--levels -1", "hierarchy.num_levels = -1; allowed is"),
        ("--levels abc", "hierarchy.num_levels = abc; allowed is a whole number"),
        ("--levels 1.5", "hierarchy.num_levels = 1.5; allowed is a whole number"),
        ("--levels=", "hierarchy.num_levels = ; allowed is a whole number"),
        ("--levels", "--levels needs a value"),
        ("--hierarchy.num_level 2", "did you mean --hierarchy.num_levels"),
        ("--training.num_updatess 2", "did you mean --training.num_updates"),
        ("--hierarchy.level.loss.gradient no", "one of 'end_to_end', 'stop'"),
        ("--hierarchy.overrides.loss.depth [1]", "unknown setting 'depth'"),
        ("--training.learning_rate fast", "training.learning_rate = fast; allowed is a number"),
        ("--config absent", "known names: default"),
        ("--devices 3", "training.batch_size = 16 clips cannot be shared evenly by 3 devices"),
        ("--accelerator tpu", "allowed is one of auto, cpu, gpu"),
        ("--task nowhere", "unknown task 'nowhere'; known tasks: rooms"),
        ("--task no.module", "unknown task 'no.module'"),
        ("--hierarchy.level.model.predictor crystal", "residual_mlp"),
        ("--hierarchy.level.model.predictor no.Such", "cannot be imported"),
        ("--hierarchy.level.loss.regulariser prayer", "vicreg"),
        ("--hierarchy.overrides.model.action_encoder [gaussian]", "allowed at the bottom: one_hot"),
        ("--hierarchy.overrides.model.encoder [axial]", "above the bottom: mlp, identity"),
        ("--hierarchy.overrides.model.ratio [2,3]", "model.ratio = 2 of level 0"),
        ("--hierarchy.overrides.planner.search [cem]", "planner.search = 'cem' of level 0"),
        ("--hierarchy.overrides.planner.search [tree]", "planner.search = 'tree' of level 1"),
        ("--evaluation.num_trees -1", "evaluation.num_trees = -1; allowed is 0 or more"),
        ("--training.clip_length 10", "needs clips of"),
        ("--data.episode_length 5", "collect longer episodes"),
    ],
)
def test_a_mistake_gets_one_clear_line(command: Command, text: str, said: str) -> None:
    assert said in refused(command, f"train --config tiny {SHORT} {text}")
    assert not Path("runs").exists() or not list(Path("runs").glob("*/checkpoints/last.json"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("training: {num_updatess: 3}", "did you mean training.num_updates?"),
        ("training: {num_updates: many}", "training.num_updates = many; allowed is a whole number"),
        ("training: 3", "allowed is a group of num_updates"),
        ("hierarchy: {overrides: {model.ratio: 3}}", "hierarchy.overrides"),
        ("a: b: c", "no valid YAML"),
        ("[1, 2]", "holds no settings"),
    ],
)
def test_a_mistake_in_a_file_gets_one_clear_line(
    command: Command, tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "mine.yaml").write_text(content)
    assert said in refused(command, "train --config mine.yaml")


def test_unknown_commands_and_help(command: Command) -> None:
    assert "known: collect, train, eval" in refused(command, "trian")
    code, out, _ = command("train --help")
    assert code == 0
    assert "--hierarchy.level.model.ratio" in out and "--levels" in out


def test_print_config_prints_what_would_run(command: Command) -> None:
    code, out, _ = command("train --config tiny --levels 4 --print_config")
    assert code == 0
    assert yaml.safe_load(out) == asdict(config_of("--config tiny --levels 4"))
    assert not Path("runs").exists()


@pytest.mark.parametrize("num_levels", [1, 2, 3, 4])
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
    assert config_of(f"--config {run_dir / 'config.yaml'}") == saved.config
    assert list((run_dir / "tensorboard").glob("events*"))


def test_runs_that_cannot_be_used(command: Command) -> None:
    assert command(f"train --config tiny {SHORT} --levels 2 --run a")[0] == 0
    again = refused(command, f"train --config tiny {SHORT} --run a")
    assert "run folder runs/a exists; RESUME=1 continues it, RUN=another-name" in again
    depth = "run runs/a holds 2 levels, LEVELS=3 was asked for; train again or drop LEVELS."
    assert depth in refused(command, "eval --run a --levels 3")
    assert depth in refused(command, "train --resume --run a --levels 3")
    assert "runs here: a;" in refused(command, "eval --run b")
    assert "runs here: a;" in refused(command, "train --resume --run b")
    assert "training.num_updates = 9" in refused(
        command, "train --resume --run a --training.num_updates 9"
    )
    assert "task.name = rooms" in refused(command, "eval --run a --task rooms")
    weights = next(Path("runs/a/checkpoints").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-7])
    assert "truncated or altered" in refused(command, "eval --run a")
    Path("runs/a/checkpoints/last.json").unlink()
    assert "no checkpoint yet" in refused(command, "eval --run a")


def test_a_run_in_use_is_left_alone(command: Command) -> None:
    assert command(f"train --config tiny {SHORT} --levels 1 --run a")[0] == 0
    with run.locked(Path("runs/a")):
        assert "in use by another process" in refused(command, "train --resume --run a")


def test_a_finished_run_has_nothing_to_resume(command: Command) -> None:
    assert command(f"train --config tiny {SHORT} --levels 1 --run a")[0] == 0
    code, out, _ = command("train --resume --run a")
    assert code == 0 and "all 2 updates are done already" in out


def test_damaged_and_foreign_data_are_named(command: Command) -> None:
    code, out, _ = command("collect --config tiny --data.num_episodes 20")
    assert code == 0
    folder = next(Path("data").iterdir())
    assert str(folder) in out
    frames = folder / "frames.npz"
    content = frames.read_bytes()
    frames.write_bytes(content[: len(content) // 2])
    said = refused(command, f"train --config tiny {SHORT}")
    assert f"{frames} is truncated or altered" in said
    frames.write_bytes(content)
    other = f"train --config tiny {SHORT} --task rooms --data.folder {folder}"
    assert "is of task 'rooms-tiny', 'rooms' was asked for" in refused(command, other)
    (folder / "metadata.json").unlink()
    assert "not a dataset" in refused(command, f"train --config tiny {SHORT}")


def test_a_full_disk_gets_one_clear_line(tmp_path: Path, command: Command) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only a machine's owner can mount a small disk")
    try:
        said = refused(command, f"train --config tiny {SHORT} --run {disk}/a")
        assert "disk is full" in said and "RESUME=1" in said
        said = refused(
            command, f"collect --config tiny --data.num_episodes 5000 --data.folder {disk}/data"
        )
        assert "disk is full" in said
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_full_between_checkpoints_loses_nothing(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(f"train --config tiny {SHORT} --levels 1 --run a")[0] == 0
    before = checkpoint.load_checkpoint(Path("runs/a"))

    def full(*args: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ValueError, match="the disk is full"):
        files.write_atomically(Path("runs/a/checkpoints/last.json"), b"{}")
    after = checkpoint.load_checkpoint(Path("runs/a"))
    assert after.update == before.update
    assert not list(Path("runs/a/checkpoints").glob(".*"))


@pytest.mark.timeout(120)
def test_ctrl_c_says_how_to_go_on_and_loses_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    settings = "--config tiny --levels 2 --run a --evaluation.episodes_per_bin 0".split()
    train = [sys.executable, "-m", "hplan", "train", *settings]
    process = subprocess.Popen(
        train,
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
    resumed = subprocess.run(
        [*train, "--resume"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert resumed.returncode == 0, resumed.stderr
    assert f"goes on after update {stopped} of 60" in resumed.stdout
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
