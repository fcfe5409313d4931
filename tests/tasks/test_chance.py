"""Chance by counting: even, independent, and a function of its arguments alone."""

import numpy as np

from tasks.chance import uniform

SEEDS, STEPS = 211, 101
GOLDEN = [0.6968912266311272, 0.3230331826632429, 0.06227450829354175]


def _grid(purpose: int) -> np.ndarray:
    """(SEEDS, STEPS) float64."""
    seed, step = np.indices((SEEDS, STEPS)).reshape(2, -1)
    return uniform(seed, step, purpose).reshape(SEEDS, STEPS)


def test_numbers_are_even_in_the_unit_interval():
    numbers = _grid(0)
    assert numbers.min() >= 0.0 and numbers.max() < 1.0
    counts, _ = np.histogram(numbers, bins=10, range=(0, 1))
    expected = numbers.size / 10
    # Chi square with 9 degrees of freedom: above 33.7 once in ten thousand.
    assert ((counts - expected) ** 2 / expected).sum() < 33.7


def test_seeds_steps_and_purposes_do_not_know_of_each_other():
    numbers, other = _grid(0) - 0.5, _grid(1) - 0.5
    bound = 4.0 / 12.0 / np.sqrt(numbers.size)  # four standard errors of such a product's mean
    for first, second in (
        (numbers[1:], numbers[:-1]),
        (numbers[:, 1:], numbers[:, :-1]),
        (numbers[1:, :-1], numbers[:-1, 1:]),
        (numbers, other),
    ):
        assert abs((first * second).mean()) < bound


def test_a_number_depends_on_its_own_seed_and_step_alone():
    seed, step = np.array([3, 5, 2**31 - 1]), np.array([7, 0, 2**40])
    together = uniform(seed, step, 1)
    alone = [uniform(seed[i : i + 1], step[i : i + 1], 1)[0] for i in (2, 0, 1)]
    assert together[[2, 0, 1]].tolist() == alone


def test_numbers_stay_what_they_are():
    # Data sets and suites are drawn with them: other numbers are other episodes.
    assert uniform(np.array([0, 1, 12345]), np.array([0, 2, 678]), 1).tolist() == GOLDEN
