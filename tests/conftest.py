"""How all tests are run. The packages under test must not be imported here: hooks come first."""

import jaxtyping
import pytest

from tests import shape_checks


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "check shapes and types at every call, not only at the first of each test and at some"
    parser.addoption("--every-call", action="store_true", help=text)


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--every-call"):
        # jaxtyping's import hook looks its decorator up here.
        jaxtyping.jaxtyped = shape_checks.checked


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    shape_checks.new_test()
