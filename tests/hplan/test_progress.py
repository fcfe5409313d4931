"""How long a training run still takes, and how it is said."""

import pytest

from hplan.progress import TrainingProgress, spoken_time


@pytest.mark.parametrize(("last", "left"), [(10, {0: 28, 4: 18, 8: 8}), (8, {0: 20, 4: 10, 7: 7})])
def test_the_time_left_counts_every_validation_still_to_come(last, left):
    progress = TrainingProgress(first=0, last=last, validate_every=4, num_levels=1)
    progress.updates.extend([1.0] * 5)
    assert progress.seconds_left() == last, "what a validation takes is not known yet"
    progress.validated(6.0, {})
    for done, seconds in left.items():
        progress.done = done
        assert progress.seconds_left() == seconds, done


def test_times_are_said_as_a_person_says_them():
    said = [spoken_time(seconds) for seconds in (0.4, 59.4, 61, 3599, 3600, 7385)]
    assert said == ["0 s", "59 s", "1 min 01 s", "59 min 59 s", "1 h 00 min", "2 h 03 min"]
