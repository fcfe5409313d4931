"""A level's settings at a fraction or a multiple of its effort."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hplan.config import Config
from hplan.effort import scaled
from hplan.level_config import HierarchyConfig, LevelConfig, PlannerConfig
from hplan.limits import check_config


def _planner(effort, *, num_actions=3, **planner):
    config = LevelConfig(planner=replace(PlannerConfig(), **planner))
    changed = scaled(config, num_actions, float(effort))
    assert (changed.model, changed.loss) == (config.model, config.loss)
    return changed.planner


@pytest.mark.parametrize(
    ("effort", "candidates", "most", "elites"),
    [
        (1, 128, 512, 16),
        (1 / 8, 16, 64, 16),
        (1 / 32, 4, 16, 4),
        (1e-6, 2, 2, 2),
        (2, 256, 1024, 16),
    ],
)
def test_a_sampling_search_takes_as_many_times_the_candidates(effort, candidates, most, elites):
    before = {"search": "cem", "num_candidates": 128, "max_candidates": 512, "num_elites": 16}
    planner = _planner(effort, **before, horizon=7)
    found = (planner.num_candidates, planner.max_candidates, planner.num_elites)
    assert found == (candidates, most, elites)
    assert planner.horizon == 7


@pytest.mark.parametrize(
    ("effort", "num_actions", "horizon"),
    [
        (1, 3, 5), (3, 3, 6), (9, 3, 7), (1 / 3, 3, 4), (1 / 8, 3, 3), (2, 3, 6), (1.5, 3, 5),
        (1e-9, 3, 1), (8, 2, 8), (1 / 8, 7, 4), (2, 7, 5), (4, 1, 7),
    ],
)  # fmt: skip
def test_a_tree_goes_as_deep_as_its_leaves_allow(effort, num_actions, horizon):
    assert _planner(effort, search="tree", horizon=5, num_actions=num_actions).horizon == horizon
    assert _planner(effort, search="beam", horizon=5, num_actions=num_actions).horizon == 5


@given(st.floats(1e-4, 100), st.integers(2, 300), st.integers(0, 300), st.integers(2, 300))
def test_scaled_settings_are_allowed(effort, candidates, more, elites):
    before = PlannerConfig(
        num_candidates=candidates,
        max_candidates=candidates + more,
        num_elites=min(elites, candidates),
    )
    planner = scaled(LevelConfig(planner=before), 3, effort).planner
    hierarchy = HierarchyConfig(num_levels=1, level=LevelConfig(planner=planner))
    check_config(Config(hierarchy=hierarchy))
