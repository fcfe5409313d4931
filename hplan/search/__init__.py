"""Search methods by name; each is one function with the signature of `hplan.search.result`."""

from collections.abc import Callable

from hplan.names import find_class
from hplan.search.cem import categorical_cem, cem
from hplan.search.result import SearchResult
from hplan.search.tree import tree

SEARCHES: dict[str, Callable[..., SearchResult]] = {
    "tree": tree,
    "categorical_cem": categorical_cem,
    "cem": cem,
}


def find_search(name: str) -> Callable[..., SearchResult]:
    """The search called `name`, or the function at that import path; ValueError for neither."""
    return find_class(name, SEARCHES, "hierarchy.level.planner.search")
