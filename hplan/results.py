"""What an evaluation measured: from outcomes of episodes to rows, result files and a table."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal, SupportsFloat

import numpy as np
from rich.console import Console
from rich.table import Table

from hplan.files import write_atomically
from hplan.level_config import EnergyName

TABLE_WIDTH = 130  # columns, where there is no terminal
TIMING_KEYS = ("plan_ms_per_step",)
ENDINGS = ("stuck", "refused", "unsafe")  # of failed episodes; counted
ROW_KEYS = (
    "method", "energy", "energy_level", "num_levels", "task", "bin", "episodes", "successes",
    "success_rate", "ci_low", "ci_high", "spl", "env_steps_mean", "optimal_steps_mean",
    "plan_ms_per_step", "predictor_evaluations_per_step", "predictor_evaluations_by_level",
    "flops_per_step", "replans_by_level", "early_replans_by_cause", *ENDINGS,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class EpisodeOutcomes:
    """One method on a whole suite of E episodes.

    Attributes:
        energy: what its plans minimise; "none" for a method that does not plan.
        energy_level: level in whose latent it is measured, 0 where that is each level's own.
        success: (E,) bool.
        env_steps: (E,) taken; the whole budget where it failed, unless it ended before.
        stuck: (E,) bool, failed, and the agent itself reported that it was stuck.
        refused: (E,) bool, ended by the agent, which had no plan free of what is forbidden.
        unsafe: (E,) bool, ended by what never should happen.
        bin_index: (E,) index into the suite's bins.
        optimal_steps: (E,) env steps of the shortest path.
        predictor_evaluations_by_level: (E, K) predictor rows in the episode, bottom first.
        flops: (E,) of those evaluations.
        plan_seconds: wall-clock time of planning, all episodes together (they are batched).
        replans_by_level: (E, K) plans made at each level, bottom first.
        early_replans_by_cause: cause -> (E,) plans made before the clock asked for one.
    """

    method: str
    energy: EnergyName | Literal["none"]
    energy_level: int = 0
    num_levels: int
    task: str
    success: np.ndarray
    env_steps: np.ndarray
    stuck: np.ndarray
    refused: np.ndarray
    unsafe: np.ndarray
    bin_index: np.ndarray
    optimal_steps: np.ndarray
    predictor_evaluations_by_level: np.ndarray
    flops: np.ndarray
    plan_seconds: float
    replans_by_level: np.ndarray
    early_replans_by_cause: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        arrays = {name: value for name, value in arrays.items() if isinstance(value, np.ndarray)}
        arrays |= self.early_replans_by_cause
        for name, array in arrays.items():
            expected = self.success.shape + (self.num_levels,) * name.endswith("_by_level")
            assert array.shape == expected, f"{name} {array.shape}, expected {expected}"


def wilson_interval(successes: int, episodes: int, confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a success rate; (0, 1) where there is no episode.

    Source: Wilson, "Probable inference" (1927); without continuity correction.
    """
    if episodes == 0:
        return 0.0, 1.0
    deviate = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate, shrink = successes / episodes, 1 + deviate**2 / episodes
    centre = (rate + deviate**2 / (2 * episodes)) / shrink
    spread = math.sqrt(rate * (1 - rate) / episodes + (deviate / (2 * episodes)) ** 2)
    half = deviate * spread / shrink
    # Rounding would leave 0 of n a hair above 0, and n of n a hair below 1.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return low, 1.0 if successes == episodes else min(1.0, centre + half)


def spl(success: np.ndarray, steps: np.ndarray, optimal: np.ndarray) -> float:
    """Success weighted by path length, in [0, 1], of E episodes; NaN where there is none.

    Source: Anderson et al. (arXiv 1807.06757), equation 1; a start that is its own goal counts 1.

    Args:
        success: (E,) bool.
        steps, optimal: (E,) env steps taken, and of the shortest path.
    """
    longest = np.maximum(steps, optimal)
    share = np.where(longest > 0, optimal / np.maximum(longest, 1), 1.0)
    return _mean(success * share)


def summarise(
    outcomes: EpisodeOutcomes, bins: Sequence[tuple[str, int, int]]
) -> list[dict[str, Any]]:
    """One row for each of `bins` (name, low, high), with the keys `ROW_KEYS`; NaN where undefined.

    Means are over all episodes of a bin, the failed ones too; `_per_step` is the ratio of sums over
    the bin. `plan_ms_per_step` is over the whole suite, for its episodes are planned together.
    `replans_by_level` and `early_replans_by_cause` are means per episode,
    `predictor_evaluations_by_level` is per env step, `ENDINGS` are numbers of episodes.
    """
    assert outcomes.bin_index.size == 0 or outcomes.bin_index.max() < len(bins), "bin_index"
    plan_ms = _ratio(1000 * outcomes.plan_seconds, outcomes.env_steps.sum())
    rows = []
    for index, (name, _, _) in enumerate(bins):
        here = outcomes.bin_index == index
        success, steps = outcomes.success[here], outcomes.env_steps[here]
        optimal = outcomes.optimal_steps[here]
        low, high = wilson_interval(int(success.sum()), len(success))
        by_cause = sorted(outcomes.early_replans_by_cause.items())
        by_level = outcomes.predictor_evaluations_by_level[here].sum(0)
        rows.append(
            {
                "method": outcomes.method,
                "energy": outcomes.energy,
                "energy_level": outcomes.energy_level,
                "num_levels": outcomes.num_levels,
                "task": outcomes.task,
                "bin": name,
                "episodes": len(success),
                "successes": int(success.sum()),
                "success_rate": _mean(success),
                "ci_low": low,
                "ci_high": high,
                "spl": spl(success, steps, optimal),
                "env_steps_mean": _mean(steps),
                "optimal_steps_mean": _mean(optimal),
                "plan_ms_per_step": plan_ms,
                "predictor_evaluations_per_step": _ratio(by_level.sum(), steps.sum()),
                "predictor_evaluations_by_level": [_ratio(n, steps.sum()) for n in by_level],
                "flops_per_step": _ratio(outcomes.flops[here].sum(), steps.sum()),
                "replans_by_level": [_mean(count[here]) for count in outcomes.replans_by_level.T],
                "early_replans_by_cause": {cause: _mean(n[here]) for cause, n in by_cause},
                **{name: int(getattr(outcomes, name)[here].sum()) for name in ENDINGS},
            }
        )
    return rows


