"""Which calls the test run checks, on functions that say what they take and are given another."""

from dataclasses import dataclass

import pytest
from beartype import beartype
from jaxtyping import TypeCheckError

from tests.shape_checks import FIRST, ONE_IN, checked, new_test

NUM_CALLS = 2 * ONE_IN + 1
DUE = [*range(FIRST), ONE_IN - 1, 2 * ONE_IN - 1]


def _found(call) -> list[int]:
    """The calls, from 0 on, at which a wrong argument is found."""
    found = []
    for number in range(NUM_CALLS):
        try:
            call("one")
        except TypeCheckError:
            found.append(number)
    return found


def plain(x: int) -> None:
    """Takes a number."""


@dataclass
class Constructed:
    x: int


class Methods:
    def own(self, x: int) -> None:
        """Takes a number."""

    @classmethod
    def of_class(cls, x: int) -> None:
        """Takes a number."""

    @staticmethod
    def static(x: int) -> None:
        """Takes a number."""


def _decorated(name: str):
    part = vars(Methods)[name]
    return checked(part, typechecker=beartype).__get__(Methods(), Methods)


@pytest.mark.parametrize(
    "call",
    [
        checked(typechecker=beartype)(plain),
        checked(Constructed, typechecker=beartype),
        *map(_decorated, ("own", "of_class", "static")),
    ],
    ids=["function", "dataclass", "method", "classmethod", "staticmethod"],
)
def test_the_first_calls_of_every_test_are_checked_and_some_later_ones(call):
    assert _found(call) == DUE
    new_test()
    assert _found(call) == DUE


def test_properties_are_checked():
    class Wrong:
        @property
        def told(self) -> int:
            return "one"

    told = checked(vars(Wrong)["told"], typechecker=beartype)
    with pytest.raises(TypeCheckError, match="return value"):
        told.fget(Wrong())


def test_functions_inside_others_are_checked_where_they_are_first_defined():
    def defined():
        def inner(x: int) -> None:
            """Takes a number."""

        return checked(inner, typechecker=beartype)

    assert _found(lambda x: defined()(x)) == DUE
    new_test()
    assert _found(lambda x: defined()(x)) == DUE
