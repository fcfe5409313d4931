"""Puts Lightning's Trainer together: what is shown, what is kept, how it stops and goes on."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from hplan.accelerator import accelerator
from hplan.checkpoint import resume_file, save_checkpoint
from hplan.command_line import logged_settings
from hplan.config import Config
from hplan.data import ClipSampler, ClipStream
from hplan.dataset import ObservationSpec
from hplan.distributed import world_size
from hplan.objective import ClipBatch
from hplan.progress import TrainingProgress
from hplan.run import is_main_process
from hplan.shell import Stopped
from hplan.surroundings import alone_afterwards, deterministic, quiet
from hplan.training import StackTraining


class Interrupted(Stopped):
    """Ctrl-C while training, after the update was finished and the checkpoint written."""

    def __init__(self, update: int) -> None:
        super().__init__(f"interrupted after update {update}")
        self.update = update


class ClipData(pl.LightningDataModule):
    """Training batches from update `first` on, and the one held-out batch."""

    def __init__(
        self, sampler: ClipSampler, validation: ClipBatch, *, first: int, last: int
    ) -> None:
        super().__init__()
        self.stream = ClipStream(sampler, first=first, last=last)
        self.validation = validation

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.stream, batch_size=None)

    def val_dataloader(self) -> DataLoader:
        return DataLoader([self.validation], batch_size=None, collate_fn=_as_it_is)


def _as_it_is(batch: ClipBatch) -> ClipBatch:
    return batch


class ShowProgress(Callback):
    """Tells a `TrainingProgress` what happens; only the main process has one."""

    def __init__(self, progress: TrainingProgress) -> None:
        self.progress = progress
        self.validation_began = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.progress.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *args: Any
    ) -> None:
        self.progress.update(trainer.global_step, float(outputs["loss"]))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.validation_began = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.progress.validated(time.perf_counter() - self.validation_began, metrics)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.progress.stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self.progress.stop()


class LookAtAgent(Callback):
    """Calls `probe` with TensorBoard's writer and the update, after every validation."""

    def __init__(self, probe: Callable[[SummaryWriter, int], None]) -> None:
        self.probe = probe

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self.probe(trainer.logger.experiment, trainer.global_step)


