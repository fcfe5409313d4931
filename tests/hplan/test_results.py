"""Rows, files and table of an evaluation."""

import csv
import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hplan.results import (
    ENDINGS,
    ROW_KEYS,
    EpisodeOutcomes,
    results_table,
    spl,
    summarise,
    wilson_interval,
    without_timings,
    write_results,
)

BINS = (("short", 5, 10), ("medium", 10, 20), ("far", 20, 40))
E, K = 5, 2
"""Episodes, levels; the last bin is empty."""

DESIGN_KEYS = {
    "method", "num_levels", "task", "bin", "episodes", "successes", "success_rate", "ci_low",
    "ci_high", "spl", "env_steps_mean", "optimal_steps_mean", "plan_ms_per_step",
    "predictor_evaluations_per_step", "flops_per_step", "replans_by_level",
    "early_replans_by_cause",
}  # fmt: skip


def _outcomes(**changes):
    outcomes = EpisodeOutcomes(
        method="hierarchical",
        energy="distance",
        num_levels=K,
        task="rooms",
        success=np.array([True, False, True, True, False]),
        env_steps=np.array([10, 50, 8, 30, 80]),
        bin_index=np.array([0, 0, 0, 1, 1]),
        optimal_steps=np.array([5, 7, 8, 15, 20]),
        stuck=np.array([False, True, False, False, False]),
        refused=np.zeros(E, dtype=bool),
        unsafe=np.array([False, False, False, False, True]),
        predictor_evaluations_by_level=np.array(
            [[70, 30], [400, 100], [60, 20], [500, 100], [1300, 300]]
        ),
        flops=np.array([1e6, 5e6, 8e5, 6e6, 1.6e7]),
        plan_seconds=0.356,
        replans_by_level=np.array([[5, 1], [25, 5], [4, 1], [15, 3], [40, 8]]),
        early_replans_by_cause={
            "surprise": np.array([0, 3, 0, 1, 4]),
            "reached": np.array([1, 2, 1, 2, 3]),
        },
    )
    return replace(outcomes, **changes)


def _text(table):
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    lines = capture.get().replace("┃", "│").splitlines()
    return [line for line in lines if "│" in line]


def _row(table, name):
    (line,) = [line for line in _text(table) if f" {name} " in line]
    return [cell.strip() for cell in line.strip("│ ").split("│")]


@pytest.mark.parametrize(
    ("successes", "episodes", "expected"),
    [
        # Brown, Cai, DasGupta (2001) and by hand: z = 1.959964.
        (0, 10, (0.0, 0.277533)),
        (10, 10, (0.722467, 1.0)),
        (50, 100, (0.403832, 0.596168)),
        (96, 100, (0.901629, 0.984337)),
        (0, 0, (0.0, 1.0)),
    ],
)
def test_wilson_interval_in_known_cases(successes, episodes, expected):
    assert wilson_interval(successes, episodes) == pytest.approx(expected, abs=1e-6)


@given(st.integers(1, 300), st.data())
def test_wilson_bounds_solve_the_score_equation(episodes, data):
    successes = data.draw(st.integers(0, episodes))
    low, high = wilson_interval(successes, episodes, confidence=0.9)
    rate = successes / episodes
    assert 0 <= low <= rate <= high <= 1
    for bound in (low, high):
        if bound not in (0.0, 1.0):
            score = abs(rate - bound) / math.sqrt(bound * (1 - bound) / episodes)
            assert score == pytest.approx(1.6448536, rel=1e-5)
    mirrored = wilson_interval(episodes - successes, episodes, confidence=0.9)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_spl_in_closed_cases():
    success = np.array([True, True, False, True])
    steps, optimal = np.array([10, 8, 5, 0]), np.array([5, 8, 5, 0])
    assert spl(success, steps, optimal) == pytest.approx((0.5 + 1 + 0 + 1) / 4)
    assert spl(success, optimal, steps) == pytest.approx(0.75), "fewer than optimal counts 1"
    assert math.isnan(spl(success[:0], steps[:0], optimal[:0]))


