"""How all tests are run. The packages under test must not be imported here: hooks come first."""

import importlib

import jaxtyping
import pytest
import xdist

from tests import shape_checks

LARGE = (
    "beartype.claw",
    "jsonargparse",
    "matplotlib.figure",
    "networkx",
    "pytorch_lightning",
    "tensorboard.backend.application",
    "torch.utils.tensorboard",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "check shapes and types at every call, not only at the first of each test and at some"
    parser.addoption("--every-call", action="store_true", help=text)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Imports what is large before a package under test does, where the whole suite is run.

    What such a package is the first to import jaxtyping's hook has compiled anew; these have their
    bytecode since they were installed. Few tests alone need them.
    """
    for name in LARGE if xdist.is_xdist_worker(session) else ():
        importlib.import_module(name)


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--every-call"):
        # jaxtyping's import hook looks its decorator up here.
        jaxtyping.jaxtyped = shape_checks.checked


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    shape_checks.new_test()
