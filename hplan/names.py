"""Finds what a user named: a short name that the framework knows, or their own import path."""

import importlib
from collections.abc import Mapping
from typing import Any


def find_class(name: str, known: Mapping[str, Any], path: str) -> Any:
    """The class or function that the setting at `path` names.

    Args:
        name: a key of `known`, or `module.Class`.
        path: the setting's place in the config, for the message.

    Raises:
        ValueError: no such name, module or class, or what cannot be called.
    """
    if name in known:
        return known[name]
    module, _, attribute = name.rpartition(".")
    names = f"known: {', '.join(sorted(known))}, or" if known else "allowed:"
    allowed = f"{names} module.Class of your own"
    if not module:
        raise ValueError(f"{path} = {name!r} is unknown; {allowed}")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(f"{path} = {name!r} cannot be imported ({error}); {allowed}") from error
    if not callable(found):
        raise ValueError(f"{path} = {name!r} is a {type(found).__name__}; {allowed}")
    return found
