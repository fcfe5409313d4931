"""Training end to end on a tiny world: the same weights again, whatever interrupts or shares it."""

import logging
import os
import pickletools
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from hplan.__main__ import main
from hplan.arguments import read_arguments
from hplan.checkpoint import load_checkpoint, restore, save_checkpoint
from hplan.collection import clip_sources, episodes
from hplan.command_line import read_config
from hplan.level import encode_stack
from hplan.level_config import level_configs
from hplan.objective import ClipBatch, stack_loss
from hplan.suited import suited
from hplan.trainer import KeepCheckpoints, updates_done
from hplan.training import collapse_alarms, learning_rate_factor
from levels.build import build_levels
from tasks import build_task
from tasks.collect import Collection

ROOT = Path(__file__).resolve().parent.parent.parent
TINY = (
    "--config tiny --levels 2 --data.num_episodes 20 --evaluation.episodes_per_bin 0 "
    "--evaluation.during_training 0 --training.num_updates 10 --training.distance_updates 3 "
    "--training.validate_every 4 --training.validation_pairs 10 --accelerator cpu"
)


def train(settings: str) -> int:
    return main(f"train {TINY} {settings}".split())


def weights_of(run: str | Path) -> dict[str, Tensor]:
    files = list(Path("runs", run, "checkpoints").glob("*.safetensors"))
    assert len(files) == 1
    return load_file(files[0])


