"""From YAML files and the command line to one frozen `Config`.

Files are laid over each other in the order given, `configs/default.yaml` first; what is typed
beside them wins wherever it stands. A complete file, such as a run saves, stands alone. A
dictionary (as `hierarchy.overrides`) is merged key by key; a key set to null is dropped. A setting
of the template, `hierarchy.level`, holds for every level: it drops an override of it further below.
Where the partial view is typed, the bottom encoder that a file names for the full view gives way.
"""

import difflib
import re
from argparse import ArgumentError
from collections.abc import Iterable
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_origin

import yaml
from jsonargparse import ArgumentParser, set_parsing_settings

from hplan.arguments import OVERRIDES, Arguments, read_arguments
from hplan.config import Config, groups, leaves
from hplan.limits import check_config
from hplan.suited import ENCODER, remembering

TEMPLATE = "hierarchy.level"
CONFIG_FOLDER = Path(__file__).resolve().parent.parent / "configs"

set_parsing_settings(docstring_parse_attribute_docstrings=True)
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built


def read_config(arguments: Arguments, *, base: dict[str, Any] | None = None) -> Config:
    """The settings that files and flags amount to.

    Args:
        base: settings to start from in place of the default's, such as a run's.

    Raises:
        ValueError: an unreadable file, an unknown key, a wrong type, an impossible value.
    """
    layers = [(name, _read_yaml(_config_path(name))) for name in arguments.files]
    for name, layer in layers:
        _check_keys(layer, Config, str(name), "")
    if base is None:
        alone = bool(layers) and not missing_settings(layers[0][1])
        base = {} if alone else _read_yaml(CONFIG_FOLDER / "default.yaml")
    settings = base
    for _, layer in layers:
        unnamed = missing_settings(layer)
        named = [path for path in leaves(Config) if path not in unnamed]
        settings = _merged(_without_overrides(settings, named), layer)
    plain, overrides = {}, {}
    for name, text in arguments.flags.items():
        if name.startswith(OVERRIDES + "."):
            overrides[name[len(OVERRIDES) + 1 :]] = _read_value(name, text)
        else:
            plain[name] = text
    viewed = settings.get("task", {}).get("view")
    settings = _without_overrides(settings, plain)
    settings = _merged(settings, {"hierarchy": {"overrides": overrides}})
    config = _parsed(settings, [f"--{name}={text}" for name, text in plain.items()])
    check_config(config)
    typed = ENCODER in overrides or f"{TEMPLATE}.{ENCODER}" in plain
    if config.task.view == "partial" and viewed != "partial" and not typed:
        config = remembering(config)
    return config


def config_from_dict(settings: dict[str, Any]) -> Config:
    """The inverse of `dataclasses.asdict`; settings that are absent take their defaults."""
    _check_keys(settings, Config, "saved config", "")
    return _parsed(settings, [])


def missing_settings(settings: dict[str, Any]) -> list[str]:
    """Paths of the settings that a file does not name, as a complete one would."""

    def is_named(path: str) -> bool:
        node: Any = settings
        for key in path.split("."):
            if not isinstance(node, dict) or key not in node:
                return False
            node = node[key]
        return True

    return [path for path in leaves(Config) if not is_named(path)]


def settings_of(config: Config) -> dict[str, Any]:
    """Every setting by its path, the overrides by theirs."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, node: dict[str, Any]) -> None:
        for key, value in node.items():
            path = prefix + key
            nested = isinstance(value, dict) and (path in groups(Config) or path == OVERRIDES)
            if nested:
                walk(path + ".", value)
            else:
                flat[path] = value

    walk("", asdict(config))
    return flat


def logged_settings(config: Config) -> dict[str, int | float | str]:
    """`settings_of` as TensorBoard's HParams tab takes them: lists and dictionaries as text."""
    return {
        path: value if isinstance(value, int | float | str) else str(value)
        for path, value in settings_of(config).items()
    }


def as_yaml(config: Config) -> str:
    """The resolved, complete config as YAML."""
    return yaml.safe_dump(asdict(config), sort_keys=False, default_flow_style=None, width=100)


def from_yaml(text: str) -> Any:
    """What YAML text says; raises yaml.YAMLError where it is none."""
    return yaml.load(text, Loader=_Loader)


def print_help(command: str, description: str, own: dict[str, str]) -> None:
    """Prints every option of a command with its default in configs/default.yaml.

    Args:
        own: option -> what it means, for options beside the settings.
    """
    parser = _parser(f"python -m hplan {command}", description, own)
    default = settings_of(read_config(read_arguments([])))
    known = {path: value for path, value in default.items() if path in leaves(Config)}
    parser.set_defaults(known)
    parser.print_help()


