"""Parts at places where they cannot serve are refused when the stack is built."""

import pytest

from hplan.dataset import ObservationSpec
from hplan.level_config import HierarchyConfig, LevelConfig, ModelConfig, level_configs
from levels.build import ABOVE_BOTTOM, PARTS, READS, READS_ANY, TAKES, build_levels
from levels.encoders import AxialEncoder, MLPEncoder

SPEC = ObservationSpec(shape=(5, 3, 2), num_values=(2, 7), num_actions=11)


class Encoder(AxialEncoder):
    """An encoder of one's own."""


def _build(*, encoder=("axial", "mlp"), action_encoder=("one_hot", "gaussian")):
    overrides = {
        "model.ratio": [1, 3],
        "model.encoder": list(encoder),
        "model.action_encoder": list(action_encoder),
    }
    template = LevelConfig(model=ModelConfig(predictor="bilinear", latent_dim=7, hidden_dim=13))
    hierarchy = HierarchyConfig(num_levels=3, level=template, overrides=overrides)
    return build_levels(level_configs(hierarchy), SPEC)


@pytest.mark.parametrize(
    ("parts", "k", "kind", "name", "allowed"),
    [
        ({"action_encoder": ["gaussian"]}, 0, "action_encoder", "gaussian", "one_hot"),
        ({"action_encoder": ["one_hot"]}, 1, "action_encoder", "one_hot", "gaussian, map"),
        (
            {"action_encoder": ["one_hot", "gaussian", "one_hot"]},
            2,
            "action_encoder",
            "one_hot",
            "gaussian, map",
        ),
        ({"encoder": ["axial"]}, 1, "encoder", "axial", "mlp, identity"),
        ({"encoder": ["mlp"]}, 0, "encoder", "mlp", "axial, linear_axial, map, recurrent"),
        ({"encoder": ["pixels"]}, 0, "encoder", "pixels", "axial, linear_axial, map, recurrent"),
        ({"action_encoder": ["box"]}, 0, "action_encoder", "box", "one_hot"),
    ],
)
def test_a_part_that_cannot_serve_at_its_place_is_refused(parts, k, kind, name, allowed):
    with pytest.raises(ValueError) as error:
        _build(**parts)
    message = str(error.value)
    place = "above the bottom" if k else "there, of grid and numbered actions"
    assert message.startswith(f"hierarchy.level.model.{kind} = {name!r} of level {k} ")
    assert message.endswith(f"allowed {place}: {allowed}, or module.Class of your own")
    assert "\n" not in message


@pytest.mark.parametrize("above", ["mlp", "identity"])
def test_parts_at_their_places_are_built(above):
    assert len(_build(encoder=["axial", above])) == 3


def test_a_part_of_ones_own_may_stand_anywhere():
    levels = _build(encoder=[f"{__name__}.Encoder", "levels.encoders.MLPEncoder"])
    assert isinstance(levels[0].encoder, Encoder)
    assert isinstance(levels[1].encoder, MLPEncoder)


@pytest.mark.parametrize("kind", ["encoder", "action_encoder"])
def test_every_part_of_ours_has_a_place(kind):
    at_bottom = {"encoder": (*READS, *READS_ANY), "action_encoder": TAKES}
    assert {*at_bottom[kind], *ABOVE_BOTTOM[kind]} == set(PARTS[kind])
