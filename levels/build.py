"""Builds a stack from its settings: names of parts to objects, facts of the task to widths."""

from collections.abc import Callable

from torch import Tensor, nn

from hplan.dataset import ObservationSpec
from hplan.level import Level, LevelSpec
from hplan.level_config import LevelConfig, ModelConfig, strides
from hplan.names import find_class
from levels.continuous_actions import BoxActions
from levels.distances import EmbeddingDistance, TwoEmbeddingsDistance
from levels.encoders import (
    AxialEncoder,
    IdentityEncoder,
    LinearAxialEncoder,
    MLPEncoder,
    OneHotActions,
    PixelsEncoder,
    VectorEncoder,
)
from levels.layers import mlp
from levels.macro_actions import GaussianMacroActions, GaussianPrior
from levels.map_distance import MapDistance
from levels.map_encoder import MapEncoder, MapMacroActions, MapPredictor, MapPrior
from levels.memory import RecurrentEncoder
from levels.predictors import BilinearMLP, GatedBilinearMLP, ResidualMLP
from levels.quasimetric import QuasimetricDistance

PARTS: dict[str, dict[str, Callable[[LevelSpec], nn.Module]]] = {
    "encoder": {
        "axial": AxialEncoder,
        "linear_axial": LinearAxialEncoder,
        "vector": VectorEncoder,
        "pixels": PixelsEncoder,
        "recurrent": RecurrentEncoder,
        "mlp": MLPEncoder,
        "identity": IdentityEncoder,
        "map": MapEncoder,
    },
    "action_encoder": {
        "one_hot": OneHotActions,
        "box": BoxActions,
        "gaussian": GaussianMacroActions,
        "map": MapMacroActions,
    },
    "action_prior": {"gaussian": GaussianPrior, "map": MapPrior},
    "predictor": {
        "bilinear": BilinearMLP,
        "gated_bilinear": GatedBilinearMLP,
        "residual_mlp": ResidualMLP,
        "map": MapPredictor,
    },
    "distance": {
        "embedding": EmbeddingDistance,
        "two_embeddings": TwoEmbeddingsDistance,
        "quasimetric": QuasimetricDistance,
        "map": MapDistance,
    },
}
READS = {
    "axial": "grid",
    "linear_axial": "grid",
    "map": "grid",
    "vector": "vector",
    "pixels": "pixels",
}  # kinds of observations
READS_ANY = ("recurrent",)
TAKES = {"one_hot": "numbered", "box": "continuous"}  # kinds of env actions
ABOVE_BOTTOM = {"encoder": ("mlp", "identity"), "action_encoder": ("gaussian", "map")}


def find_part(kind: str, name: str) -> Callable[[LevelSpec], nn.Module]:
    """The class of a part, by its short name or by `module.Class`; ValueError for neither."""
    return find_class(name, PARTS[kind], f"hierarchy.level.model.{kind}")


def build_levels(
    configs: list[LevelConfig], spec: ObservationSpec, sample_obs: Tensor | None = None
) -> nn.ModuleList:
    """The levels of a stack, bottom first.

    Args:
        configs: settings of each level, bottom first (`hplan.level_config.level_configs`).
        spec: what the task's observations and actions are.
        sample_obs: (M, *spec.shape) observations of the data; None where weights are loaded next.

    Raises:
        ValueError: an unknown part, or one that cannot serve at its place in the stack.
    """
    levels: list[Level] = []
    below_dim, below_action_dim = _flat_size(spec), 0
    for config, stride in zip(configs, strides(configs), strict=True):
        model, bottom = config.model, not levels
        _check_place(model, len(levels), spec)
        part_spec = LevelSpec(
            obs_shape=spec.shape,
            num_values=spec.num_values,
            action_low=spec.action_low,
            action_high=spec.action_high,
            ratio=model.ratio,
            stride=stride,
            below_dim=below_dim,
            below_action_dim=below_action_dim,
            latent_dim=below_dim if model.encoder == "identity" else model.latent_dim,
            action_dim=(spec.num_actions or len(spec.action_low)) if bottom else model.action_dim,
            hidden_dim=model.hidden_dim,
            num_hidden=model.num_hidden,
            sample_obs=sample_obs,
        )
        inverse = mlp(2 * part_spec.latent_dim, part_spec.action_dim, model.hidden_dim, 1)
        level = Level(
            encoder=find_part("encoder", model.encoder)(part_spec),
            action_encoder=find_part("action_encoder", model.action_encoder)(part_spec),
            action_prior=None
            if bottom
            else find_part("action_prior", model.action_prior)(part_spec),
            predictor=find_part("predictor", model.predictor)(part_spec),
            distance=find_part("distance", model.distance)(part_spec),
            inverse=inverse if config.loss.inverse_weight else None,
            ratio=model.ratio,
            stride=stride,
            latent_dim=part_spec.latent_dim,
            action_dim=part_spec.action_dim,
            num_actions=spec.num_actions if bottom else 0,
            rollout_depth=config.loss.rollout_depth,
        )
        levels.append(level)
        below_dim, below_action_dim = part_spec.latent_dim, part_spec.action_dim
    return nn.ModuleList(levels)


def _check_place(model: ModelConfig, k: int, spec: ObservationSpec) -> None:
    """Refuses parts of ours that cannot be part of level `k`."""
    actions = "numbered" if spec.num_actions else "continuous"
    at_bottom = {
        "encoder": (*(name for name, kind in READS.items() if kind == spec.kind), *READS_ANY),
        "action_encoder": tuple(name for name, kind in TAKES.items() if kind == actions),
    }
    for kind, allowed in (ABOVE_BOTTOM if k else at_bottom).items():
        name = getattr(model, kind)
        if name in PARTS[kind] and name not in allowed:
            raise ValueError(
                f"hierarchy.level.model.{kind} = {name!r} of level {k} (hierarchy.level, or "
                f"hierarchy.overrides); allowed "
                f"{'above the bottom' if k else f'there, of {spec.kind} and {actions} actions'}: "
                f"{', '.join(allowed)}, or module.Class of your own"
            )


def _flat_size(spec: ObservationSpec) -> int:
    """Numbers in one observation."""
    size = 1
    for length in spec.shape:
        size *= length
    return size
