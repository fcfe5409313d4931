"""The benchmark's rows, and a floor far below what any machine should reach."""

import pytest

from tasks.bench import benchmark


def test_rows_are_whole_and_the_simulator_is_much_quicker_than_minigrid():
    rows = benchmark(num_seconds=0.01)
    assert [row["name"] for row in rows] == ["collect/rooms", "observe/rooms", "observe/trip"]
    for row in rows:
        assert set(row) == {"name", "value", "unit", "reference", "ratio"}
        assert row["ratio"] == pytest.approx(row["value"] / row["reference"])
        assert row["ratio"] > 20