def test_rows_have_the_keys_of_the_design_and_hand_computed_values():
    short, medium, far = summarise(_outcomes(), BINS)
    ours = {"energy", "energy_level", "predictor_evaluations_by_level", *ENDINGS}
    assert set(short) == set(ROW_KEYS) == DESIGN_KEYS | ours
    assert [row["bin"] for row in (short, medium, far)] == ["short", "medium", "far"]
    assert (short["episodes"], short["successes"]) == (3, 2)
    assert short["success_rate"] == pytest.approx(2 / 3)
    assert (short["ci_low"], short["ci_high"]) == wilson_interval(2, 3)
    assert short["spl"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert short["env_steps_mean"] == pytest.approx(68 / 3)
    assert short["optimal_steps_mean"] == pytest.approx(20 / 3)
    assert short["predictor_evaluations_per_step"] == pytest.approx(680 / 68)
    assert medium["predictor_evaluations_per_step"] == pytest.approx(2200 / 110)
    assert short["predictor_evaluations_by_level"] == pytest.approx([530 / 68, 150 / 68])
    assert medium["predictor_evaluations_by_level"] == pytest.approx([1800 / 110, 400 / 110])
    assert [[row[name] for name in ENDINGS] for row in (short, medium)] == [[1, 0, 0], [0, 0, 1]]
    assert medium["flops_per_step"] == pytest.approx(2.2e7 / 110)
    assert short["plan_ms_per_step"] == medium["plan_ms_per_step"] == pytest.approx(356 / 178)
    assert medium["replans_by_level"] == [27.5, 5.5]
    assert medium["early_replans_by_cause"] == {"reached": 2.5, "surprise": 2.5}


def test_an_empty_bin_has_no_rate_and_the_widest_interval():
    far = summarise(_outcomes(), BINS)[2]
    assert (far["episodes"], far["ci_low"], far["ci_high"]) == (0, 0.0, 1.0)
    assert math.isnan(far["success_rate"]) and math.isnan(far["predictor_evaluations_per_step"])


def test_outcomes_of_unequal_length_are_refused():
    with pytest.raises(AssertionError, match=r"env_steps \(4,\), expected \(5,\)"):
        _outcomes(env_steps=np.arange(4))
    with pytest.raises(AssertionError, match=r"replans_by_level \(5,\), expected \(5, 2\)"):
        _outcomes(replans_by_level=np.arange(5))
    with pytest.raises(AssertionError, match="surprise"):
        _outcomes(early_replans_by_cause={"surprise": np.arange(3)})


def test_results_are_written_the_same_byte_for_byte_timings_aside(tmp_path):
    protocol = {"suite": "rooms", "seeds": (0, 1), "hash": "ab", "threshold": np.float32(0.5)}
    backwards = dict(reversed(protocol.items()))
    for folder, outcomes, card in (
        ("a", _outcomes(), protocol),
        ("b", _outcomes(), backwards),
        ("slow", _outcomes(plan_seconds=9.9), protocol),
        ("other", _outcomes(success=np.ones(E, dtype=bool)), protocol),
    ):
        rows = [dict(reversed(row.items())) for row in summarise(outcomes, BINS)]
        write_results(tmp_path / folder / "eval", card, rows)
    files = {f: (tmp_path / f / "eval/results.json") for f in ("a", "b", "slow", "other")}
    assert files["a"].read_bytes() == files["b"].read_bytes()
    sheets = [path.with_suffix(".csv").read_bytes() for path in files.values()]
    assert sheets[0] == sheets[1]
    results = {folder: json.loads(path.read_text()) for folder, path in files.items()}
    assert results["a"] != results["slow"]
    assert without_timings(results["a"]) == without_timings(results["slow"])
    assert without_timings(results["a"]) != without_timings(results["other"])
    assert "plan_ms_per_step" in results["a"]["rows"][0], "the argument is left as it was"
    assert sorted(path.name for path in files["a"].parent.iterdir()) == [
        "results.csv", "results.json"
    ]  # fmt: skip


def test_results_hold_null_for_what_is_undefined_and_rounded_floats(tmp_path):
    write_results(tmp_path, {"x": math.inf, "y": np.int64(3)}, summarise(_outcomes(), BINS))

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    text = (tmp_path / "results.json").read_text()
    results = json.loads(text, parse_constant=refuse)
    assert results["protocol"] == {"x": None, "y": 3}
    assert results["rows"][2]["success_rate"] is None
    assert results["rows"][0]["success_rate"] == 0.666667
    with (tmp_path / "results.csv").open(newline="") as file:
        sheet = list(csv.DictReader(file))
    assert list(sheet[0]) == list(ROW_KEYS)
    assert sheet[2]["success_rate"] == ""
    assert Fraction(sheet[1]["spl"]) == Fraction("0.25")
    assert json.loads(sheet[1]["replans_by_level"]) == [27.5, 5.5]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    write_results(tmp_path, {"run": 1}, [])
    before = (tmp_path / "results.json").read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hplan.files.os.fsync", full)
    with pytest.raises(ValueError, match="the disk is full, .*results.json was not written"):
        write_results(tmp_path, {"run": 2}, [])
    assert (tmp_path / "results.json").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_the_table_has_a_line_for_each_method_and_energy(tmp_path):
    outcomes = [
        _outcomes(),
        _outcomes(energy="l2", success=np.zeros(E, dtype=bool)),
        _outcomes(method="upper_energy", energy_level=1),
        _outcomes(method="upper_energy", energy_level=2),
        _outcomes(
            method="random",
            energy="none",
            predictor_evaluations_by_level=np.zeros((E, K)),
            plan_seconds=0.0,
            stuck=np.zeros(E, dtype=bool),
        ),
    ]
    rows = [row for one in outcomes for row in summarise(one, BINS)]
    table = results_table(rows)
    assert table.row_count == 5
    assert _row(table, "method") == [
        "method", "levels", "short", "medium", "far", "evaluations/step", "ms/step", "SPL",
        "stuck", "unsafe",
    ]  # fmt: skip
    low, high = (round(100 * bound) for bound in wilson_interval(2, 3))
    # SPL over all five episodes: (0.5 + 0 + 1 + 0.5 + 0) / 5.
    assert _row(table, "hierarchical (distance)") == [
        "hierarchical (distance)", "2", f"67% ({low}-{high})", "50% (9-91)", "-",
        f"{2880 / 178:.0f}", "2.00", "0.40", "1", "1",
    ]  # fmt: skip
    assert _row(table, "hierarchical (l2)")[2:5] == ["0% (0-56)", "0% (0-66)", "-"]
    assert _row(table, "upper_energy (distance of level 2)")[2] == f"67% ({low}-{high})"
    assert _row(table, "random")[-5:] == ["0", "0.00", "0.40", "0", "1"]
    none = summarise(_outcomes(stuck=np.zeros(E, bool), unsafe=np.zeros(E, bool)), BINS)
    assert _row(results_table(none), "method")[-1] == "SPL", "no column where there is nothing"
    write_results(tmp_path, {}, rows)
    saved = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert _text(results_table(saved)) == _text(table)
