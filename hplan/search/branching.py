"""Search over sequences of discrete actions, step by step; shared prefixes are predicted once."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hplan.level_config import PlannerConfig
from hplan.search.execution import lean
from hplan.search.problem import (
    Problem,
    SearchResult,
    concatenated,
    is_barred,
    needs_every_step,
    plan_scores,
    repeat_after,
)


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """The plans of one length, n for each of B starts; those of one parent lie side by side.

    Attributes:
        latents: (B, n, D) where they lead.
        origins: (B, n / A) their parents, among the nodes one step shorter; None is all of them.
        summed: (B, n) energies along the path; violated: (B, n) of the guard. None if not needed.
    """

    latents: Tensor
    origins: Tensor | None
    summed: Tensor | None
    violated: Tensor | None

    def of(self, rows: Tensor) -> "Nodes":
        """Those of some of the starts."""
        return Nodes(**{name: _taken(value, rows) for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Ends:
    """The node at which the best plan so far ends, for B starts, and what is known of it.

    Attributes:
        num_steps: (B,) its length; node: (B,) which of that length; score, left, violation: (B,).
    """

    num_steps: Tensor
    node: Tensor
    score: Tensor
    left: Tensor
    violation: Tensor

    def of(self, rows: Tensor) -> "Ends":
        """Those of some of the starts."""
        return Ends(**{name: value[rows] for name, value in vars(self).items()})


@lean
def branched(problem: Problem, config: PlannerConfig, *, width: int | None) -> SearchResult:
    """The best of the plans that go on, at each step, from the `width` best of one step less.

    With `config.converged` above 0 a start is done as soon as its score is no more than the steps
    of any longer plan cost, so that none can be better. After the deadline the plans so far are
    judged as if theirs had been the horizon.

    Args:
        width: None is all, an exact search.
    """
    if not problem.model.num_actions:
        raise ValueError("planner.search = 'tree' or 'beam' needs discrete actions")
    rows = torch.arange(problem.z.shape[0], device=problem.z.device)
    nodes = [Nodes(latents=problem.z.unsqueeze(1), origins=None, summed=None, violated=None)]
    finished, order, best, kept, num_rows = [], [], None, None, 0
    for depth in range(1, config.horizon + 1):
        nodes.append(_children(problem, nodes[-1], kept))
        size = nodes[-1].latents.shape[1]
        num_rows += size
        last = depth == config.horizon or problem.is_late
        pruned, kept = width is not None and size > width and not last, None
        if pruned or last or needs_every_step(problem, config):
            left = problem.energy(nodes[-1].latents)
            nodes[-1], scores = _judged(problem, config, nodes[-1], left, depth)
            best = _better(problem, nodes[-1], left, scores, depth, last, best)
            kept = scores.topk(width, dim=1, largest=False).indices if pruned else None
        if last:
            break
        if config.converged > 0 and best is not None:
            done = best.score <= problem.cost * (depth + 1)
            if done.any():
                ended, going = done.nonzero().squeeze(1), (~done).nonzero().squeeze(1)
                paths = [layer.of(ended) for layer in nodes]
                finished.append(_finished(problem, config, paths, best.of(ended), num_rows))
                order.append(rows[ended])
                rows, problem, best = rows[going], problem.of(going), best.of(going)
                nodes, kept = [layer.of(going) for layer in nodes], _taken(kept, going)
        if not len(rows):
            return concatenated(finished).of(torch.cat(order).argsort())
    finished.append(_finished(problem, config, nodes, best, num_rows))
    if len(finished) == 1:
        return finished[0]
    return concatenated(finished).of(torch.cat([*order, rows]).argsort())


def _children(problem: Problem, parents: Nodes, kept: Tensor | None) -> Nodes:
    """What every action leads to from the plans `parents`, or from those that `kept` names."""
    num_actions = problem.model.num_actions
    if kept is not None:
        parents = Nodes(
            latents=parents.latents.gather(
                1, kept.unsqueeze(-1).expand(-1, -1, problem.z.shape[1])
            ),
            origins=None,
            summed=None if parents.summed is None else parents.summed.gather(1, kept),
            violated=None if parents.violated is None else parents.violated.gather(1, kept),
        )
    batch_size, size, width = parents.latents.shape
    shape = (batch_size, size * num_actions)
    actions = torch.eye(num_actions, dtype=problem.z.dtype, device=problem.z.device)
    latents = problem.model.predict(
        parents.latents.unsqueeze(2).expand(-1, -1, num_actions, -1).reshape(*shape, width),
        actions.expand(batch_size, size, -1, -1).reshape(*shape, num_actions),
    )
    violated = None
    if problem.guard is not None:
        violated = problem.guard(latents)
        if parents.violated is not None:
            violated = violated + parents.violated.repeat_interleave(num_actions, dim=1)
    summed = parents.summed
    if summed is not None:
        summed = summed.repeat_interleave(num_actions, dim=1)
    return Nodes(latents=latents, origins=kept, summed=summed, violated=violated)


def _judged(
    problem: Problem, config: PlannerConfig, nodes: Nodes, left: Tensor, depth: int
) -> tuple[Nodes, Tensor]:
    """`nodes` with their energies `left` (B, n) summed up, and the scores (B, n) of ending."""
    judged = left
    if config.judged == "path":
        summed = left if nodes.summed is None else nodes.summed + left
        nodes, judged = replace(nodes, summed=summed), summed / depth
    spent = problem.cost * depth
    return nodes, plan_scores(judged, spent=spent, violated=nodes.violated)


def _better(
    problem: Problem,
    nodes: Nodes,
    left: Tensor,
    scores: Tensor,
    depth: int,
    last: bool,
    best: Ends | None,
) -> Ends:
    """The best plan that ends at one of `nodes`, where it may, or `best` where that is no worse."""
    if not last:
        scores = scores.masked_fill(is_barred(problem, left, nodes.violated), torch.inf)
    score, node = scores.min(dim=1)
    violated = torch.zeros_like(scores) if nodes.violated is None else nodes.violated
    found = Ends(
        num_steps=torch.full_like(node, depth),
        node=node,
        score=score,
        left=left.gather(1, node.unsqueeze(1)).squeeze(1),
        violation=violated.gather(1, node.unsqueeze(1)).squeeze(1),
    )
    if best is None:
        return found
    wins = found.score < best.score
    return Ends(
        **{name: torch.where(wins, value, vars(best)[name]) for name, value in vars(found).items()}
    )


def _finished(
    problem: Problem, config: PlannerConfig, nodes: list[Nodes], best: Ends, num_rows: int
) -> SearchResult:
    """The plans that end at `best`, found by going back from there to the root `nodes[0]`."""
    num_actions, rows = problem.model.num_actions, torch.arange(len(best.node))
    rows, node = rows.to(best.node.device), best.node
    # A plan that ends before the horizon goes on with action 0, which nobody is to carry out.
    numbers = torch.zeros(len(node), config.horizon, dtype=torch.long, device=node.device)
    latents = [nodes[0].latents[:, 0]] * (config.horizon + 1)
    for depth in range(len(nodes) - 1, 0, -1):
        within = depth <= best.num_steps
        at = node * within
        numbers[:, depth - 1] = at % num_actions
        latents[depth] = nodes[depth].latents[rows, at]
        parent, origins = at // num_actions, nodes[depth].origins
        if origins is not None:
            parent = origins[rows, parent]
        node = torch.where(within, parent, node)
    actions = torch.eye(num_actions, dtype=problem.z.dtype, device=node.device)[numbers]
    return SearchResult(
        actions=actions,
        macro_actions=actions,
        latents=repeat_after(torch.stack(latents, dim=1), best.num_steps),
        num_steps=best.num_steps,
        score=best.score,
        left=best.left,
        violation=best.violation,
        evaluations=torch.full_like(node, num_rows),
    )


def _taken(values: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if values is None else values[rows]
