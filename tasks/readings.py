"""How the observations of gymnasium's spaces are read: as a grid, an image or a vector."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from gymnasium import spaces
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX

from hplan.dataset import Kind

# A side of an image. What is smaller is a board, such as MiniGrid's: bytes from 0 to 255 too.
SMALLEST_IMAGE = 32
MOST_CHANNELS = 16  # of an image, some of several moments
LARGEST_VOCABULARY = 256
LARGEST_VECTOR = 4096
MINIGRID_VALUES = (len(OBJECT_TO_IDX), len(COLOR_TO_IDX), 4)  # the last: a door's, or a heading
_GOAL_KEYS = {"observation", "achieved_goal", "desired_goal"}


class OutOfSpace(ValueError):
    """A value that is not of its space.

    Attributes:
        row: which of the values it is.
    """

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.row = row


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the observations of a space are read.

    Attributes:
        kind, shape, num_values: as in `ObservationSpec`.
        read: N values, stacked as Minari does it, array by array, to (N, *shape).
        parts: the spaces that are read, by their keys in a Dict or Tuple, which dots join; "" is
            the space itself.
        ignored: keys of the parts that are not read.
    """

    kind: Kind
    shape: tuple[int, ...]
    num_values: tuple[int, ...] = ()
    read: Callable[[Any], np.ndarray]
    parts: dict[str, spaces.Space] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


class _Same:
    """A space as a key, by identity: spaces have no hash. It is kept, so its id stays its own."""

    def __init__(self, space: spaces.Space) -> None:
        self.space = space

    def __hash__(self) -> int:
        return id(self.space)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.space is other.space


def is_goal_conditioned(space: spaces.Space) -> bool:
    """The environment shows a goal of its own, as those of gymnasium-robotics do."""
    return isinstance(space, spaces.Dict) and set(space.spaces) >= _GOAL_KEYS


def reading_of(space: spaces.Space) -> Reading:
    """How observations of the space are read; found once for each space.

    Raises:
        ValueError: a space that cannot be taken.
    """
    return _remembered_reading(_Same(space))


@lru_cache(maxsize=64)
def _remembered_reading(key: _Same) -> Reading:
    reading = _reading(key.space)
    if reading.kind == "vector" and not 1 <= reading.shape[0] <= LARGEST_VECTOR:
        raise ValueError(
            f"observations {key.space} would be a vector of {reading.shape[0]} numbers, 1 to "
            f"{LARGEST_VECTOR} are taken; wrap the environment in a gymnasium.ObservationWrapper "
            "that shows fewer, or an image (height, width, 1 or 3) of bytes."
        )
    return reading


def _reading(space: spaces.Space) -> Reading:
    match space:
        case spaces.Dict():
            return _of_dict(space)
        case spaces.Tuple():
            return _of_parts(space, dict(enumerate(space.spaces)))
    return replace(_of_one(space), parts={"": space})


def _of_one(space: spaces.Space) -> Reading:
    match space:
        case spaces.Box():
            return _of_box(space)
        case spaces.MultiBinary():
            high = np.ones(space.shape, np.int64)
            return _of_integers(space, 0 * high, high) or _of_numbers(space)
        case spaces.MultiDiscrete():
            low = np.asarray(space.start, np.int64)
            high = low + np.asarray(space.nvec, np.int64) - 1
            return _of_integers(space, low, high) or _one_hot(space, low, high)
        case spaces.Discrete():
            low = np.array(space.start, np.int64)
            return _one_hot(space, low, low + int(space.n) - 1)
    raise ValueError(
        f"observations {space} cannot be taken; allowed are Box, Discrete, MultiDiscrete, "
        "MultiBinary, and Dict or Tuple of these; wrap the environment in a "
        "gymnasium.ObservationWrapper that shows one of them."
    )


def _of_box(space: spaces.Box) -> Reading:
    if image := _of_image(space):
        return image
    if space.dtype.kind in "biu":
        # Python's integers: the differences of 64-bit bounds do not fit into 64 bits.
        low, high = (np.asarray(bound, object) * 1 for bound in (space.low, space.high))
        if space.shape and (high - low).max() < LARGEST_VOCABULARY:
            grid = _of_integers(space, low.astype(np.int64), high.astype(np.int64))
            return grid or _of_numbers(space)
    return _of_numbers(space)


def _of_image(space: spaces.Box) -> Reading | None:
    """An image, (height, width), (height, width, channels) or (channels, height, width)."""
    bytes_, floats = space.dtype == np.uint8, space.dtype.kind == "f"
    top = 255 if bytes_ else 1
    if not (bytes_ or floats) or (space.low != 0).any() or (space.high != top).any():
        return None
    if len(space.shape) == 2:
        axes, shape = (0, 1, 2), (*space.shape, 1)
    elif len(space.shape) == 3 and space.shape[2] <= MOST_CHANNELS:
        axes, shape = (0, 1, 2, 3), space.shape
    elif len(space.shape) == 3 and space.shape[0] <= MOST_CHANNELS:
        axes, shape = (0, 2, 3, 1), (*space.shape[1:], space.shape[0])
    else:
        return None
    if min(shape[:2]) < SMALLEST_IMAGE:
        return None

    def read(values: Any) -> np.ndarray:
        given = np.asarray(values)
        check_shape(space, given)
        check(space, given, (given >= 0) & (given <= top))
        pixels = given if bytes_ else np.rint(255 * given)
        return pixels.transpose(axes).reshape(-1, *shape).astype(np.uint8)

    return Reading(kind="pixels", shape=shape, read=read)