def write_results(
    folder: Path, protocol: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Write `results.json` and `results.csv`, each whole or not at all.

    The same arguments give the same bytes: keys sorted, floats rounded, what is not finite null.

    Args:
        rows: of `summarise`; what a row has beside `ROW_KEYS` comes behind these.
    """
    rows = plain_data(rows)
    results = {"protocol": plain_data(protocol), "rows": rows}
    text = json.dumps(results, indent=2, sort_keys=True, allow_nan=False) + "\n"
    sheet = io.StringIO()
    more = sorted({key for row in rows for key in row} - set(ROW_KEYS))
    writer = csv.DictWriter(sheet, [*ROW_KEYS, *more], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        nested = {key: json.dumps(v) for key, v in row.items() if isinstance(v, list | dict)}
        writer.writerow({**row, **nested})
    write_atomically(folder / "results.json", text)
    write_atomically(folder / "results.csv", sheet.getvalue())


def without_timings(results: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `{"protocol", "rows"}` less the times: equal for two runs of the same command."""
    rows = [{k: v for k, v in row.items() if k not in TIMING_KEYS} for row in results["rows"]]
    return {**results, "rows": rows}


def results_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Success by bin: a line for each method and energy, its work and time beside.

    Takes rows as `summarise` makes them or as `results.json` holds them; those of another `effort`
    have lines of their own. Work is per env step over all bins, SPL over all episodes. Failures
    that were told apart are counted over all bins, where there are any.
    """
    bins = list(dict.fromkeys(row["bin"] for row in rows))
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    table = Table(title=f"success by optimal length: {', '.join(tasks)}")
    endings = [name for name in ENDINGS if any(row.get(name) for row in rows)]
    for header in ("method", "levels", *bins, "evaluations/step", "ms/step", "SPL", *endings):
        table.add_column(header, justify="left" if header == "method" else "right")
    lines: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        names = ("task", "method", "energy", "energy_level", "num_levels")
        key = (*(row[name] for name in names), row.get("effort"))
        lines.setdefault(key, {})[row["bin"]] = row
    for (task, method, energy, energy_level, num_levels, effort), by_bin in lines.items():
        place = f" of level {energy_level}" if energy_level else ""
        label = method if energy == "none" else f"{method} ({energy}{place})"
        label = label if effort is None else f"{label} x {effort:g}"
        label = label if len(tasks) == 1 else f"{task}: {label}"
        cells = [_rate_cell(by_bin[name]) if name in by_bin else "-" for name in bins]
        own = list(by_bin.values())
        steps = [_number(row["env_steps_mean"]) * row["episodes"] for row in own]
        episodes = [float(row["episodes"]) for row in own]
        work = _weighted(own, "predictor_evaluations_per_step", steps)
        milliseconds = _weighted(own, "plan_ms_per_step", steps)
        cells += [_cell(work, ".0f"), _cell(milliseconds, ".2f")]
        cells.append(_cell(_weighted(own, "spl", episodes), ".2f"))
        cells += [str(sum(row.get(name, 0) for row in own)) for name in endings]
        table.add_row(label, str(num_levels), *cells)
    return table


def plain_console() -> Console:
    """Where to print tables and trees: wide enough where there is no terminal to ask."""
    console = Console()
    return console if console.is_terminal else Console(width=TABLE_WIDTH)


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints `results_table`."""
    plain_console().print(results_table(rows))


def _rate_cell(row: Mapping[str, Any]) -> str:
    if not row["episodes"]:
        return "-"
    return f"{row['success_rate']:.0%} ({100 * row['ci_low']:.0f}-{100 * row['ci_high']:.0f})"


def _cell(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _weighted(rows: list[Mapping[str, Any]], key: str, weights: list[float]) -> float:
    """Weighted mean of a column, rows without a value or a weight left out."""
    pairs = [(_number(row[key]), w) for row, w in zip(rows, weights, strict=True)]
    pairs = [(value, w) for value, w in pairs if w > 0 and not math.isnan(value)]
    return _ratio(sum(value * w for value, w in pairs), sum(w for _, w in pairs))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan


def _ratio(value: SupportsFloat, by: SupportsFloat) -> float:
    return float(value) / float(by) if float(by) else math.nan


def plain_data(value: Any, digits: int = 6) -> Any:
    """`value` as JSON holds it: floats rounded, None for what is not finite, lists, string keys."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, digits) + 0.0 if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain_data(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain_data(item, digits) for item in value]
    return value