class KeepCheckpoints(Callback):
    """Writes a checkpoint after every validation; and on Ctrl-C, between two updates."""

    def __init__(self, run_dir: Path, config: Config, spec: ObservationSpec) -> None:
        self.run_dir = run_dir
        self.config = config
        self.spec = spec
        self.interrupted = False
        self.handler_before: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # One batch is one update. Lightning counts a batch that had begun when a checkpoint was
        # written, and would validate one update early ever after.
        trainer.fit_loop.epoch_loop.batch_progress.total.ready = trainer.global_step
        if threading.current_thread() is threading.main_thread():
            self.handler_before = signal.signal(signal.SIGINT, self._on_interrupt)

    def _on_interrupt(self, number: int, frame: Any) -> None:
        """The first Ctrl-C waits for the update to end; a second one does not."""
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        """Here the update before is whole; at a callback's batch end the module's is to come."""
        interrupted = self.interrupted
        if world_size() > 1:
            interrupted = trainer.strategy.reduce_boolean_decision(interrupted, all=False)
        if interrupted:
            self.save(trainer, pl_module)
            raise Interrupted(trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.save(trainer, pl_module)

    def save(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Writes the weights that others read, then what training continues from.

        In this order: who dies in between goes on from before, and makes the same weights again.
        """
        path = resume_file(self.run_dir)
        partial = path.with_name(f".{path.name}.partial")
        try:
            trainer.save_checkpoint(partial)
            if trainer.is_global_zero:
                save_checkpoint(
                    self.run_dir,
                    module.levels,
                    config=self.config,
                    spec=self.spec,
                    update=trainer.global_step,
                )
                partial.replace(path)
        finally:
            if trainer.is_global_zero:
                partial.unlink(missing_ok=True)

    def _restore_handler(self) -> None:
        if self.handler_before is not None:
            signal.signal(signal.SIGINT, self.handler_before)
            self.handler_before = None

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restore_handler()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._restore_handler()


def updates_done(run_dir: Path) -> int:
    """How many updates the run's resume checkpoint has had; 0 where there is none.

    Raises:
        ValueError: it is damaged.
    """
    path = resume_file(run_dir)
    if not path.exists():
        return 0
    try:
        return int(torch.load(path, weights_only=True, map_location="cpu")["global_step"])
    except Exception as error:  # torch raises a different one for each kind of damage
        raise ValueError(
            f"{path} is truncated or altered ({type(error).__name__}); delete it to train from the "
            "start with RESUME=1, or train a run of another name (RUN=...)"
        ) from error


def fit(
    module: StackTraining,
    *,
    config: Config,
    spec: ObservationSpec,
    sampler: ClipSampler,
    validation: ClipBatch,
    run_dir: Path,
    first: int,
    probe: Callable[[SummaryWriter, int], None] | None = None,
) -> None:
    """Trains `module` from update `first` to the last, and leaves its checkpoint in the run.

    Args:
        probe: looks at the agent after every validation, with TensorBoard's writer and the update.

    Raises:
        Interrupted: Ctrl-C; the run can be resumed.
        NonFiniteLoss: before the weights were changed by it.
    """
    training = config.training
    validate_every = min(training.validate_every, training.num_updates)
    keep = KeepCheckpoints(run_dir, config, spec)
    looks = [LookAtAgent(probe)] if probe is not None else []
    trainer = _trainer(config, run_dir, [keep, *looks], validate_every, first)
    data = ClipData(sampler, validation, first=first, last=training.num_updates)
    (run_dir / "checkpoints").mkdir(exist_ok=True)
    with quiet(), deterministic(), alone_afterwards():
        trainer.fit(
            module, data, ckpt_path=str(resume_file(run_dir)) if first else None, weights_only=True
        )
        if training.num_updates % validate_every:
            trainer.validate(module, data, verbose=False)
        _log_settings(trainer, config)
    if keep.interrupted:
        raise Interrupted(trainer.global_step)


def _trainer(
    config: Config, run_dir: Path, callbacks: list[Callback], validate_every: int, first: int
) -> pl.Trainer:
    num_updates = config.training.num_updates
    logger = TensorBoardLogger(run_dir, name="tensorboard", version="", default_hp_metric=False)
    progress = TrainingProgress(
        first=first,
        last=num_updates,
        validate_every=validate_every,
        num_levels=config.hierarchy.num_levels,
    )
    shown = [ShowProgress(progress)] if is_main_process() else []
    with quiet():
        return pl.Trainer(
            accelerator=accelerator(config),
            devices=config.devices,
            num_nodes=config.nodes,
            strategy=_strategy(config),
            max_steps=num_updates,
            max_epochs=-1,
            val_check_interval=validate_every,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            gradient_clip_val=config.training.clip_norm,
            log_every_n_steps=1,  # the module itself logs every so many
            logger=logger,
            callbacks=[*callbacks, *shown],  # last, to time all that a validation does
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            inference_mode=False,
            use_distributed_sampler=False,
        )


def _strategy(config: Config) -> str:
    """Neither the world models' losses nor the distances' give every part a gradient."""
    return "auto" if config.devices * config.nodes == 1 else "ddp_find_unused_parameters_true"


def _log_settings(trainer: pl.Trainer, config: Config) -> None:
    """Settings beside the last validation, for TensorBoard's HParams tab."""
    settings = logged_settings(config)
    names = ("latent_std", "relative_error_1", "distance_rank_correlation")
    metrics = {
        name: float(value)
        for name, value in trainer.callback_metrics.items()
        if name.partition("/")[2] in names
    }
    trainer.logger.log_hyperparams(settings, metrics)
    trainer.logger.finalize("success")
