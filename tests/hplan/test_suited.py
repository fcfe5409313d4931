"""What a config leaves to the task is settled from what the task shows and takes."""

from dataclasses import replace

import pytest

from hplan.arguments import read_arguments
from hplan.command_line import CONFIG_FOLDER, read_config
from hplan.config import Config, TaskConfig, task_options
from hplan.dataset import ObservationSpec
from hplan.level_config import HierarchyConfig, level_configs
from hplan.suited import SAMPLES_PER_BEAM, remembering, suited
from levels.build import build_levels

ACTIONS = {
    "numbered": {"num_actions": 3},
    "continuous": {"action_low": (-1.0,), "action_high": (2.0,)},
}
SHOWN = {
    "grid": {"shape": (5, 4, 2), "num_values": (3, 2)},
    "pixels": {"shape": (8, 8, 3)},
    "vector": {"shape": (6,)},
}


def _spec(kind, actions):
    return ObservationSpec(kind=kind, **SHOWN[kind], **ACTIONS[actions])


def _config(settings=""):
    return read_config(read_arguments(f"--levels 3 {settings}".split()))


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("kind", SHOWN)
def test_parts_and_search_follow_from_the_spaces(kind, actions):
    before = level_configs(_config().hierarchy)
    bottom, *above = level_configs(suited(_config(), _spec(kind, actions)).hierarchy)
    numbered = actions == "numbered"
    encoder = {"grid": "axial", "pixels": "pixels", "vector": "vector"}[kind]
    assert bottom.model.encoder == encoder
    assert bottom.model.action_encoder == ("one_hot" if numbered else "box")
    assert bottom.model.predictor == ("bilinear" if numbered else "residual_mlp")
    assert bottom.planner.search == ("beam" if numbered else "cem")
    more = 1 if numbered else SAMPLES_PER_BEAM
    assert bottom.planner.num_candidates == more * before[0].planner.num_candidates
    assert bottom.planner.max_candidates == more * before[0].planner.max_candidates
    for level, was in zip(above, before[1:], strict=True):
        parts = (level.model.encoder, level.model.action_encoder, level.model.predictor)
        assert (*parts, level.planner.search) == ("mlp", "gaussian", "residual_mlp", "cem")
        assert level.planner.num_candidates == was.planner.num_candidates


def test_who_sees_a_part_of_the_world_gets_a_memory():
    config = suited(_config("--task.view partial"), _spec("grid", "numbered"))
    encoders = [level.model.encoder for level in level_configs(config.hierarchy)]
    assert encoders == ["recurrent", "mlp", "mlp"]


PART = ObservationSpec(shape=(7, 7, 3), num_values=(11, 6, 4), num_actions=6)
# Files whose worlds are grids.
OF_GRIDS = [
    "trip",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("rooms-large", "default", "tiny", "lava", "minigrid")
    ),
]


def _seen_in_part(name, settings=""):
    settings = f"--config {name} --task.view partial {settings}"
    return suited(read_config(read_arguments(settings.split())), PART)


@pytest.mark.parametrize("name", OF_GRIDS)
def test_every_config_of_a_grid_remembers_what_it_sees_in_part(name):
    levels = build_levels(level_configs(_seen_in_part(name).hierarchy), PART)
    assert levels[0].memory_dim and not any(level.memory_dim for level in levels[1:])


def test_parts_that_read_a_map_are_refused_in_part_and_others_named():
    others = "--config default --task rooms-many"
    with pytest.raises(ValueError, match=f"model.predictor = map of level 0 .*{others}, or"):
        _seen_in_part("rooms-many")


@pytest.mark.slow
def test_what_the_refusal_of_a_map_names_is_accepted():
    _seen_in_part("default", "--task rooms-many")


def test_no_config_is_left_out():
    known = {getattr(name, "values", (name,))[0] for name in OF_GRIDS} | {"rooms-many"}
    others = {"point-rooms", "point-rooms-pixels", "prediction-only"}
    assert known | others == {path.stem for path in CONFIG_FOLDER.glob("*.yaml")}


def test_an_encoder_that_is_typed_stays_in_the_partial_view():
    config = _seen_in_part("trip", "--hierarchy.overrides.model.encoder [axial,mlp]")
    assert level_configs(config.hierarchy)[0].model.encoder == "axial"


@pytest.mark.parametrize("own", ["recurrent", "my.Encoder"])
def test_an_encoder_that_may_remember_stays_in_the_partial_view(own):
    hierarchy = HierarchyConfig(overrides={"model.encoder": [own, "mlp"]})
    config = Config(task=TaskConfig(view="partial"), hierarchy=hierarchy)
    assert remembering(config) == config


def test_what_is_settled_stays_as_it_is():
    spec = _spec("vector", "continuous")
    once = suited(_config(), spec)
    assert suited(once, spec) == once


def test_what_the_user_names_is_kept_and_the_rest_settled():
    chosen = "--hierarchy.overrides.planner.search [mppi,auto,gradient]"
    config = suited(_config(chosen), _spec("vector", "continuous"))
    searches = [level.planner.search for level in level_configs(config.hierarchy)]
    assert searches == ["mppi", "cem", "gradient"]
    was = level_configs(_config().hierarchy)[0].planner.num_candidates
    assert level_configs(config.hierarchy)[0].planner.num_candidates == was


@pytest.mark.parametrize(
    ("search", "actions", "allowed"), [("tree", "continuous", "cem"), ("cem", "numbered", "beam")]
)
def test_a_search_that_does_not_fit_the_actions_is_refused(search, actions, allowed):
    config = _config(f"--hierarchy.overrides.planner.search [{search},cem]")
    with pytest.raises(ValueError, match=f"planner.search = '{search}' of level 0.*{allowed}"):
        suited(config, _spec("grid", actions))


def test_a_search_still_to_be_settled_takes_no_options():
    with pytest.raises(ValueError, match="planner.search is auto; name the search"):
        _config('--hierarchy.level.planner.search_options {"std":2.0}')


def test_of_a_task_only_what_is_not_as_usual_is_an_option():
    usual = TaskConfig(name="gym:CartPole-v1", layout_seed=7)
    assert task_options(usual) == {}
    assert task_options(replace(usual, goal="a.b", goal_offset=3)) == {
        "goal": "a.b",
        "goal_offset": 3,
    }
