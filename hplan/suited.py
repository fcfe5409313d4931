"""Settles what a config leaves to the task: the parts and the search that its spec calls for."""

from dataclasses import replace
from typing import Any

from hplan.config import Config
from hplan.dataset import ObservationSpec
from hplan.level_config import HierarchyConfig, LevelConfig, level_configs
from hplan.limits import CONTINUOUS_SEARCHES, DISCRETE_SEARCHES, check_config, check_horizons

AUTO = "auto"
MEMORY = "recurrent"
MAP = "map"
ENCODER = "model.encoder"
SEARCH = "planner.search"
ABOVE = {
    ENCODER: "mlp",
    "model.action_encoder": "gaussian",
    "model.predictor": "residual_mlp",
    SEARCH: "cem",
}
ENCODERS = {"grid": "axial", "pixels": "pixels", "vector": "vector"}
CANDIDATES = ("planner.num_candidates", "planner.max_candidates")
# A beam of so many plans tries every action after each; a sampling search needs about as many.
SAMPLES_PER_BEAM = 8


def suited(config: Config, spec: ObservationSpec) -> Config:
    """`config` with every `auto` replaced by what suits observations and actions of `spec`.

    Raises:
        ValueError: the bottom's search does not fit the actions, a horizon the episodes, or a part
            needs the full view.
    """
    numbered = bool(spec.num_actions)
    bottom = {
        # Of a part of the world, only a memory makes a state.
        ENCODER: MEMORY if config.task.view == "partial" else ENCODERS[spec.kind],
        "model.action_encoder": "one_hot" if numbered else "box",
        "model.predictor": "bilinear" if numbered else "residual_mlp",
        SEARCH: "beam" if numbered else "cem",
    }
    hierarchy = config.hierarchy
    sampled = not numbered and _values(hierarchy, SEARCH)[0] == AUTO
    overrides = dict(hierarchy.overrides)
    for path, above in ABOVE.items():
        values = _values(hierarchy, path)
        if AUTO in values:
            values = values if len(values) > 1 else values * 2
            chosen = [bottom[path], *[above] * (len(values) - 1)]
            overrides[path] = [
                choice if value == AUTO else value
                for value, choice in zip(values, chosen, strict=True)
            ]
    if sampled:
        for path in CANDIDATES:
            first, *others = _values(hierarchy, path)
            overrides[path] = [first * SAMPLES_PER_BEAM, *(others or [first])]
    config = replace(config, hierarchy=replace(hierarchy, overrides=overrides))
    check_config(config)
    check_horizons(config)
    levels = level_configs(config.hierarchy)
    if config.task.view == "partial":
        _refuse_maps(levels, config.task.name)
    search = levels[0].planner.search
    unfit = CONTINUOUS_SEARCHES if numbered else DISCRETE_SEARCHES
    if search in unfit:
        fit = DISCRETE_SEARCHES if numbered else CONTINUOUS_SEARCHES
        raise ValueError(
            f"planner.search = {search!r} of level 0, but the actions of task.name = "
            f"{config.task.name} are {'numbered' if numbered else 'continuous'}; allowed there: "
            f"{', '.join(fit)}, auto, or module.function of your own"
        )
    return config


def remembering(config: Config) -> Config:
    """`config`, whose bottom encoder was named for the full view, for the partial one.

    The bottom's encoder is then left to the task; one of the user's own stays, it may remember.
    """
    first, *above = _values(config.hierarchy, ENCODER)
    if first == MEMORY or "." in first:
        return config
    overrides = {**config.hierarchy.overrides, ENCODER: [AUTO, *(above or [first])]}
    return replace(config, hierarchy=replace(config.hierarchy, overrides=overrides))


def _refuse_maps(levels: list[LevelConfig], task: str) -> None:
    """Refuses parts that read a map of all cells off what is seen."""
    for k, level in enumerate(levels):
        for part, name in vars(level.model).items():
            if name == MAP:
                raise ValueError(
                    f"model.{part} = {MAP} of level {k} reads the whole grid, of which task.view = "
                    f"partial shows 7 x 7 cells; take the parts of --config default --task {task}, "
                    "or task.view = full"
                )


def _values(hierarchy: HierarchyConfig, path: str) -> list[Any]:
    """The values of a setting, bottom first: of the override if there is one, else the template's.

    The last one holds for every level above.
    """
    node: Any = hierarchy.level
    for name in path.split("."):
        node = getattr(node, name)
    return hierarchy.overrides.get(path, [node])
