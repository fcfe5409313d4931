"""What several test files need; the packages are imported when a test runs, not before."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], tuple[int, str, str]]:
    """Runs a command in an empty folder: exit code, stdout, stderr."""
    from hplan.__main__ import main

    monkeypatch.chdir(tmp_path)

    def call(text: str) -> tuple[int, str, str]:
        code = main(text.split())
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def refused(command: Callable[[str], tuple[int, str, str]]) -> Callable[[str], str]:
    """Runs a command that must be refused: the one line that it leaves."""

    def call(text: str) -> str:
        code, _, err = command(text)
        assert code == 2
        assert err.startswith("hplan: ") and err.count("\n") == 1, err
        return err

    return call


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Matrices this small are slower on many threads, and very slow where others want the cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
