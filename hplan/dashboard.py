"""What TensorBoard shows of an evaluation, beside the curves of training.

Success by bin with its intervals, work and time, replans by cause; the settings next to what they
reached (HParams); latents with their true distance to a goal (Projector).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from hplan.command_line import logged_settings
from hplan.config import Config
from hplan.level import encode_stack
from hplan.results import ENDINGS

Row = Mapping[str, Any]


def log_evaluation(writer: SummaryWriter, config: Config, rows: Sequence[Row], update: int) -> None:
    """All that TensorBoard shows of the rows of one evaluation."""
    log_rows(writer, rows, update)
    writer.add_figure("plan/success_rate", success_figure(rows), update)
    log_settings(writer, config, rows)


def log_rows(writer: SummaryWriter, rows: Sequence[Row], update: int) -> None:
    """Scalars of results' rows (`hplan.results.summarise`), tagged by what, bin and method.

    Time and FLOPs are per decision, that is per plan of the bottom level. Where a method makes
    none, they are left out, and so are each level's work and the shares of told failures.
    """
    for row in rows:
        place = f"{row['bin']}/{method_label(row)}"
        values = {
            "success_rate": row["success_rate"],
            "success_rate_ci_low": row["ci_low"],
            "success_rate_ci_high": row["ci_high"],
            "spl": row["spl"],
            "predictor_evaluations_per_step": row["predictor_evaluations_per_step"],
        }
        values |= {f"replans_level{k}": mean for k, mean in enumerate(row["replans_by_level"])}
        values |= {
            f"early_replans_{cause}": mean for cause, mean in row["early_replans_by_cause"].items()
        }
        decisions = row["replans_by_level"][0]
        if row["episodes"] and decisions:
            steps = row["env_steps_mean"] / decisions
            values["ms_per_decision"] = row["plan_ms_per_step"] * steps
            values["flops_per_decision"] = row["flops_per_step"] * steps
            for k, work in enumerate(row["predictor_evaluations_by_level"]):
                values[f"predictor_evaluations_per_step_level{k}"] = work
            values |= {f"{name}_rate": row[name] / row["episodes"] for name in ENDINGS}
        for name, value in values.items():
            writer.add_scalar(f"plan/{name}/{place}", value, update)


def success_figure(rows: Sequence[Row]) -> Figure:
    """Success rate by bin with 95 % intervals, a line for each method."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    bins = list(dict.fromkeys(row["bin"] for row in rows))
    methods = list(dict.fromkeys(method_label(row) for row in rows))
    for i, method in enumerate(methods):
        own = [row for row in rows if method_label(row) == method and row["episodes"]]
        rate = np.array([row["success_rate"] for row in own])
        around = [
            rate - [row["ci_low"] for row in own],
            [row["ci_high"] for row in own] - rate,
        ]
        # Side by side, so that intervals can be told apart; rounding may leave a hair below 0.
        at = np.array([bins.index(row["bin"]) for row in own]) + 0.06 * (i - len(methods) / 2)
        axes.errorbar(
            at, rate, yerr=np.maximum(around, 0), marker="osD^vPX*"[i % 8], capsize=3, label=method
        )
    axes.set(xticks=range(len(bins)), xticklabels=bins, ylim=(-0.05, 1.05))
    axes.set(xlabel="optimal length", ylabel="success rate")
    figure.legend(loc="outside right upper", fontsize="small")
    return figure


def log_settings(writer: SummaryWriter, config: Config, rows: Sequence[Row]) -> None:
    """The run's settings beside its success rates, for the HParams tab."""
    settings = logged_settings(config)
    rates = {
        f"plan/success_rate/{row['bin']}/{method_label(row)}": float(row["success_rate"])
        for row in rows
    }
    for summary in hparams(settings, rates):
        writer.file_writer.add_summary(summary)


@torch.no_grad()
def log_latents(
    writer: SummaryWriter, levels: nn.ModuleList, obs: np.ndarray, steps: np.ndarray, update: int
) -> None:
    """Latents of every level for the Projector tab, with the true distance to one goal.

    Args:
        obs: (M, *obs_shape) observations.
        steps: (M,) env steps of the shortest path from each to the same goal.
    """
    device = levels[0].move.device
    for k, z in enumerate(encode_stack(levels, torch.from_numpy(obs).to(device))):
        writer.add_embedding(
            z.cpu(), metadata=[int(n) for n in steps], tag=f"level{k}", global_step=update
        )


def method_label(row: Row) -> str:
    """What tells a method's rows from all others of an evaluation."""
    if row["energy"] == "none":
        return str(row["method"])
    place = f"-level{row['energy_level']}" if row["energy_level"] else ""
    return f"{row['method']}-{row['energy']}{place}"
