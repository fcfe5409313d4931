"""States of the trip that several tests look at."""

from functools import cache

import numpy as np

from tasks.trip.districts import District
from tasks.trip.travellers import Travellers, travel
from tasks.trip.world import DISTRICT, HEADING, PASSPORT, Column, X, at_desk

NUM_EPISODES, NUM_STEPS = 97, 211


@cache
def journeys() -> tuple[np.ndarray, np.ndarray]:
    """(E, T + 1, columns) states and (E, T) actions of travellers."""
    return travel(NUM_EPISODES, NUM_STEPS, np.random.default_rng(0), Travellers())


def crowd(count: int, district: District, place: tuple[int, int, int], **columns) -> np.ndarray:
    """(count, columns) states that differ in their seed alone, x, y and heading given."""
    states = at_desk(np.arange(count))
    states[:, DISTRICT], states[:, PASSPORT] = district, 1
    states[:, X : HEADING + 1] = place
    for name, value in columns.items():
        states[:, Column[name.upper()]] = value
    return states