def assert_same_weights(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert not different


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert train("--run whole") == 0
    return folder / "runs" / "whole"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_same_command_gives_the_same_weights_and_another_seed_others(whole: Path) -> None:
    assert train("--run again") == train("--run other --seed 1") == 0
    assert_same_weights(weights_of(whole), weights_of("again"))
    name = "0.predictor.mlp.0.weight"
    assert not torch.equal(weights_of(whole)[name], weights_of("other")[name])


@pytest.mark.parametrize("stop", [5, pytest.param(8, marks=pytest.mark.slow)])
def test_a_resumed_run_ends_as_if_never_interrupted(
    whole: Path, stop: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = KeepCheckpoints.on_train_batch_start

    def interrupt(self: KeepCheckpoints, trainer: object, *args: object) -> None:
        if trainer.global_step == stop:
            signal.raise_signal(signal.SIGINT)
        begin(self, trainer, *args)

    with monkeypatch.context() as patched:
        patched.setattr(KeepCheckpoints, "on_train_batch_start", interrupt)
        assert train("--run parts") == 130
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "make train RESUME=1 RUN=runs/parts" in err
    assert updates_done(Path("runs/parts")) == stop
    assert train("--run parts --resume") == 0
    assert_same_weights(weights_of(whole), weights_of("parts"))


@pytest.mark.slow
def test_a_run_can_go_on_from_the_checkpoint_of_a_validation(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(self: KeepCheckpoints, trainer: object, *args: object) -> None:
        if trainer.global_step == 6:
            raise KeyboardInterrupt  # as a second Ctrl-C, or a machine switched off

    with monkeypatch.context() as patched:
        patched.setattr(KeepCheckpoints, "on_train_batch_start", die)
        assert train("--run parts") == 130
    assert updates_done(Path("runs/parts")) == 4
    assert train("--run parts --resume") == 0
    assert_same_weights(weights_of(whole), weights_of("parts"))


@pytest.mark.slow
def test_who_dies_while_a_checkpoint_is_written_goes_on_from_the_one_before(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*args: object, update: int, **others: object) -> None:
        if update == 8:
            raise KeyboardInterrupt
        save_checkpoint(*args, update=update, **others)

    with monkeypatch.context() as patched:
        patched.setattr("hplan.trainer.save_checkpoint", die)
        assert train("--run parts") == 130
    assert updates_done(Path("runs/parts")) == load_checkpoint(Path("runs/parts")).update == 4
    assert train("--run parts --resume") == 0
    assert_same_weights(weights_of(whole), weights_of("parts"))


def test_a_saved_config_reruns_the_run() -> None:
    short = "--training.num_updates 4 --training.distance_updates 1"
    assert train(f"--run a --levels 3 --training.learning_rate 1e-3 {short}") == 0
    assert main("train --config runs/a/config.yaml --run b".split()) == 0
    assert_same_weights(weights_of("a"), weights_of("b"))


@pytest.mark.slow  # that the loss and its gradients are those of one, test_distributed finds sooner
@pytest.mark.timeout(120)
def test_two_processes_train_as_one(whole: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    # One of them looks at the agent after every validation, while the other waits.
    looking = "--evaluation.during_training 1 --evaluation.budget_factor 1"
    command = f"-m hplan train {TINY} {looking} --run two --devices 2"
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("levels=2") == 1  # one process speaks
    one, two = weights_of(whole), weights_of("two")
    # What validation measured (of other noise in two processes) is no weight.
    for name in (name for name in one if not name.endswith(("move", "rollout_error"))):
        torch.testing.assert_close(two[name], one[name], atol=2e-4, rtol=1e-3, msg=name)


def test_a_reloaded_stack_gives_the_same_latents(whole: Path) -> None:
    config = read_config(read_arguments(TINY.split()))
    checkpoint = load_checkpoint(whole)
    task = build_task(config.task.name, config.task.layout_seed)
    config = suited(config, task.spec)
    assert checkpoint.config == config
    assert checkpoint.update == 10
    obs = torch.from_numpy(task.observe(task.world.all_states[:7]))
    first, second = (build_levels(level_configs(config.hierarchy), task.spec) for _ in range(2))
    restore(first, checkpoint, whole)
    restore(second, load_checkpoint(whole), whole)
    for a, b in zip(encode_stack(first, obs), encode_stack(second, obs), strict=True):
        assert torch.equal(a, b)
        assert a.std() > 0


def test_checkpoints_hold_no_pickled_objects(whole: Path) -> None:
    files = {path.name for path in (whole / "checkpoints").iterdir()}
    assert files == {"last.json", "resume.ckpt", "update-0000010.safetensors"}
    path = whole / "checkpoints" / "resume.ckpt"
    assert torch.load(path, weights_only=True)["global_step"] == 10
    with zipfile.ZipFile(path) as archive:
        pickle = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        code = list(pickletools.genops(archive.read(pickle)))
    named = [str(arg).replace(" ", ".") for op, arg, _ in code if op.name == "GLOBAL"]
    modules = {name.partition(".")[0] for name in named}
    assert modules <= {"torch", "collections"}


def alarms_of(run: str, settings: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    with caplog.at_level(logging.WARNING, logger="hplan"):
        caplog.clear()
        assert main(f"train {settings} --run {run}".split()) == 0
        return [record.getMessage() for record in caplog.records]


def test_the_collapse_alarm_rings_without_a_regulariser_and_only_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = (
        "--config tiny --evaluation.episodes_per_bin 0 --evaluation.during_training 0 "
        "--accelerator cpu --training.distance_updates 0 --data.num_episodes 40 "
        "--training.num_updates 30 --training.learning_rate 0.02"  # few updates that go far
    )
    assert alarms_of("healthy", settings, caplog) == []
    without = f"{settings} --hierarchy.level.loss.regulariser_weight 0"
    alarms = alarms_of("collapsed", without, caplog)
    for k in range(3):
        assert any(f"collapse: the latents of level{k} have" in alarm for alarm in alarms)
    metrics = {"level0/latent_std": torch.tensor(0.5), "level0/effective_rank": torch.tensor(3.0)}
    assert collapse_alarms(metrics, 0.4) == []
    assert "effective rank of 3.0" in collapse_alarms(metrics, 0.6)[0]


def test_a_loss_that_is_no_number_stops_before_the_weights_change(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before: dict[str, Tensor] = {}
    stacks: list[nn.ModuleList] = []

    def spoilt(levels: nn.ModuleList, *args: object) -> tuple[Tensor, dict[str, Tensor]]:
        loss, terms = stack_loss(levels, *args)
        if len(stacks) == 3:
            before.update({name: x.detach().clone() for name, x in levels.named_parameters()})
            terms["level1/prediction_loss"] = terms["level1/prediction_loss"] * float("nan")
            loss = loss + terms["level1/prediction_loss"]
        stacks.append(levels)
        return loss, terms

    monkeypatch.setattr("hplan.training.stack_loss", spoilt)
    assert train("--run a") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "not finite at update 3 (level1/prediction_loss)" in err
    assert before
    for name, x in stacks[-1].named_parameters():
        assert torch.equal(x, before[name]), name
        assert torch.isfinite(x).all()


def test_the_learning_rate_rises_then_falls_to_zero_in_both_parts() -> None:
    factors = [learning_rate_factor(update, 5, 50, 20) for update in range(50)]
    assert factors[0] == 0.2 and factors[4] == 1.0
    assert factors[29] < 0.02 and factors[34] == 1.0 and factors[49] < 0.02
    assert all(b < a for a, b in zip(factors[5:29], factors[6:30], strict=True))


def test_held_out_clips_do_not_depend_on_training_and_are_of_another_seed() -> None:
    config = read_config(read_arguments(TINY.split()))
    task = build_task(config.task.name, config.task.layout_seed)
    data = config.data
    source = Collection(
        task=task,
        num_episodes=data.num_episodes,
        episode_length=data.episode_length,
        seed=config.seed,
    )
    store = episodes(config, task, source)
    sampler, held_out = clip_sources(config, source, store)
    again = clip_sources(config, source, store)[1]
    assert isinstance(held_out, ClipBatch)
    assert torch.equal(held_out.actions, again.actions)
    assert held_out.index.shape == (64, config.training.clip_length + 1)
    drawn = sampler.draw(3)
    assert torch.equal(drawn.actions, sampler.draw(3).actions)
    assert not torch.equal(drawn.actions, sampler.draw(4).actions)
    other = clip_sources(replace(config, seed=1), source, store)[0]
    assert not torch.equal(drawn.actions, other.draw(3).actions)


def test_macro_actions_that_tell_nothing_ring_the_alarm():
    told = {"level1/macro_action_nats": torch.tensor(0.7)}
    silent = {"level1/macro_action_nats": torch.tensor(0.001)}
    assert collapse_alarms(told, 0.1) == []
    (message,) = collapse_alarms(silent, 0.1)
    assert "level1 tell 0.001 nats" in message and "prior_weight" in message
