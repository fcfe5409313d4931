"""When a goal of a gymnasium environment counts as reached."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from hplan.dataset import EpisodeStore
from hplan.names import find_class
from tasks.gymnasium_envs.world import Fault, Moment, faults_of

FLAGS = ("is_success", "success")  # names in `info` for the environment's own opinion
SUCCESS = "task.success"
Rule = Callable[[Moment, np.ndarray], bool]
_PAIRS = 1000  # of observations of the data, by which images' unit is measured
_OWN, NEAR = "flag", "tolerance"


def flag_in(info: dict[str, Any]) -> str | None:
    """The name under which the environment itself says whether it succeeded."""
    return next((name for name in FLAGS if name in info), None)


def kind_of_rule(success: str, flag: str | None) -> str:
    """The rule that `task.success` names: "flag", "tolerance", or a function of the user's.

    Args:
        success: as in the config; empty is the flag if there is one, else the tolerance.
        flag: that the environment has shown; some raise it only on success, so "flag" can be asked
            for without.

    Raises:
        ValueError: it names nothing.
    """
    kind = success or (_OWN if flag else NEAR)
    find_class(kind, {_OWN: flag_in, NEAR: flag_in}, SUCCESS)
    return kind


def _names(flag: str | None) -> tuple[str, ...]:
    """Under which the flag is looked for."""
    return (flag,) if flag else FLAGS


def phrase(kind: str, flag: str | None, tolerance: float | None, *, pixels: bool) -> str:
    """The rule in words.

    Args:
        tolerance: in units that `_within` tells; None where observations must equal the goal.
        pixels: observations are images.
    """
    if kind == _OWN:
        own = " or ".join(f"info[{name!r}]" for name in _names(flag))
        return f"the environment's own {own} is true"
    if kind != NEAR:
        return f"{kind}(observation, goal, info) is true"
    if tolerance is None:
        return "the observation equals the goal"
    if pixels:
        return (
            f"the observation differs from the goal by at most {tolerance:g} of what two "
            "observations of the data differ by on average"
        )
    return (
        f"the observation is within {tolerance:g} standard deviations of the data from the goal, "
        "on average over its numbers"
    )


def build_rule(
    kind: str, flag: str | None, tolerance: float | None, episodes: EpisodeStore | None
) -> Rule:
    """Whether a goal (*spec.shape) is reached at a `Moment`; arguments as in `phrase`.

    Args:
        episodes: whose observations give the unit of `tolerance`.
    """
    if kind == _OWN:
        return partial(_is_flagged, _names(flag))
    if kind != NEAR:
        return partial(_is_users, kind, find_class(kind, {}, SUCCESS))
    if tolerance is None:
        return _is_equal
    assert episodes is not None
    return _within(tolerance, episodes)


# Functions of the module, not closures: a task goes to other processes, its rule with it.
def _is_flagged(names: tuple[str, ...], moment: Moment, goal: np.ndarray) -> bool:
    return any(bool(moment.info.get(name)) for name in names)


def _is_equal(moment: Moment, goal: np.ndarray) -> bool:
    return bool((moment.observation == goal).all())


def _is_users(path: str, function: Callable[..., Any], moment: Moment, goal: np.ndarray) -> bool:
    try:
        with faults_of("it"):
            return bool(function(moment.observation, goal, moment.info))
    except Fault as fault:
        raise ValueError(f"{SUCCESS} = {path}: {fault}; mend it.") from fault


def _within(tolerance: float, episodes: EpisodeStore) -> Rule:
    """By the mean absolute difference, over numbers that vary in the data; others say nothing.

    Of a vector each number has its standard deviation as unit. An image has one unit for all, the
    mean difference of random pairs: of a small agent every pixel varies little, and is alike in
    most observations, so that by their standard deviations it would be near everywhere.
    """
    seen = episodes.sample()
    unit = seen.std(axis=0, dtype=np.float64)
    varies = unit > 0
    unit = unit[varies]
    if episodes.spec.kind == "pixels" and varies.any():
        unit = np.full_like(unit, _mean_difference(seen, varies))
    return partial(_is_near, varies, unit, tolerance)


def _mean_difference(seen: np.ndarray, varies: np.ndarray) -> float:
    """Of random pairs of (M, *spec.shape), the mean absolute difference where it `varies`."""
    random = np.random.default_rng(0)
    pairs = zip(*random.integers(len(seen), size=(2, _PAIRS)), strict=True)
    apart = [
        np.abs(seen[a].astype(np.float64) - seen[b])[varies].mean() for a, b in pairs if a != b
    ]
    return float(np.mean(apart))


def _is_near(
    varies: np.ndarray, unit: np.ndarray, tolerance: float, moment: Moment, goal: np.ndarray
) -> bool:
    apart = moment.observation[varies].astype(np.float64) - goal[varies]
    return bool((np.abs(apart) / unit).sum() <= tolerance * len(unit))
