"""Search methods by name; each is one function with the signature of `hplan.search.problem`."""

import inspect
from collections.abc import Callable, Iterable

from hplan.names import find_class
from hplan.search.beam import beam
from hplan.search.categorical_cem import categorical_cem
from hplan.search.cem import cem
from hplan.search.gradient import gradient
from hplan.search.icem import icem
from hplan.search.mppi import mppi
from hplan.search.predictive_sampling import predictive_sampling
from hplan.search.problem import SearchResult
from hplan.search.tree import tree

Search = Callable[..., SearchResult]
DISCRETE = {"tree": tree, "beam": beam, "categorical_cem": categorical_cem}
CONTINUOUS = {
    "cem": cem,
    "icem": icem,
    "mppi": mppi,
    "predictive_sampling": predictive_sampling,
    "gradient": gradient,
}
SEARCHES: dict[str, Search] = DISCRETE | CONTINUOUS
DISCRETE_SEARCHES = tuple(DISCRETE)
CONTINUOUS_SEARCHES = tuple(CONTINUOUS)
GIVEN = ("config", "warm_start", "generator")  # what every search takes beside its problem


def find_search(name: str) -> Search:
    """The search called `name`, or the function at that import path; ValueError for neither."""
    return find_class(name, SEARCHES, "hierarchy.level.planner.search")


def check_options(name: str, options: Iterable[str]) -> None:
    """Refuses keywords that the search `name` does not take.

    Raises:
        ValueError: an unknown search, or an option that it does not know.
    """
    parameters = inspect.signature(find_search(name)).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [
        parameter.name
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in GIVEN
    ]
    for option in options:
        if option not in known:
            allowed = f"allowed: {', '.join(known)}" if known else "it takes none"
            raise ValueError(
                f"planner.search_options.{option} is unknown to planner.search = {name!r}; "
                f"{allowed}"
            )
