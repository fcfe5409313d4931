"""What can be set of the stack: one template of a level, and what differs from it level by level.

`HierarchyConfig.level` is the one template of which every level is built. `overrides` gives a
setting another value level by level, bottom first; the last value of a list holds for every level
above it, so that one file serves any depth.
"""

from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, get_args, get_type_hints

EnergyName = Literal["distance", "l2", "cosine", "smooth_l1"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The parts of a level. A part is a name known to `levels`, or `module.Class` of your own."""

    ratio: int = 1
    """Steps of the level below (at the bottom: env steps) in one step of this level."""
    encoder: str = "auto"
    """What turns an observation, or the latent below, into this level's latent; `auto` is what
    suits the task's observations; `recurrent` is that with a memory, for a bottom that sees only a
    part of the world at a time."""
    action_encoder: str = "auto"
    """What turns actions, or the macro-actions below, into this level's action."""
    action_prior: str = "gaussian"
    """Above the bottom, what tells which macro-actions the data would take from a latent."""
    predictor: str = "auto"
    """What predicts the latent one step of this level ahead; `auto` is `bilinear` at a bottom of
    numbered actions, where each gets a linear map of its own, and `residual_mlp` elsewhere;
    `gated_bilinear` is for actions that mostly do nothing, as to pick up or to open."""
    distance: str = "embedding"
    """What estimates the steps from a latent to a goal's latent."""
    latent_dim: int = 64
    """Width of the latent."""
    action_dim: int = 4
    """Width of the macro-action; the bottom has the env's own actions."""
    hidden_dim: int = 256
    """Width of hidden layers."""
    num_hidden: int = 2
    """Number of hidden layers."""


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What a level is trained for."""

    rollout_depth: int = 5
    """How many steps of this level a rollout in training is deep."""
    num_starts: int = 16
    """Rollout starts drawn in each clip."""
    gradient: Literal["end_to_end", "stop"] = "end_to_end"
    """Whether this level's losses reach the levels below."""
    prediction_weight: float = 1.0
    """Mean squared error of the rollout."""
    regulariser: str = "vicreg"
    """`vicreg`, `sigreg`, `coding_rate` (with a smoothness_weight: L2 is then a time), or
    `module.Class` of your own."""
    regulariser_weight: float = 1.0
    """Weight of the regulariser as a whole; 0 lets the latent collapse."""
    regulariser_options: dict[str, float] = field(default_factory=dict)
    """Keyword arguments of the regulariser."""
    prior_weight: float = 0.02
    """KL divergence of macro-actions from the learned prior."""
    free_nats: float = 0.0
    """Divergence of a macro-action that costs nothing."""
    walk_weight: float = 0.0
    """Hinge that keeps the latent varying within a walk; a part of the regulariser."""
    walk_steps: int = 10
    """Length of such a walk in steps of this level, or the clip's."""
    walk_std: float = 0.5
    """Standard deviation within it, over all dimensions, below which the hinge pushes."""
    inverse_weight: float = 0.0
    """Inverse dynamics: tell the action from two successive latents."""
    smoothness_weight: float = 0.0
    """Mean squared change of the latent over one step of the level."""
    distance_weight: float = 0.0
    """Temporal distance while the world models are learned, with its gradient in the latents: they
    then hold what decides how long things take, however little of what is seen it is."""
    distance_starts: int = 16
    """States of each clip from which it learns: to the clip's own goals that lie ahead, and to all
    goals of other walks."""
    distance_backup: int = 1
    """Most steps of this level that are walked before the rest is taken from the distance itself;
    each state draws its own number. More tell a shut way from an open one that looks like it."""
    distance_own_goals: int = 16
    """Observations of each clip that are goals to its states. In a world of many places those of
    other walks are far, and tell little of what is near."""
    distance_discount: float = 0.98
    """Discount over one step of this level."""
    distance_expectile: float = 0.1
    """Low expectile of the cost-to-go: near 0 is the shortest path, 0.5 the mean."""

    @property
    def longest(self) -> int:
        """Steps of this level that a clip must hold."""
        return max(self.rollout_depth, self.distance_backup)


@dataclass(frozen=True, kw_only=True)
class PlannerConfig:
    """How a level searches, how far, and when it looks again."""

    search: str = "auto"
    """Of numbered actions `tree`, `beam` or `categorical_cem`; of continuous ones, and above the
    bottom, `cem`, `icem`, `mppi`, `predictive_sampling` or `gradient`; or `module.function` of your
    own. `auto` is beam or cem."""
    horizon: int = 5
    """How many steps of this level a plan looks ahead."""
    num_candidates: int = 128
    """Sequences in the first round of a sampling search; the width of a beam."""
    max_candidates: int = 128
    """Each further round of a search that has not converged takes twice as many, up to this."""
    num_elites: int = 16
    """Sequences the next round is drawn around."""
    num_iterations: int = 4
    """Rounds at the most."""
    converged: float = 0.0
    """A search stops when a round improves its score by less than this, in costs of one step of
    the level; 0 goes through all rounds."""
    search_options: dict[str, float] = field(default_factory=dict)
    """Keyword arguments of the search."""
    support: Literal["prior", "bank", "box", "free"] = "prior"
    """Where macro-actions come from: the learned prior, near real ones of the data, within the
    data's percentiles, or anywhere."""
    support_options: dict[str, float] = field(default_factory=dict)
    """Keyword arguments of the support: `residual` of the bank, `percentile` of the box."""
    judged: Literal["end", "path"] = "end"
    """Whether a plan is judged by the energy at its end, or by the mean along its path."""
    action_cost: float = 0.0
    """What a macro-action of one std costs, in costs of one step of the level."""
    clock: int = 1
    """A plan is made anew after this many steps of the level, at the latest."""
    lead: int = 4
    """Which step of its plan is the subgoal of the level below, or its last: an energy is surer of
    what lies some steps ahead. One that ranks only what is near, as L2 does in latents of one
    variance in all dimensions, needs the next one, 1."""
    reach: float = 12.0
    """Steps of this level within which it heads for the goal itself, without the levels above."""
    pursuit: EnergyName = "distance"
    """Energy by which it pursues a subgoal set by the level above, in that level's latent."""
    goal_latent: Literal["above", "own"] = "above"
    """In whose latent the learned distance to the goal itself is measured: a level above learns it
    over longer steps, and so tells more of what is far."""
    tolerance: float = 0.5
    """Env steps from a subgoal at which it counts as reached."""
    surprise: float = 3.0
    """Squared error at which a prediction has failed, in validation errors at that depth."""


@dataclass(frozen=True, kw_only=True)
class LevelConfig:
    """One level of the stack."""

    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    planner: PlannerConfig = field(default_factory=PlannerConfig)


@dataclass(frozen=True, kw_only=True)
class HierarchyConfig:
    """A stack of any depth: one template, and what differs from it level by level."""

    num_levels: int = 3
    """Depth; 1 is flat planning."""
    level: LevelConfig = field(default_factory=LevelConfig)
    overrides: dict[str, list[Any]] = field(default_factory=dict)
    """Setting of the template -> its values from the bottom up; the last one holds above."""


def level_configs(hierarchy: HierarchyConfig) -> list[LevelConfig]:
    """The settings of every level, bottom first: the template with its overrides applied.

    Raises:
        ValueError: a depth below 1, an override of no known setting, empty, or of a wrong type.
    """
    if hierarchy.num_levels < 1:
        raise ValueError(
            f"hierarchy.num_levels = {hierarchy.num_levels}; allowed is a whole number from 1 up"
        )
    levels = []
    for k in range(hierarchy.num_levels):
        level = hierarchy.level
        for path, values in hierarchy.overrides.items():
            if not isinstance(values, list) or not values:
                raise ValueError(
                    f"hierarchy.overrides.{path} = {values!r}; give a list of values, bottom first"
                )
            level = _replaced(level, path.split("."), values[min(k, len(values) - 1)], path)
        levels.append(level)
    return levels


def _replaced(node: Any, keys: list[str], value: Any, path: str) -> Any:
    """`node` with the field at `keys` set to `value`."""
    names = [f.name for f in fields(node)]
    if keys[0] not in names:
        raise ValueError(
            f"hierarchy.overrides.{path}: unknown setting {keys[0]!r}; known: {', '.join(names)}"
        )
    current = getattr(node, keys[0])
    if len(keys) > 1 and is_dataclass(current):
        return replace(node, **{keys[0]: _replaced(current, keys[1:], value, path)})
    if len(keys) > 1 or is_dataclass(current):
        raise ValueError(f"hierarchy.overrides.{path} is not a single setting")
    if isinstance(current, float) and type(value) is int:
        value = float(value)
    if isinstance(current, dict) and isinstance(value, dict):
        if not all(isinstance(number, int | float) for number in value.values()):
            raise ValueError(f"hierarchy.overrides.{path} = {value!r}; allowed are numbers by name")
        value = {name: float(number) for name, number in value.items()}
    if type(value) is not type(current):
        raise ValueError(
            f"hierarchy.overrides.{path} = {value!r}; allowed is {type(current).__name__}"
        )
    choices = get_args(get_type_hints(type(node))[keys[0]]) if isinstance(value, str) else ()
    if choices and value not in choices:
        raise ValueError(
            f"hierarchy.overrides.{path} = {value!r}; allowed: {', '.join(map(str, choices))}"
        )
    return replace(node, **{keys[0]: value})


def strides(levels: list[LevelConfig]) -> list[int]:
    """Env steps in one step of each level, bottom first."""
    result, stride = [], 1
    for level in levels:
        stride *= level.model.ratio
        result.append(stride)
    return result
