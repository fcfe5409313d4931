"""What TensorBoard reads back of a logged evaluation."""

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from torch.utils.tensorboard import SummaryWriter

from hplan.config import Config
from hplan.dashboard import log_latents, log_rows, log_settings, success_figure
from hplan.level import encode_stack
from hplan.results import wilson_interval
from tests.hplan.line_world import line_stack


def _row(method="hierarchical", energy="distance", bin_="far", **changes):
    low, high = wilson_interval(3, 4)
    row = {
        "method": method, "energy": energy, "energy_level": 0, "bin": bin_, "episodes": 4,
        "success_rate": 0.75, "ci_low": low, "ci_high": high, "spl": 0.5, "env_steps_mean": 60.0,
        "plan_ms_per_step": 2.0, "predictor_evaluations_per_step": 300.0, "flops_per_step": 1e6,
        "predictor_evaluations_by_level": [260.0, 40.0], "replans_by_level": [20.0, 4.0],
        "early_replans_by_cause": {"surprise": 1.5}, "stuck": 1, "refused": 0, "unsafe": 0,
    }  # fmt: skip
    return row | changes


@pytest.fixture
def logged(tmp_path):
    """Runs a function with a writer and gives back what TensorBoard reads."""

    def run(log):
        with SummaryWriter(str(tmp_path)) as writer:
            log(writer)
        return EventAccumulator(str(tmp_path)).Reload()

    return run


def test_rows_become_scalars_at_the_update_of_the_weights(logged):
    read = logged(lambda writer: log_rows(writer, [_row(), _row(bin_="near")], update=700))
    scalars = {tag: read.Scalars(tag)[0] for tag in read.Tags()["scalars"]}
    assert {point.step for point in scalars.values()} == {700}
    value = {tag: point.value for tag, point in scalars.items()}
    place = "far/hierarchical-distance"
    assert value[f"plan/success_rate/{place}"] == 0.75
    low, high = wilson_interval(3, 4)
    assert value[f"plan/success_rate_ci_low/{place}"] == pytest.approx(low)
    assert value[f"plan/success_rate_ci_high/{place}"] == pytest.approx(high)
    assert value[f"plan/replans_level1/{place}"] == 4.0
    assert value[f"plan/early_replans_surprise/{place}"] == 1.5
    # 60 env steps of 2 ms in 20 decisions are 6 ms a decision.
    assert value[f"plan/ms_per_decision/{place}"] == pytest.approx(6.0)
    assert value[f"plan/flops_per_decision/{place}"] == pytest.approx(3e6)
    work = [value[f"plan/predictor_evaluations_per_step_level{k}/{place}"] for k in range(2)]
    assert work == [260.0, 40.0]
    told = [value[f"plan/{name}_rate/{place}"] for name in ("stuck", "refused", "unsafe")]
    assert told == [0.25, 0, 0]
    assert len([tag for tag in value if tag.startswith("plan/success_rate/")]) == 2


def test_a_method_that_never_plans_has_no_time_per_decision(logged):
    row = _row("random", "none", replans_by_level=[0.0])
    tags = logged(lambda writer: log_rows(writer, [row], 1)).Tags()["scalars"]
    assert "plan/success_rate/far/random" in tags
    assert not [tag for tag in tags if "decision" in tag or "step_level" in tag or "stuck" in tag]


def test_a_bin_without_episodes_has_no_rates(logged):
    row = _row(episodes=0, success_rate=np.nan, spl=np.nan, replans_by_level=[np.nan, np.nan])
    tags = logged(lambda writer: log_rows(writer, [row], 1)).Tags()["scalars"]
    assert not [tag for tag in tags if "decision" in tag or "stuck" in tag]


def test_the_figure_draws_every_method_with_its_interval():
    rows = [_row(bin_=b) for b in ("near", "far")] + [_row("flat", "l2", success_rate=0.0)]
    axes = success_figure(rows).axes[0]
    hierarchical, flat = axes.containers
    assert list(hierarchical.lines[0].get_ydata()) == [0.75, 0.75]
    assert list(flat.lines[0].get_ydata()) == [0.0]
    low, high = wilson_interval(3, 4)
    (segment, _) = hierarchical.lines[2][0].get_segments()
    assert segment[:, 1] == pytest.approx([low, high])
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == [
        "hierarchical-distance", "flat-l2",
    ]  # fmt: skip


def test_settings_and_success_rates_reach_the_hparams_tab(logged):
    read = logged(lambda writer: log_settings(writer, Config(seed=17), [_row()]))
    metadata = read.SummaryMetadata("_hparams_/session_start_info")
    data = plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content)
    values = data.session_start_info.hparams
    assert values["seed"].number_value == 17
    assert values["hierarchy.level.model.encoder"].string_value
    experiment = read.SummaryMetadata("_hparams_/experiment").plugin_data.content
    infos = plugin_data_pb2.HParamsPluginData.FromString(experiment).experiment.metric_infos
    assert [info.name.tag for info in infos] == ["plan/success_rate/far/hierarchical-distance"]


def test_latents_of_every_level_come_with_their_distance(tmp_path):
    levels = line_stack(2)
    obs = np.arange(6, dtype=np.float32).reshape(6, 1)
    with SummaryWriter(str(tmp_path)) as writer:
        log_latents(writer, levels, obs, np.array([5, 4, 3, 2, 1, 0]), update=3)
    for k, z in enumerate(encode_stack(levels, torch.from_numpy(obs))):
        (folder,) = tmp_path.glob(f"*/level{k}")
        kept = np.loadtxt(folder / "tensors.tsv", ndmin=2)
        np.testing.assert_allclose(kept, z.numpy(), rtol=1e-5)
        assert (folder / "metadata.tsv").read_text().split() == list("543210")
    settings = (tmp_path / "projector_config.pbtxt").read_text()
    assert settings.count("embeddings {") == 2
