"""One real gymnasium environment, seen and acted in as an `ObservationSpec` says."""

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from hplan.dataset import ObservationSpec
from tasks.spaces import spec_of, to_action, to_observation

PREFIX = "gym:"
_ENVIRONMENT = "the environment"


class Fault(Exception):
    """What an environment or a policy did that it must not, as the beginning of a sentence."""


@contextmanager
def faults_of(culprit: str) -> Iterator[None]:
    """Turns whatever the code within raises into a `Fault`."""
    try:
        yield
    except Exception as error:
        raise Fault(f"{culprit} raised {type(error).__name__}: {one_line(error)}") from error


@dataclass(frozen=True, kw_only=True, eq=False)
class Moment:
    """What an environment shows at one env step.

    Attributes:
        observation: (*spec.shape), as the stack sees it.
        raw: as the environment gave it.
        info: the environment's, and of a step "reward", "terminated" and "truncated" too.
    """

    observation: np.ndarray
    raw: Any
    info: dict[str, Any]

    @property
    def is_last(self) -> bool:
        """The environment has ended the episode."""
        return bool(self.info.get("terminated") or self.info.get("truncated"))


def open_env(env_id: str, *, time_limit: bool) -> gym.Env:
    """Make a registered environment; `module:Id-v0` imports the module first.

    Args:
        time_limit: keep the one that the id is registered with.

    Raises:
        ValueError: no such id, a missing package, or an environment that cannot be made.
    """
    limits = {} if time_limit else {"max_episode_steps": -1}
    try:
        # Its checker warns of matters of style; what we need of an environment is checked here.
        return gym.make(env_id, disable_env_checker=True, **limits)
    except gym.error.UnregisteredEnv as error:
        near = difflib.get_close_matches(env_id, gym.registry, n=3, cutoff=0.75)
        hint = (
            f"did you mean {' or '.join(near)}?" if near else "look at gymnasium.pprint_registry."
        )
        raise ValueError(
            f"task '{PREFIX}{env_id}': gymnasium has no such environment; {hint} An id of another "
            f"package needs its module before it, {PREFIX}package:Id-v0."
        ) from error
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        raise ValueError(
            f"task '{PREFIX}{env_id}' needs a package that is missing ({one_line(error)}); "
            "install it, or give another id."
        ) from error
    except Exception as error:
        raise ValueError(
            f"task '{PREFIX}{env_id}' cannot be made ({type(error).__name__}: "
            f"{one_line(error)}); mend the environment or give another id."
        ) from error


def spec_of_env(env_id: str, env: gym.Env) -> ObservationSpec:
    """What a stack needs to know of the environment's spaces.

    Raises:
        ValueError: spaces that cannot be taken.
    """
    try:
        return spec_of(env.observation_space, env.action_space)
    except ValueError as error:
        raise ValueError(f"task '{PREFIX}{env_id}': {one_line(error)}") from error


class GymWorld:
    """One environment; whatever it does wrong is a `Fault`.

    Args:
        time_limit: keep the one that the id is registered with.
    """

    def __init__(self, env_id: str, *, time_limit: bool) -> None:
        self.env = open_env(env_id, time_limit=time_limit)
        self.spec = spec_of_env(env_id, self.env)

    def reset(self, seed: int) -> Moment:
        """Begin the episode of a seed in [0, 2^64)."""
        with faults_of(_ENVIRONMENT):
            raw, info = self.env.reset(seed=seed)
        return self._moment(raw, _checked_info(info))

    def step(self, action: Any) -> Moment:
        """Take an action of the environment's own space."""
        with faults_of(_ENVIRONMENT):
            raw, reward, terminated, truncated, info = self.env.step(action)
        outcome = {
            "reward": float(_checked_number("reward", reward)),
            "terminated": bool(_checked_number("terminated", terminated)),
            "truncated": bool(_checked_number("truncated", truncated)),
        }
        return self._moment(raw, {**_checked_info(info), **outcome})

    def act(self, action: np.ndarray) -> Moment:
        """Take an action as a stack numbers or scales it, (*spec.action_shape)."""
        return self.step(to_action(self.env.action_space, action))

    def _moment(self, raw: Any, info: dict[str, Any]) -> Moment:
        try:
            # A copy: an environment may write every observation into the same array.
            observation = np.array(to_observation(self.env.observation_space, raw))
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise Fault(
                f"{_ENVIRONMENT} returned a wrong observation: {one_line(error)}"
            ) from error
        return Moment(observation=observation, raw=raw, info=info)


def _checked_number(name: str, value: Any) -> Any:
    """The one number, or the one of an array of one, that a step gives under that name.

    Raises:
        Fault: it is something else, or NaN.
    """
    try:
        given = np.asarray(value)
        allowed = given.dtype.kind in "biuf" and given.size == 1 and not np.isnan(given).any()
    except (ValueError, TypeError):
        allowed = False
    if not allowed:
        raise Fault(f"{_ENVIRONMENT} returned {name} = {_short(value)}, which is no number")
    return given.item()


def _checked_info(info: Any) -> dict[str, Any]:
    """What a reset or a step tells, as a dict of its own.

    Raises:
        Fault: it is no mapping.
    """
    if not isinstance(info, Mapping):
        raise Fault(f"{_ENVIRONMENT} returned info = {_short(info)}, which is no dict")
    return dict(info)


def checked_action(space: spaces.Space, action: Any) -> np.ndarray | np.generic:
    """A policy's action in the type that the environment takes.

    Raises:
        Fault: it is outside the space.
    """
    try:
        exact = np.asarray(action)
        with np.errstate(invalid="ignore"):
            given = exact.astype(space.dtype)
        rounded = given.dtype.kind != "f" and bool((given != exact).any())
        inside = given.shape == space.shape and not rounded and space.contains(given)
    except (ValueError, TypeError, OverflowError):
        inside = False
    if not inside:
        raise Fault(f"the policy gave the action {_short(action)}, outside {one_line(space)},")
    return given[()]


def one_line(value: object) -> str:
    """Its text without line breaks."""
    return " ".join(str(value).split())


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
