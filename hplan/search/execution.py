"""How a search is run: without autograd's bookkeeping, in memory that it has used before."""

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec

import torch

from hplan.search.problem import SearchResult

Arguments = ParamSpec("Arguments")
BLOCK = 2**24  # bytes: more than a round of a search takes


def lean(search: Callable[Arguments, SearchResult]) -> Callable[Arguments, SearchResult]:
    """`search`, run in inference mode; what it returns are ordinary tensors again."""

    @wraps(search)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> SearchResult:
        keep_freed_memory()
        with torch.inference_mode():
            result = search(*args, **kwargs)
        return SearchResult(**{name: value.clone() for name, value in vars(result).items()})

    return run


@cache
def keep_freed_memory() -> None:
    """Lets the C library keep what a search frees, for its next round; once is for good.

    Else it may hand memory at the end of its heap back to the system after every round, and take
    it again page by page, which costs several percent of a search. It keeps as much as the largest
    block that was ever freed, so one such block is freed here; nobody writes to it, so it costs
    neither memory nor time (glibc, mallopt(3), M_MMAP_THRESHOLD: the dynamic threshold).
    """
    torch.empty(BLOCK, dtype=torch.uint8)
