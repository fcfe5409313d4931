"""Chance by counting: a number that depends on nothing but a seed, a step and a purpose.

A stochastic world whose states hold their episode's seed and env step count draws from here. The
same state then always goes on in the same way, whatever other states are stepped beside it, and
to copy a state is to copy its future.
"""

import numpy as np

# The increment and the finaliser of splitmix64: Steele, Lea & Flood 2014, "Fast splittable
# pseudorandom number generators", OOPSLA, figure 17.
_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = tuple(np.uint64(bits) for bits in (30, 27, 31))
_TO_UNIT = np.uint64(11)  # 53 bits of the 64 are as many as a float64 holds


def uniform(seed: np.ndarray, step: np.ndarray, purpose: int) -> np.ndarray:
    """Numbers in [0, 1), each independent of every other seed's, step's and purpose's.

    Args:
        seed, step: (B,) int64, 0 or more.
        purpose: what the number is for, 0 or more.

    Returns:
        (B,) float64.
    """
    counter = np.asarray(step).astype(np.uint64) * np.uint64(256) + np.uint64(purpose)
    mixed = _mix(_mix(np.asarray(seed).astype(np.uint64)) + counter)
    return (mixed >> _TO_UNIT) * 2.0**-53


def _mix(number: np.ndarray) -> np.ndarray:
    """(B,) uint64, of which each bit depends on every bit of `number`, (B,) uint64."""
    number = (number + np.uint64(1)) * _INCREMENT
    number = (number ^ (number >> _SHIFTS[0])) * _FIRST
    number = (number ^ (number >> _SHIFTS[1])) * _SECOND
    return number ^ (number >> _SHIFTS[2])