def _of_integers(space: spaces.Space, low: np.ndarray, high: np.ndarray) -> Reading | None:
    """A grid of the small integers from `low` to `high`, if it has 2 or 3 axes."""
    if low.ndim not in (2, 3) or not low.size:
        return None
    shape = low.shape if low.ndim == 3 else (*low.shape, 1)
    first = low.reshape(shape).min((0, 1))
    num_values = high.reshape(shape).max((0, 1)) - first + 1
    if num_values.max() > LARGEST_VOCABULARY:
        return None

    def read(values: Any) -> np.ndarray:
        given = np.asarray(values)
        check_shape(space, given)
        check(space, given, (given >= low) & (given <= high))
        return (given.astype(np.int64).reshape(-1, *shape) - first).astype(np.uint8)

    values = tuple(int(number) for number in num_values)
    return Reading(kind="grid", shape=shape, num_values=values, read=read)


def _of_numbers(space: spaces.Space) -> Reading:
    def read(values: Any) -> np.ndarray:
        given = np.asarray(values)
        check_shape(space, given)
        with np.errstate(over="ignore"):
            numbers = given.astype(np.float32)
        check(space, given, np.isfinite(numbers))
        return numbers.reshape(len(given), -1)

    return Reading(kind="vector", shape=(int(np.prod(space.shape)),), read=read)


def _one_hot(space: spaces.Space, low: np.ndarray, high: np.ndarray) -> Reading:
    sizes = (high - low + 1).reshape(-1)
    begins = np.cumsum(sizes) - sizes

    def read(values: Any) -> np.ndarray:
        given = np.asarray(values)
        check_shape(space, given)
        check(space, given, (given >= low) & (given <= high))
        ones = (given.astype(np.int64) - low).reshape(len(given), -1) + begins
        hot = np.zeros((len(given), int(sizes.sum())), np.float32)
        np.put_along_axis(hot, ones, 1.0, axis=1)
        return hot

    return Reading(kind="vector", shape=(int(sizes.sum()),), read=read)


def _of_dict(space: spaces.Dict) -> Reading:
    keys = set(space.spaces)
    if is_goal_conditioned(space):
        return _of_parts(space, {"observation": space["observation"]})
    if keys >= {"image", "mission"}:
        image = _of_parts(space, {"image": space["image"]})
        if image.kind == "grid" and image.shape[2] == len(MINIGRID_VALUES):
            return _with_vocabularies(space, image, MINIGRID_VALUES)
        return image
    return _of_parts(space, dict(space.spaces))


def _of_parts(space: spaces.Space, parts: dict[Any, spaces.Space]) -> Reading:
    """The only image or grid among the parts, or all their vectors in the space's own order."""
    readings = {key: _reading(part) for key, part in parts.items()}
    pictures = [key for key, reading in readings.items() if reading.kind != "vector"]
    if len(pictures) > 1 or not parts:
        raise ValueError(
            f"observations {space} hold {len(pictures)} images or grids ({pictures}); one can be "
            "taken; wrap the environment in a gymnasium.FilterObservation that keeps one."
        )
    chosen = pictures or list(readings)
    every = space.spaces if isinstance(space, spaces.Dict) else range(len(space.spaces))
    told = {
        "parts": {
            _joined(key, inner): part
            for key in chosen
            for inner, part in readings[key].parts.items()
        },
        "ignored": (
            *(str(key) for key in every if key not in chosen),
            *(_joined(key, inner) for key in chosen for inner in readings[key].ignored),
        ),
    }
    if pictures:
        key = pictures[0]
        only = readings[key]
        return replace(only, read=lambda values: only.read(values[key]), **told)

    def read(values: Any) -> np.ndarray:
        return np.concatenate([part.read(values[key]) for key, part in readings.items()], axis=1)

    width = sum(reading.shape[0] for reading in readings.values())
    return Reading(kind="vector", shape=(width,), read=read, **told)


def _joined(key: Any, inner: str) -> str:
    return f"{key}.{inner}" if inner else str(key)


def _with_vocabularies(space: spaces.Space, grid: Reading, sizes: tuple[int, ...]) -> Reading:
    def read(values: Any) -> np.ndarray:
        seen = grid.read(values)
        check(space, seen, seen < sizes)
        return seen

    return replace(grid, num_values=sizes, read=read)


def check_shape(space: spaces.Space, given: np.ndarray) -> None:
    if given.shape[1:] != space.shape or given.dtype.kind not in "biuf":
        raise OutOfSpace(f"{given.dtype} of shape {given.shape[1:]} is not of {space}", 0)


def check(space: spaces.Space, given: np.ndarray, is_allowed: np.ndarray) -> None:
    if not is_allowed.all():
        row, *index = np.argwhere(~is_allowed)[0]
        at = f" at [{', '.join(map(str, index))}]" if index else ""
        raise OutOfSpace(f"{given[row, *index]}{at} is not of {space}", int(row))
