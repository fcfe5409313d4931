"""Shapes and types are checked at the first call of every function in every test, then seldom.

Checking a call costs more than most functions here do: all calls of an episode of many steps would
be four fifths of its time, and say of each step what was said of the first one.
`pytest --every-call` checks them all.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import partial, wraps
from inspect import isclass
from types import CodeType
from typing import Any

from jaxtyping import jaxtyped

FIRST, ONE_IN = 1, 97  # calls of a function in a test; of later ones, one in so many (a prime)

_test = 0
_defined: Counter[CodeType] = Counter()


def new_test() -> None:
    """The first call of each that follows is checked again."""
    global _test
    _test += 1
    _defined.clear()


def checked(part: Any = None, *, typechecker: Callable[[Any], Any]) -> Any:
    """What jaxtyping's import hook decorates with, in place of `jaxtyped`."""
    if part is None:
        return partial(checked, typechecker=typechecker)
    if isclass(part):
        if is_dataclass(part) and "__init__" in vars(part):  # of other classes it checks nothing
            part.__init__ = _checked_at_times(part.__init__, typechecker)
        return part
    if isinstance(part, property):
        functions = (part.fget, part.fset, part.fdel)
        return property(*(f and _checked_at_times(f, typechecker) for f in functions))
    if isinstance(part, (classmethod, staticmethod)):
        return type(part)(_checked_at_times(part.__func__, typechecker))
    if "<locals>" in part.__qualname__:  # defined anew at every call of what it is in
        _defined[part.__code__] += 1
        return jaxtyped(part, typechecker=typechecker) if _is_due(_defined[part.__code__]) else part
    return _checked_at_times(part, typechecker)


def _is_due(count: int) -> bool:
    return count <= FIRST or count % ONE_IN == 0


def _checked_at_times(bare: Callable[..., Any], typechecker: Callable[[Any], Any]) -> Any:
    """`bare`, whose first call of a test and one in `ONE_IN` later ones are checked."""
    test = calls = 0
    whole = None  # made at the first call: most functions are called in few tests

    @wraps(bare)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        nonlocal test, calls, whole
        if test != _test:
            test, calls = _test, 0
        calls += 1
        if calls > FIRST and calls % ONE_IN:
            return bare(*args, **kwargs)
        if whole is None:
            whole = jaxtyped(bare, typechecker=typechecker)
        return whole(*args, **kwargs)

    return call