def _parser(program: str, description: str, own: dict[str, str]) -> ArgumentParser:
    parser = ArgumentParser(
        prog=program,
        usage=f"{program} [--config FILE] [--levels N] [--task NAME] [--run RUN] [--SETTING X]",
        description=description,
        exit_on_error=False,
        allow_abbrev=False,
    )
    short = parser.add_argument_group("in short")
    short.add_argument(
        "--config", help="a YAML file, or the name of one in configs/; may be repeated"
    )
    short.add_argument("--levels", help="depth of the stack: hierarchy.num_levels")
    short.add_argument("--energy", help="distance or l2: evaluation.energy")
    short.add_argument("--budget_ms", help="milliseconds for a decision: agent.budget_ms")
    short.add_argument("--run", help="name of the run in runs/, or its path")
    short.add_argument("--resume", action="store_true", help="continue the run from its checkpoint")
    short.add_argument("--print_config", action="store_true", help="print the settings and stop")
    for name, meaning in own.items():
        short.add_argument(f"--{name}", help=meaning)
    parser.add_class_arguments(Config)
    return parser


@cache
def _config_parser() -> ArgumentParser:
    """Made once: that takes as long as to parse, and parsing leaves no setting in it."""
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_class_arguments(Config)
    return parser


def _parsed(settings: dict[str, Any], flags: list[str]) -> Config:
    parser = _config_parser()
    try:
        checked = parser.parse_object(settings)
        if flags:  # half of the time of parsing goes into this
            checked = parser.parse_args(flags, namespace=checked)
        values = parser.instantiate(checked)
    except (ArgumentError, TypeError) as error:
        raise ValueError(_in_our_words(str(error))) from error
    return Config(**{f.name: values[f.name] for f in fields(Config)})


def _in_our_words(message: str) -> str:
    """jsonargparse's message on a wrong type in one line: path = value; allowed is ..."""
    found = re.search(
        r'key "([\w.]+)":\s+Expected an? (.+?)\. Got value: (.*)',
        message,
        re.DOTALL,
    )
    if not found:
        return " ".join(message.split())
    path, kind, value = found.groups()
    kind = re.sub(r"<class '(\w+)'>", r"\1", kind).removeprefix("typing.")
    kind = {"int": "a whole number", "float": "a number", "bool": "true or false"}.get(kind, kind)
    kind = re.sub(r"Literal\[(.*)\]", r"one of \1", kind)
    return f"{path} = {' '.join(value.split())}; allowed is {kind}"


def _config_path(name: str) -> Path:
    """The file called `name`, or the file of that name in configs/."""
    path = Path(name)
    if path.is_file():
        return path
    short = CONFIG_FOLDER / f"{name}.yaml"
    if path.name == name and short.is_file():
        return short
    known = ", ".join(sorted(file.stem for file in CONFIG_FOLDER.glob("*.yaml")))
    raise ValueError(f"--config {name}: no such file; known names: {known}, or a path of your own")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = from_yaml(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--config {path} cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no settings; write `group: {{key: value}}`")
    return content


def _read_value(name: str, text: str) -> Any:
    try:
        return from_yaml(text)
    except yaml.YAMLError as error:
        raise ValueError(f"--{name} {text}: no valid YAML; give a list, bottom first") from error


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`, dictionaries key by key; null drops a key."""
    result = dict(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def _without_overrides(settings: dict[str, Any], named: Iterable[str]) -> dict[str, Any]:
    """`settings` less the overrides of what is `named`, by path, in the template of the levels."""
    overrides = settings.get("hierarchy", {}).get("overrides", {})
    of_template = [path.removeprefix(TEMPLATE + ".") for path in named]
    dropped = {path: None for path in of_template if path in overrides}
    return _merged(settings, {"hierarchy": {"overrides": dropped}}) if dropped else settings


def _check_keys(settings: Any, kind: type, source: str, prefix: str) -> None:
    known = {f.name: f.type for f in fields(kind)}
    if not isinstance(settings, dict):
        raise ValueError(
            f"{source}: {prefix.rstrip('.')} = {settings!r}; allowed is a group of "
            f"{', '.join(known)}"
        )
    for key, value in settings.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(known)}"
            raise ValueError(f"{source}: unknown key {prefix}{key}; {hint}")
        if is_dataclass(known[key]):
            _check_keys(value, known[key], source, f"{prefix}{key}.")
        elif get_origin(known[key]) is dict and value is not None:
            if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
                raise ValueError(
                    f"{source}: {prefix}{key} = {value!r}; allowed is a mapping of names, as in "
                    f"`{key}: {{name: value}}`"
                )
