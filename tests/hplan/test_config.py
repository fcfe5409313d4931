"""Settings of every level from one template and its overrides."""

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from hplan import limits, search
from hplan.config import Config
from hplan.level_config import (
    HierarchyConfig,
    LevelConfig,
    LossConfig,
    ModelConfig,
    level_configs,
    strides,
)

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = LevelConfig(model=ModelConfig(ratio=7, latent_dim=11), loss=LossConfig(rollout_depth=3))


def _levels(num_levels, **overrides):
    paths = {path.replace("__", "."): values for path, values in overrides.items()}
    return level_configs(HierarchyConfig(num_levels=num_levels, level=TEMPLATE, overrides=paths))


@pytest.mark.parametrize("num_levels", [1, 2, 5])
def test_without_overrides_every_level_is_the_template(num_levels):
    assert _levels(num_levels) == [TEMPLATE] * num_levels


@pytest.mark.parametrize(
    ("num_levels", "expected"), [(1, [13]), (2, [13, 5]), (3, [13, 5, 2]), (5, [13, 5, 2, 2, 2])]
)
def test_overrides_run_from_the_bottom_and_the_last_value_holds_above(num_levels, expected):
    levels = _levels(num_levels, model__latent_dim=[13, 5, 2])
    assert [level.model.latent_dim for level in levels] == expected
    assert [level.model.ratio for level in levels] == [7] * num_levels
    assert [level.loss for level in levels] == [TEMPLATE.loss] * num_levels


def test_overrides_reach_all_three_parts_and_keep_each_other():
    levels = _levels(
        2,
        model__ratio=[1, 5],
        model__encoder=["axial", "mlp"],
        loss__gradient=["stop"],
        loss__regulariser_options=[{}, {"covariance": 2.0}],
        planner__horizon=[2, 3],
    )
    assert [level.model.ratio for level in levels] == [1, 5]
    assert [level.model.encoder for level in levels] == ["axial", "mlp"]
    assert [level.loss.gradient for level in levels] == ["stop", "stop"]
    assert [level.loss.regulariser_options for level in levels] == [{}, {"covariance": 2.0}]
    assert [level.planner.horizon for level in levels] == [2, 3]
    assert TEMPLATE.model.ratio == 7


def test_a_whole_number_serves_for_a_float_and_becomes_one():
    weights = [level.loss.prior_weight for level in _levels(2, loss__prior_weight=[1, 0.5])]
    assert weights == [1.0, 0.5]
    assert all(type(weight) is float for weight in weights)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"model__widht": [3]},
            "hierarchy.overrides.model.widht: unknown setting 'widht'; known: r",
        ),
        ({"modle__ratio": [3]}, "hierarchy.overrides.modle.ratio: unknown setting 'modle'"),
        ({"model__ratio": []}, "hierarchy.overrides.model.ratio = []; give a list"),
        ({"model__ratio": [3, "x"]}, "hierarchy.overrides.model.ratio = 'x'; allowed is int"),
        ({"model__ratio": [2.0]}, "hierarchy.overrides.model.ratio = 2.0; allowed is int"),
        ({"model__ratio": [True]}, "hierarchy.overrides.model.ratio = True; allowed is int"),
        ({"loss__prior_weight": ["1"]}, "loss.prior_weight = '1'; allowed is float"),
        (
            {"planner__pursuit": ["l2", "distanc"]},
            "hierarchy.overrides.planner.pursuit = 'distanc'; allowed: distance, l2, cosine, smoo",
        ),
        (
            {"loss__gradient": ["stopp"]},
            "hierarchy.overrides.loss.gradient = 'stopp'; allowed: end_to_end, stop",
        ),
        ({"model": [3]}, "hierarchy.overrides.model is not a single setting"),
        ({"model__ratio__x": [3]}, "hierarchy.overrides.model.ratio.x is not a single setting"),
    ],
)
def test_wrong_overrides_are_refused_with_path_and_value(overrides, message):
    with pytest.raises(ValueError) as error:
        _levels(2, **overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("num_levels", [0, -2])
def test_a_depth_below_one_is_refused(num_levels):
    with pytest.raises(ValueError, match=f"hierarchy.num_levels = {num_levels};.* from 1 up"):
        _levels(num_levels)


def test_strides_are_products_of_ratios():
    assert strides(_levels(4, model__ratio=[1, 5, 3, 2])) == [1, 5, 15, 30]
    assert strides(_levels(2)) == [7, 49]


def test_the_default_file_and_the_defaults_of_the_code_agree():
    written = yaml.safe_load((ROOT / "configs" / "default.yaml").read_text())
    coded = asdict(Config())
    assert written["hierarchy"].pop("overrides"), "only the file has overrides"
    coded["hierarchy"].pop("overrides")
    assert written == coded


def test_the_searches_that_settings_may_name_are_those_there_are():
    """The names are written twice, since settings are checked before torch is imported."""
    assert limits.DISCRETE_SEARCHES == search.DISCRETE_SEARCHES
    assert limits.CONTINUOUS_SEARCHES == search.CONTINUOUS_SEARCHES
