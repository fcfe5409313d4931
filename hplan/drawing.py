"""Shows observations to a person: a task's own picture of them, as a small PNG."""

import base64
import struct
import zlib
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np

LARGEST_PALETTE = 256


@runtime_checkable
class Pictured(Protocol):
    """A task that can show its observations to a person."""

    def picture(self, obs: np.ndarray) -> np.ndarray:
        """(height, width, 3) uint8 of one observation (*obs_shape)."""


class Drawer:
    """Draws observations as PNG in base64, each content once.

    Raises:
        ValueError: the task's picture is none.
    """

    def __init__(self, picture: Callable[[np.ndarray], np.ndarray]) -> None:
        self._picture = picture
        self._drawn: dict[bytes, str] = {}

    def __call__(self, obs: np.ndarray) -> str:
        key = obs.tobytes()
        if key not in self._drawn:
            image = np.asarray(self._picture(obs))
            if image.dtype != np.uint8 or image.shape[2:] != (3,) or not image.size:
                raise ValueError(
                    f"the task's picture is {image.dtype} {image.shape}; allowed is uint8 of shape "
                    "(height, width, 3); mend its method `picture`, or leave it out"
                )
            self._drawn[key] = base64.b64encode(png(image)).decode()
        return self._drawn[key]


def png(image: np.ndarray) -> bytes:
    """The PNG file of an image (height, width, 3) uint8, with a palette if it has few colours."""
    height, width, _ = image.shape
    # Colours as numbers below 2^24, which float32 holds exactly and multiplies fastest.
    code = image.astype(np.float32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.float32)
    colours = _colours(code)
    bits = next((bits for bits in (1, 2, 4, 8) if len(colours) <= 1 << bits), None)
    if bits is None:
        rows, bits, kind, palette = image.reshape(height, -1), 8, 2, b""
    else:
        per_byte, kind = 8 // bits, 3
        index = np.zeros((height, -(-width // per_byte) * per_byte), dtype=np.uint8)
        index[:, :width] = np.searchsorted(colours, code)
        shifts = range(8 - bits, -1, -bits)
        rows = sum(index[:, i::per_byte] << shift for i, shift in enumerate(shifts))
        palette = _chunk(b"PLTE", b"".join(int(c).to_bytes(3, "big") for c in colours))
    raw = np.hstack([np.zeros((height, 1), dtype=np.uint8), rows]).tobytes()  # 0: no filter
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)),
            palette,
            _chunk(b"IDAT", zlib.compress(raw)),
            _chunk(b"IEND", b""),
        ]
    )


def _colours(code: np.ndarray) -> np.ndarray:
    """The distinct numbers (C,), sorted; of more than a palette holds not all are found.

    Of the few that a drawing has, each is found at once; `np.unique` would sort all pixels.
    """
    found, rest = [], code.ravel()
    while len(rest) and len(found) <= LARGEST_PALETTE:
        found.append(rest[0])
        rest = rest[rest != rest[0]]
    return np.sort(np.array(found))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
