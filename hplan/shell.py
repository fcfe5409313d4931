"""Runs a command and answers to the user: what went wrong in one line, and an exit code."""

import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hplan.arguments import Arguments, read_arguments
from hplan.command_line import as_yaml, print_help
from hplan.config import Config
from hplan.level_config import level_configs, strides
from hplan.run import is_main_process


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of `python -m hplan`.

    Attributes:
        run: does it; its docstring's first line says what.
        own: option -> what it means, for options beside the settings.
        word: what a word without an option is, such as FILE; "" where none is taken.
        settings: whether it heeds settings and --config.
        again: what the same command does after Ctrl-C.
    """

    run: Callable[[Arguments], None]
    own: dict[str, str] = field(default_factory=dict)
    word: str = ""
    settings: bool = True
    again: str = "starts again"

    @property
    def summary(self) -> str:
        """One line on what it does."""
        return (self.run.__doc__ or "").strip().splitlines()[0]


Commands = dict[str, Command]


class Stopped(Exception):
    """The user's Ctrl-C, with what to tell them."""


def say(text: str) -> None:
    """A line for the user, once, however many processes there are."""
    if is_main_process():
        print(text, flush=True)


def announce_training(config: Config, run_dir: Path) -> None:
    """Tells what is about to be trained, and where it will be."""
    steps = "/".join(map(str, strides(level_configs(config.hierarchy))))
    say(
        f"train: task={config.task.name} levels={config.hierarchy.num_levels} strides={steps} "
        f"seed={config.seed} run={run_dir}"
    )


def config_printed(arguments: Arguments, config: Config) -> bool:
    """Whether --print_config asked for the settings alone, which are printed then."""
    if "print_config" not in arguments.switches:
        return False
    print(as_yaml(config), end="")
    return True


class _Console(logging.Handler):
    """Warnings of hplan, one line each, on whatever stderr is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"hplan: {record.getMessage()}", file=sys.stderr, flush=True)


def run_command(argv: list[str], commands: Commands) -> int:
    """Runs one command; 0, or 2 for what the user can mend, or 130 after Ctrl-C."""
    logger, console = logging.getLogger("hplan"), _Console(logging.WARNING)
    logger.addHandler(console)
    try:
        return _dispatch(argv, commands)
    except Stopped as stop:
        return _fail(str(stop), 130)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command starts again", 130)
    except OSError as error:
        what = f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}"
        if error.errno == errno.ENOSPC:
            what = f"the disk is full ({what}); free some; RESUME=1 continues a run that had begun"
        return _fail(what, 2)
    except ValueError as error:
        return _fail(" ".join(str(error).split()), 2)
    finally:
        logger.removeHandler(console)


def _dispatch(argv: list[str], commands: Commands) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print("usage: python -m hplan COMMAND [--config FILE] [--SETTING VALUE]...\n")
        for name, command in commands.items():
            print(f"  {name:8} {command.summary}")
        print(
            "\n`python -m hplan COMMAND --help` lists every setting; make help has the short forms."
        )
        return 0 if argv else 2
    if argv[0] not in commands:
        raise ValueError(f"unknown command {argv[0]!r}; known: {', '.join(commands)}")
    command = commands[argv[0]]
    arguments = read_arguments(argv[1:], own=tuple(command.own), takes_words=bool(command.word))
    if "help" in arguments.switches:
        print_help(f"{argv[0]} {command.word}".strip(), command.summary, command.own)
        return 0
    if not command.settings and (arguments.files or arguments.flags or arguments.switches):
        own = ", ".join(f"--{name}" for name in command.own)
        raise ValueError(f"{argv[0]} heeds no settings; beside --run it has only {own}")
    try:
        command.run(arguments)
    except KeyboardInterrupt as stop:
        raise Stopped(f"interrupted; the same command {command.again}") from stop
    return 0


def _fail(message: str, code: int) -> int:
    """One line on stderr; HPLAN_TRACEBACK=1 shows where it came from."""
    if os.environ.get("HPLAN_TRACEBACK"):
        traceback.print_exc()
    if is_main_process():
        print(f"hplan: {message}", file=sys.stderr, flush=True)
    return code
