"""What a film says of an episode that failed."""

import pytest

from hplan.film.story import Story
from tests.hplan.test_film import STEPS, episode


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, "OUT OF STEPS  ·"),
        ({"stuck": True}, "OUT OF STEPS, THE AGENT SAYS IT IS STUCK  ·"),
        ({"refused": True}, "REFUSED TO ACT  ·"),
        ({"unsafe": True, "refused": False}, "UNSAFE  ·"),
    ],
)
def test_failures_are_told_apart(told: dict[str, bool], expected: str) -> None:
    story = Story(episode(success=False, **told), STEPS)
    assert story.reason(STEPS).startswith(expected)
    assert "OUT OF STEPS" not in story.reason(STEPS - 1)
