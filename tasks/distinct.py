"""Which rows of an array are the same."""

import numpy as np


def distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the distinct rows in order of first occurrence.

    Args:
        rows: (N,) or (N, F).

    Returns:
        (U,) int64, where each occurs first, and (N,) int64, the number of each row's.
    """
    if rows.ndim == 2:
        rows = np.ascontiguousarray(rows)
        rows = rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize)))[:, 0]
    _, first, number = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return first[order], rank[number.reshape(-1)]
