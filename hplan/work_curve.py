"""Success against work: one stack that plans with more and less effort, by each energy."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from hplan.config import Config
from hplan.evaluation import evaluate
from hplan.files import as_file_name
from hplan.level_config import EnergyName
from hplan.protocol import protocol_card, step_budgets
from hplan.results import print_table, write_results
from hplan.shell import say

EFFORTS = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0)
ENERGIES: tuple[EnergyName, ...] = ("distance", "l2")
COLOURS = ("#1f77b4", "#d95f02", "#6a3d9a", "#1b9e77", "#a6761d", "#666666")
DASHES = {"distance": "-", "l2": ":"}

Row = dict[str, Any]


def work_curve(
    levels: nn.ModuleList,
    config: Config,
    task: Any,
    suite: Any,
    *,
    efforts: Sequence[float] = EFFORTS,
    energies: Sequence[EnergyName] = ENERGIES,
    report: Callable[[str], None] = say,
) -> list[Row]:
    """Rows of results, with their `effort`, of the whole stack at every effort and energy.

    A stack of one level is flat planning by that energy.
    """
    rows: list[Row] = []
    for energy in energies:
        for effort in efforts:
            changed = replace(
                config,
                agent=replace(config.agent, effort=effort),
                evaluation=replace(config.evaluation, energy=energy),
            )
            report(f"effort {effort:g}:")
            own = evaluate(
                levels, changed, task, suite, None, methods=["hierarchical"], report=report
            )
            rows += [row | {"effort": effort} for row in own]
    return rows


def curve_of_run(
    config: Config,
    task: Any,
    levels: nn.ModuleList,
    run_dir: Path,
    *,
    efforts: Sequence[float] = EFFORTS,
    beside: Sequence[Path] = (),
) -> None:
    """Measures a run's curve, prints it, and writes results and a plot beside the run.

    Args:
        beside: folders of other runs, whose curves of the same suite are drawn with it.
    """
    settings = config.evaluation
    # The pairs of the whole evaluation, though fewer: nothing is tuned by this.
    suite = task.suite(episodes_per_bin=settings.brief_episodes_per_bin, seed=settings.suite_seed)
    name = f"{as_file_name(task.name)}-curve"
    others = [row for folder in beside for row in _curve_at(folder, name, suite.sha256)]
    energies = [e for e in ENERGIES if e != "distance" or config.training.distance_updates]
    rows = work_curve(levels.eval(), config, task, suite, efforts=efforts, energies=energies)
    folder = run_dir / "eval" / name
    write_results(folder, protocol_card(config, task, suite, step_budgets(config, suite)), rows)
    figure = curve_figure([*rows, *others])
    figure.savefig(folder / "curve.png", dpi=150)
    print_table(rows)
    say(f"curve: {folder / 'curve.png'}, {folder / 'results.json'}")


def read_efforts(text: str | None) -> Sequence[float]:
    """The numbers of --efforts; of None, the usual ones.

    Raises:
        ValueError: one that is none, or not above 0.
    """
    if text is None:
        return EFFORTS
    try:
        efforts = [float(part) for part in text.split(",")]
    except ValueError:
        efforts = []
    if not efforts or not all(0 < effort < math.inf for effort in efforts):
        raise ValueError(f"--efforts {text}; allowed are numbers above 0 with commas between them")
    return efforts


def _curve_at(run_dir: Path, name: str, pairs: str) -> list[Row]:
    """The rows of the curve that another run holds.

    Raises:
        ValueError: it holds none, or one of other pairs.
    """
    path = run_dir / "eval" / name / "results.json"
    if not path.is_file():
        raise ValueError(f"--beside {run_dir}: no {path}; make it first: make curve RUN={run_dir}")
    try:
        results = json.loads(path.read_text())
        rows, of_pairs = results["rows"], results["protocol"]["pairs_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"--beside {run_dir}: {path} is damaged or of another version; make it again: make "
            f"curve RUN={run_dir}"
        ) from error
    if of_pairs != pairs:
        raise ValueError(f"--beside {run_dir}: {path} is of other pairs; make it again alike")
    return rows


def curve_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Success rate against predictor evaluations per env step, with 95 % intervals.

    A panel for each bin; in it a line for each depth and energy, its points the efforts.
    """
    bins = list(dict.fromkeys(row["bin"] for row in rows))
    figure = Figure(figsize=(1 + 3.4 * len(bins), 3.8), layout="constrained")
    panels = figure.subplots(1, len(bins), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, bins, strict=True):
        for line, label, style in _lines([row for row in rows if row["bin"] == name]):
            _draw(axes, line, label, style)
        axes.set(xscale="log", ylim=(-0.05, 1.05), title=name)
        axes.set_xlabel("predictor evaluations per env step")
    panels[0].set_ylabel("success rate")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize="small")
    return figure


def _lines(
    rows: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[list[Mapping[str, Any]], str, dict[str, str]]]:
    """Each line's rows by their work, its label and its style."""
    for depth, energy in sorted({(row["num_levels"], row["energy"]) for row in rows}):
        own = [row for row in rows if (row["num_levels"], row["energy"]) == (depth, energy)]
        drawn = [row for row in own if row["episodes"] and row["predictor_evaluations_per_step"]]
        drawn.sort(key=lambda row: row["predictor_evaluations_per_step"])
        label = f"{depth} level{'s' * (depth > 1)}, {energy}"
        style = {"linestyle": DASHES.get(energy, "--"), "color": COLOURS[depth % len(COLOURS)]}
        yield drawn, label, style


def _draw(
    axes: Axes, rows: Sequence[Mapping[str, Any]], label: str, style: Mapping[str, str]
) -> None:
    work = [row["predictor_evaluations_per_step"] for row in rows]
    rate = np.array([row["success_rate"] for row in rows])
    low = rate - [row["ci_low"] for row in rows]
    high = np.array([row["ci_high"] for row in rows]) - rate
    # Rounding may leave a hair below 0.
    around = np.maximum([low, high], 0)
    axes.errorbar(
        work, rate, yerr=around, marker="o", markersize=3, capsize=2, label=label, **style
    )
