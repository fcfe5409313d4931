"""What was typed after a command's name, sorted but not yet given a meaning."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

from hplan.config import Config, leaves

OVERRIDES = "hierarchy.overrides"

SHORT_FLAGS = {
    "levels": "hierarchy.num_levels",
    "task": "task.name",
    "energy": "evaluation.energy",
    "budget_ms": "agent.budget_ms",
}
SWITCHES = ("resume", "print_config", "help")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What was typed.

    Attributes:
        files: of --config, in order.
        flags: setting -> text; the last one of a setting.
        run: of --run.
        switches: those of `SWITCHES` that were given.
        own: option of the command alone -> text.
        words: what stands there without an option, such as a file.
    """

    files: list[str]
    flags: dict[str, str]
    run: str | None
    switches: frozenset[str]
    own: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)


def read_arguments(
    argv: Sequence[str], *, own: Sequence[str] = (), takes_words: bool = False
) -> Arguments:
    """Sorts what follows the command's name.

    Args:
        own: names of options that this command has beside the settings.
        takes_words: whether it takes words without an option.

    Raises:
        ValueError: an unknown option, or one without its value.
    """
    files, words, flags, of_command = [], [], {}, {}
    run, switches, rest = None, set(), list(argv)
    while rest:
        token = rest.pop(0)
        if token == "-h":
            token = "--help"
        if not token.startswith("--"):
            if not takes_words:
                raise ValueError(f"{token!r} is not an option; options begin with --, see --help")
            words.append(token)
            continue
        name, equals, value = token[2:].partition("=")
        name = name.replace("-", "_") if "." not in name else name
        if name in SWITCHES and not equals:
            switches.add(name)
            continue
        _check_option(name, own)
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise ValueError(f"--{name} needs a value")
            value = rest.pop(0)
        if name == "config":
            files.append(value)
        elif name == "run":
            run = value
        elif name in own:
            of_command[name] = value
        else:
            flags[SHORT_FLAGS.get(name, name)] = value
    return Arguments(
        files=files,
        flags=flags,
        run=run,
        switches=frozenset(switches),
        own=of_command,
        words=words,
    )


def _check_option(name: str, own: Sequence[str]) -> None:
    known = ["config", "run", "seed", *own, *SHORT_FLAGS, *SWITCHES, *leaves(Config)]
    if name in known or name.startswith(OVERRIDES + "."):
        return
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean --{near[0]}? " if near else ""
    raise ValueError(f"unknown option --{name}; {hint}--help lists them all")
