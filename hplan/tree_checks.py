"""What the attributes of a subgoal tree may hold.

Trees also come from files that nobody vouches for. So every check answers any value at all with
nothing or with a `ValueError` of one line, which repeats no more than the beginning of a text.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Cause = Literal["start", "clock", "done", "target_changed", "surprise", "infeasible"]
Outcome = Literal[
    "done", "reached", "expired", "target_changed", "surprise", "infeasible",
    "success", "out_of_steps", "refused", "unsafe",
]  # fmt: skip
WITH_EPISODE = ("success", "out_of_steps", "refused", "unsafe")  # outcomes of its last plans
EnergyUnit = Literal[
    "env steps", "squared latent difference", "smooth latent difference", "one minus cosine"
]

LARGEST = 2**53 - 1  # up to here an integer is the same in a browser
MOST_LEVELS = 100
LONGEST_TEXT = 1000
LONGEST_PICTURE = 1_000_000
_PNG = re.compile(r"iVBORw0KGgo[A-Za-z0-9+/]*={0,2}\Z")  # begins as all PNG do, in base64
_SHOWN = 40  # characters of a value in a message


@dataclass(frozen=True)
class Kind:
    """A kind of value: which ones it `allows`, and its `name` in a message."""

    allows: Callable[[Any], bool]
    name: str


def _integer(least: int, most: int = LARGEST) -> Kind:
    name = f"an integer from {least}" + (f" to {most}" if most < LARGEST else "")
    return Kind(lambda v: type(v) is int and least <= v <= most, name)


def _is_finite(value: Any) -> bool:
    if type(value) is int:
        return abs(value) <= LARGEST
    return type(value) is float and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return type(value) is str and len(value) <= LONGEST_TEXT


def _is_picture(value: Any) -> bool:
    return type(value) is str and len(value) <= LONGEST_PICTURE and bool(_PNG.match(value))


def _one_of(literal: Any) -> Kind:
    names = get_args(literal)
    return Kind(lambda v: type(v) is str and v in names, f"one of: {', '.join(names)}")


def _optional(kind: Kind) -> Kind:
    return Kind(lambda v: v is None or kind.allows(v), f"{kind.name}, or null")


def _list_of(kind: Kind) -> Kind:
    return Kind(lambda v: type(v) is list and all(map(kind.allows, v)), f"a list, each {kind.name}")


_COUNT = _integer(0)
_PERCENTILE = Kind(lambda v: _is_finite(v) and 0 <= v <= 100, "a number from 0 to 100")
_TEXT = Kind(_is_text, f"text of at most {LONGEST_TEXT} characters")
_NUMBER = Kind(_is_finite, "a finite number")
_YES_OR_NO = Kind(lambda v: type(v) is bool, "true or false")
_PICTURES = _list_of(Kind(_is_picture, f"a PNG in base64 of at most {LONGEST_PICTURE} characters"))
_PLAIN = Kind(
    lambda v: v is None or type(v) is bool or _is_finite(v) or _is_text(v),
    f"{_NUMBER.name}, {_TEXT.name}, {_YES_OR_NO.name}, or null",
)

PLAN: dict[str, Kind] = {
    "plan": _integer(1),
    "parent": _COUNT,
    "level": _COUNT,
    "cause": _one_of(Cause),
    "made": _COUNT,
    "outcome": _one_of(Outcome),
    "ended": _COUNT,
    "energy_before": _optional(_NUMBER),
    "energy_promised": _optional(_NUMBER),
    "energy_ended": _optional(_NUMBER),
    "energies": _optional(_list_of(_optional(_NUMBER))),
    "energy_unit": _optional(_one_of(EnergyUnit)),
    "horizon": _integer(1),
    "steps_promised": _optional(_NUMBER),
    "predictor_evaluations": _COUNT,
    "support": _optional(_PERCENTILE),
    "subgoal": _optional(_COUNT),
    "subgoal_distance": _optional(_NUMBER),
    "target": _optional(_COUNT),
    "target_distance": _optional(_NUMBER),
}
GOAL: dict[str, Kind] = {
    "num_levels": _integer(1, MOST_LEVELS),
    "level": _optional(_integer(1, MOST_LEVELS)),
    "task": _optional(_TEXT),
    "method": _optional(_TEXT),
    "energy": _optional(_TEXT),
    "pair": _optional(_TEXT),
    "episode": _optional(_COUNT),
    "bin": _optional(_TEXT),
    "update": _optional(_COUNT),
    "env_steps": _optional(_COUNT),
    "optimal_steps": _optional(_COUNT),
    "success": _optional(_YES_OR_NO),
    "stuck": _optional(_YES_OR_NO),
    "refused": _optional(_YES_OR_NO),
    "unsafe": _optional(_YES_OR_NO),
    "observations": _list_of(_COUNT),
    "goal": _optional(_COUNT),
}


def shown(value: Any) -> str:
    """The beginning of a value, on one line; of a list or an object no more than what it is."""
    if value is not None and type(value) not in (str, int, float, bool):
        return f"({'an object' if isinstance(value, Mapping) else f'a {type(value).__name__}'})"
    if type(value) is int and abs(value) > LARGEST:
        return "(an integer too large)"
    text = repr(value[: _SHOWN + 1] if type(value) is str else value)
    return text if len(text) <= _SHOWN + 2 else text[:_SHOWN] + "..."


def check_pictures(pictures: Any) -> None:
    """Refuses what is not a list of distinct pictures."""
    if not _PICTURES.allows(pictures):
        raise ValueError(f"the pictures are not {_PICTURES.name}")
    if len(set(pictures)) < len(pictures):
        raise ValueError("a picture occurs twice; each is kept once and named by its index")


def checked_goal(goal: Mapping[Any, Any], num_pictures: int) -> dict[str, Any]:
    """The attributes of node 0, checked; those that are missing are None, or []."""
    full = {**dict.fromkeys(GOAL), "observations": [], **goal}
    for key, value in full.items():
        if not _is_text(key):
            raise ValueError(f"the goal has attribute {shown(key)}; allowed is {_TEXT.name}")
        kind = GOAL.get(key, _PLAIN)
        if not kind.allows(value):
            name = key if key in GOAL else shown(key)
            raise ValueError(f"the goal has {name} {shown(value)}; allowed is {kind.name}")
    if full["level"] not in (None, full["num_levels"]):
        raise ValueError(f"the goal has level {full['level']}; allowed is its num_levels, or null")
    full["level"] = full["num_levels"]
    _check_indices("the goal", "goal", [full["goal"]], num_pictures)
    _check_indices("the goal", "observations", full["observations"], num_pictures)
    seen, steps = len(full["observations"]), full["env_steps"]
    if seen and steps is not None and seen != steps + 1:
        raise ValueError(
            f"the goal has {seen} observations and env_steps {steps}; allowed is one at every env "
            "step from 0, or none"
        )
    return full


def check_plan(plan: Mapping[Any, Any], goal: Mapping[str, Any], num_pictures: int) -> None:
    """Refuses a plan of attributes, or values, that no plan can have.

    Args:
        goal: attributes of its episode's node 0, checked.
    """
    name = f"plan {shown(plan.get('plan'))}"
    if lacking := [key for key in PLAN if key not in plan]:
        raise ValueError(f"{name} lacks {', '.join(lacking)}")
    if odd := [key for key in plan if key not in PLAN]:
        raise ValueError(f"{name} should not have {shown(odd[0])}")
    for key, kind in PLAN.items():
        if not kind.allows(plan[key]):
            raise ValueError(f"{name} has {key} {shown(plan[key])}; allowed is {kind.name}")
    made, ended, energies = plan["made"], plan["ended"], plan["energies"]
    if ended < made:
        raise ValueError(f"{name} ended at {ended}, before it was made at {made}")
    if goal["env_steps"] is not None and ended > goal["env_steps"]:
        raise ValueError(f"{name} ended at {ended}, after its episode of {goal['env_steps']} steps")
    if energies is not None and len(energies) != ended - made + 1:
        raise ValueError(
            f"{name} has {len(energies)} energies; allowed is one at every env step from {made} "
            f"to {ended}, or null"
        )
    if energies is not None and energies[-1] != plan["energy_ended"]:
        raise ValueError(
            f"{name} has energy_ended {plan['energy_ended']}, not the last of its energies"
        )
    for key in ("subgoal", "target"):
        _check_indices(name, key, [plan[key]], num_pictures)


def find_cycle(parents: Mapping[int, int], root: int) -> list[int]:
    """Plans that serve each other in a circle, each before the one that serves it; or none.

    Looks at each plan once: networkx would begin anew at every one.
    """
    below_goal = {root}
    for plan in parents:
        path: dict[int, None] = {}
        while plan not in below_goal and plan not in path:
            path[plan] = None
            plan = parents[plan]
        if plan in path:
            cycle = list(path)[list(path).index(plan) :][::-1]
            first = cycle.index(min(cycle))
            return cycle[first:] + cycle[:first]
        below_goal.update(path)
    return []


def _check_indices(name: str, key: str, indices: Iterable[int | None], num_pictures: int) -> None:
    for index in indices:
        if index is not None and index >= num_pictures:
            raise ValueError(f"{name} has {key} {index}, but there are {num_pictures} pictures")
