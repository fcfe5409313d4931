"""Random streams that never meet: one seed gives data, suites and validation pairs their own."""

from enum import IntEnum

import numpy as np

LARGEST_SEED = 2**31  # exclusive, of seeds that are drawn: what every environment takes


class Stream(IntEnum):
    """What a random stream is for; part of its seed."""

    DATA = 1
    SUITE = 2
    VALIDATION = 3


def stream_generator(stream: Stream, seed: int, *parts: int) -> np.random.Generator:
    """A generator for one purpose, one user-given seed, and parts such as a chunk's number."""
    if seed < 0:
        raise ValueError(f"seed = {seed} must be 0 or more; give another seed.")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, *parts)))
