"""Trains a stack with Lightning: one optimiser step trains all levels."""

import copy
import logging
import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from hplan.config import Config
from hplan.diagnostics import ValidationPairs, validate
from hplan.distributed import rank
from hplan.level_config import level_configs
from hplan.objective import ClipBatch, distances_loss, stack_loss

LEAST_NATS = 0.02  # of a macro-action; those that planned well told 0.7 to 1.8

logger = logging.getLogger(__name__)


class NonFiniteLoss(ValueError):
    """The loss is not a number; raised before the optimiser could spread it."""


class StackTraining(pl.LightningModule):
    """The training step of a stack of levels.

    Args:
        levels: the stack, bottom first.
        config: the whole run's settings.
        pairs: state pairs with true distances, for validation; None where no oracle knows them.
    """

    def __init__(
        self, levels: nn.ModuleList, config: Config, pairs: ValidationPairs | None
    ) -> None:
        super().__init__()
        self.levels = levels
        self.targets = nn.ModuleList(copy.deepcopy(level.distance) for level in levels)
        self.targets.requires_grad_(False)
        self.config = config
        self.level_configs = level_configs(config.hierarchy)
        self.pairs = pairs

    def _generator(self, stream: int) -> torch.Generator:
        """Noise of this update: the same for every process, and after a resume."""
        return torch.Generator().manual_seed(
            (self.config.seed * 1_000_003 + self.global_step) * 2 + stream
        )

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        training = self.config.training
        frozen = self.global_step >= training.num_updates - training.distance_updates
        if frozen:
            loss, terms = distances_loss(
                self.levels, self.targets, self.level_configs, batch, self._generator(0)
            )
        else:
            loss, terms = stack_loss(
                self.levels, self.level_configs, batch, self._generator(0), self.targets
            )
        if not torch.isfinite(loss):
            bad = ", ".join(name for name, term in terms.items() if not torch.isfinite(term))
            raise NonFiniteLoss(
                f"the loss is not finite at update {self.global_step} ({bad}); no weight was "
                "changed by it; lower training.learning_rate, then go on from the last checkpoint "
                "(RESUME=1)"
            )
        if self.global_step % 20 == 0:
            self.log_dict({name: term.detach() for name, term in terms.items()})
            self.log("loss", loss.detach())
        return loss

    def on_train_batch_end(self, *args: Any) -> None:
        """Moves the target networks a little towards the distances."""
        rate = self.config.training.target_rate
        with torch.no_grad():
            for target, level in zip(self.targets, self.levels, strict=True):
                for slow, fast in zip(
                    target.parameters(), level.distance.parameters(), strict=True
                ):
                    slow.lerp_(fast, rate)

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        metrics = validate(self.levels, self.level_configs, batch, self.pairs, self._generator(1))
        self.log_dict(metrics)
        if rank() == 0:
            for message in collapse_alarms(metrics, self.config.training.collapse_std):
                logger.warning(message)

    def configure_optimizers(self) -> dict[str, Any]:
        training = self.config.training
        matrices = [p for p in self.levels.parameters() if p.ndim >= 2]
        others = [p for p in self.levels.parameters() if p.ndim < 2]
        optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": training.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=training.learning_rate,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda update: learning_rate_factor(
                update, training.warmup_updates, training.num_updates, training.distance_updates
            ),
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def learning_rate_factor(update: int, warmup: int, total: int, num_last: int) -> float:
    """Linear warm-up, then half a cosine to zero: for the stack, then for `num_last` updates."""
    total -= num_last
    if update >= total and num_last:
        update, total = update - total, num_last
    if update < warmup:
        return (update + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (update - warmup) / max(1, total - warmup))))


def collapse_alarms(metrics: dict[str, Tensor], least_std: float) -> list[str]:
    """Plain words for every level whose latent hardly varies any more.

    Args:
        metrics: as `hplan.diagnostics.validate` returns them.
        least_std: mean standard deviation below which a latent counts as collapsed.
    """
    alarms = []
    for name, value in metrics.items():
        level, _, metric = name.partition("/")
        if metric == "latent_std" and value < least_std:
            rank_left = float(metrics[f"{level}/effective_rank"])
            alarms.append(
                f"collapse: the latents of {level} have a standard deviation of {float(value):.3f} "
                f"(alarm below {least_std}) and an effective rank of {rank_left:.1f}; its "
                "predictions say nothing any more. Raise its regulariser_weight or lower its "
                "prediction_weight."
            )
        if metric == "macro_action_nats" and value < LEAST_NATS:
            alarms.append(
                f"collapse: the macro-actions of {level} tell {float(value):.3f} nats of what "
                f"changes (alarm below {LEAST_NATS}), so there is nothing to plan with. Lower its "
                "prior_weight."
            )
    return alarms
