"""Success against work: measured on a small run, drawn, and what is refused."""

import csv
import json
from dataclasses import replace

import pytest

from hplan.work_curve import EFFORTS, curve_figure, curve_of_run, work_curve
from tests.hplan.stacks import tiny_config, tiny_stack, tiny_task

PLANNER = "--hierarchy.level.planner"
BRISK = (
    f"{PLANNER}.num_candidates 36 {PLANNER}.max_candidates 36 {PLANNER}.num_elites 4 "
    f"{PLANNER}.num_iterations 2 "
    "--hierarchy.overrides.planner.horizon [3] --hierarchy.overrides.planner.reach [1.0] "
    "--evaluation.brief_episodes_per_bin 1 "
    "--evaluation.budget_factor 1 --evaluation.budget_extra 0 "
    "--agent.stuck_after 0 --agent.feedback 0"  # whose work depends on luck
)


def _row(**changes):
    row = {
        "bin": "far", "num_levels": 3, "energy": "l2", "episodes": 4, "success_rate": 0.5,
        "ci_low": 0.15, "ci_high": 0.85, "predictor_evaluations_per_step": 40.0, "effort": 1.0,
    }  # fmt: skip
    return row | changes


def test_each_depth_and_energy_is_a_line_in_each_bins_panel():
    rows = [
        _row(bin=name, num_levels=depth, energy=energy, effort=effort, success_rate=rate,
             predictor_evaluations_per_step=work)
        for name in ("near", "far")
        for depth in (1, 3)
        for energy in ("distance", "l2")
        for effort, work, rate in ((2.0, 640.0, 0.75), (0.5, 160.0, 0.25))
    ]  # fmt: skip
    rows.append(_row(predictor_evaluations_per_step=0.0, num_levels=2))
    figure = curve_figure(rows)
    assert [axes.get_title() for axes in figure.axes] == ["near", "far"]
    for axes in figure.axes:
        assert axes.get_xscale() == "log"
        lines = {container.get_label(): container.lines[0] for container in axes.containers}
        named = {
            label: line.get_xydata().tolist()
            for label, line in lines.items()
            if "2" not in label[0]
        }
        expected = ["1 level, distance", "1 level, l2", "3 levels, distance", "3 levels, l2"]
        assert list(named) == expected
        assert all(points == [[160, 0.25], [640, 0.75]] for points in named.values())
    assert len(figure.axes[1].containers[2].lines[0].get_xdata()) == 0, "no work has no place"


@pytest.fixture(scope="module")
def stack():
    """Settings, task and a stack of two levels."""
    config = tiny_config(2, BRISK)
    return config, tiny_task(config), tiny_stack(config, num_updates=2)


def test_a_stack_is_measured_at_every_effort_and_energy(stack):
    config, task, levels = stack
    said, suite = [], task.suite(episodes_per_bin=1, seed=0)
    asked = [(energy, effort) for energy in ("distance", "l2") for effort in (1 / 9, 3.0)]
    rows = work_curve(levels, config, task, suite, efforts=(1 / 9, 3.0), report=said.append)
    assert [(row["energy"], row["effort"]) for row in rows] == [key for key in asked for _ in "ab"]
    assert {row["num_levels"] for row in rows} == {2} and {row["episodes"] for row in rows} == {1}
    work = dict.fromkeys(asked, 0.0)
    for row in rows:
        work[row["energy"], row["effort"]] += row["predictor_evaluations_per_step"]
    for energy in ("distance", "l2"):
        assert work[energy, 1 / 9] < work[energy, 3.0]
    assert said[2] == "effort 3:" and len(said) == 8


def test_a_curve_is_left_beside_its_run_and_drawn_with_others(stack, tmp_path, capsys):
    config, task, levels = tiny_config(1, BRISK), stack[1], stack[2][:1]
    first, second = tmp_path / "a", tmp_path / "b"
    for run_dir, beside in ((first, []), (second, [first])):
        # Without a learned distance there is L2 alone.
        training = replace(config.training, distance_updates=0)
        curve_of_run(replace(config, training=training), task, levels, run_dir, beside=beside)
    folder = second / "eval" / "rooms-tiny-curve"
    rows = json.loads((folder / "results.json").read_text())["rows"]
    assert {(row["energy"], row["effort"]) for row in rows} == {("l2", e) for e in EFFORTS}
    with (folder / "results.csv").open() as file:
        assert [float(row["effort"]) for row in csv.DictReader(file)] == [r["effort"] for r in rows]
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "hierarchical (l2) x 0.125" in printed and f"curve: {folder}/curve.png" in printed
    other = replace(config, evaluation=replace(config.evaluation, suite_seed=7))
    for changed, beside, message in (
        (config, tmp_path / "c", "c: no .*make it first: make curve RUN="),
        (other, first, "is of other pairs"),
    ):
        with pytest.raises(ValueError, match=message):
            curve_of_run(changed, task, levels, tmp_path / "d", beside=[beside])
    assert not (tmp_path / "d").exists()
    for content in (
        "{}",
        "[]",
        '{"rows": [], "protocol": {',
        '{"protocol": {"pairs_sha256": "a"}}',
    ):
        (first / "eval" / "rooms-tiny-curve" / "results.json").write_text(content)
        with pytest.raises(ValueError, match="--beside .*/a: .*is damaged or of another version"):
            curve_of_run(config, task, levels, tmp_path / "d", beside=[first])
