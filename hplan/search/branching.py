"""Search over sequences of discrete actions, step by step; shared prefixes are predicted once."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

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
class Layer:
    """The plans of one length, n for each of B starts; those of one parent lie side by side.

    Attributes:
        latents: (B, n, D) where they lead.
        origins: (B, n / A) their parents, in the layer before; None is all of them, in order.
        summed: (B, n) energies along the path; violated: (B, n) of the guard. None if not needed.
        left: (B, n) energy there; ends: (B, n) the score of ending there, infinite where a plan may
            not. None in layers where none ends.
    """

    latents: Tensor
    origins: Tensor | None = None
    summed: Tensor | None = None
    violated: Tensor | None = None
    left: Tensor | None = None
    ends: Tensor | None = None

    def of(self, rows: Tensor) -> "Layer":
        """Those of some of the starts."""
        return Layer(**{name: _taken(value, rows) for name, value in vars(self).items()})


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
    rows = torch.arange(len(problem.z), device=problem.z.device)
    choices = torch.eye(problem.model.num_actions, dtype=problem.z.dtype, device=problem.z.device)
    layers, finished, order = [Layer(latents=problem.z.unsqueeze(1))], [], []
    kept, lowest, num_rows, every = None, None, 0, needs_every_step(problem, config)
    for depth in range(1, config.horizon + 1):
        layer = _grown(problem, layers[-1], kept, choices)
        size, kept = layer.latents.shape[1], None
        num_rows += size
        last = depth == config.horizon or problem.is_late
        pruned = width is not None and size > width and not last
        if pruned or last or every:
            layer, scores = _judged(problem, config, layer, depth, last)
            kept = scores.topk(width, dim=1, largest=False).indices if pruned else None
        layers.append(layer)
        if last:
            break
        if config.converged > 0 and every:
            least = layer.ends.amin(1)
            lowest = least if lowest is None else torch.minimum(lowest, least)
            done = lowest <= problem.cost * (depth + 1)
            if done.any():
                ended, going = done.nonzero().squeeze(1), (~done).nonzero().squeeze(1)
                finished.append(_result(config, [x.of(ended) for x in layers], choices, num_rows))
                order.append(rows[ended])
                rows, problem, lowest = rows[going], problem.of(going), lowest[going]
                layers, kept = [x.of(going) for x in layers], _taken(kept, going)
        if not len(rows):
            return concatenated(finished).of(torch.cat(order).argsort())
    finished.append(_result(config, layers, choices, num_rows))
    if len(finished) == 1:
        return finished[0]
    return concatenated(finished).of(torch.cat([*order, rows]).argsort())


def _grown(problem: Problem, parents: Layer, kept: Tensor | None, choices: Tensor) -> Layer:
    """What every action leads to from the plans `parents`, or from those that `kept` names."""
    batch_size, size, width = parents.latents.shape
    num_actions = len(choices)
    if kept is None:
        latents = parents.latents.unsqueeze(2).expand(-1, -1, num_actions, -1)
        latents = latents.reshape(batch_size, size * num_actions, width)
    else:
        first = torch.arange(0, batch_size * size, size, device=kept.device).unsqueeze(1)
        rows = (kept + first).flatten().repeat_interleave(num_actions)
        size = kept.shape[1]
        latents = parents.latents.flatten(0, 1).index_select(0, rows)
        latents = latents.view(batch_size, size * num_actions, width)
    actions = choices.expand(size, -1, -1).reshape(1, size * num_actions, num_actions)
    latents = problem.model.predict(latents, actions.expand(batch_size, -1, -1))
    violated = None if problem.guard is None else problem.guard(latents)
    if parents.violated is not None:
        violated = violated + _inherited(parents.violated, kept, num_actions)
    summed = parents.summed
    if summed is not None:
        summed = _inherited(summed, kept, num_actions)
    return Layer(latents=latents, origins=kept, summed=summed, violated=violated)


def _inherited(values: Tensor, kept: Tensor | None, num_actions: int) -> Tensor:
    """(B, n) of the parents, for each of their children."""
    values = values if kept is None else values.gather(1, kept)
    return values.repeat_interleave(num_actions, dim=1)


def _judged(
    problem: Problem, config: PlannerConfig, layer: Layer, depth: int, last: bool
) -> tuple[Layer, Tensor]:
    """`layer` with its energies and ends, and the scores (B, n) by which its plans are ranked."""
    left, summed = problem.energy(layer.latents), None
    judged = left
    if config.judged == "path":
        summed = left if layer.summed is None else layer.summed + left
        judged = summed / depth
    scores = plan_scores(judged, spent=problem.cost * depth, violated=layer.violated)
    ends = scores
    if not last and (problem.arrival < torch.inf or layer.violated is not None):
        ends = scores.masked_fill(is_barred(problem, left, layer.violated), torch.inf)
    return replace(layer, left=left, summed=summed, ends=ends), scores


def _result(
    config: PlannerConfig, layers: list[Layer], choices: Tensor, num_rows: int
) -> SearchResult:
    """The best plans that end in one of `layers`, found by going back from there to the root."""
    judged = [layer for layer in layers if layer.ends is not None]
    score, best = torch.cat([layer.ends for layer in judged], dim=1).min(dim=1)
    left = _at(torch.cat([layer.left for layer in judged], dim=1), best)
    violation = torch.zeros_like(score)
    if judged[-1].violated is not None:
        violation = _at(torch.cat([layer.violated for layer in judged], dim=1), best)
    # Where in `best` the plans of each length begin; those of lengths not judged are nowhere.
    sizes = [0 if layer.ends is None else layer.ends.shape[1] for layer in layers[1:]]
    first = torch.tensor([0, *sizes[:-1]], device=best.device).cumsum(0)
    nonempty = torch.tensor(sizes, device=best.device) > 0
    lengths = torch.arange(1, len(sizes) + 1, device=best.device)
    num_steps = (lengths * ((best.unsqueeze(1) >= first) & nonempty)).amax(1)
    node = best - first[num_steps - 1]

    everyone = torch.arange(len(best), device=best.device)
    within = lengths <= num_steps.unsqueeze(1)
    path, nodes = [], []
    # Layers never get smaller, so that `node` names some plan in those beyond its end as well.
    for layer, inside in zip(layers[:0:-1], reversed(within.unbind(1)), strict=True):
        path.append(layer.latents[everyone, node])
        nodes.append(node)
        parent = node // len(choices)
        if layer.origins is not None:
            parent = layer.origins[everyone, parent]
        node = torch.where(inside, parent, node)
    # A plan that ends before the horizon goes on with action 0, which nobody is to carry out.
    numbers = torch.stack(nodes[::-1], dim=1) % len(choices) * within
    actions = choices[F.pad(numbers, (0, config.horizon - len(path)))]
    start = layers[0].latents[:, 0]
    missing = [start] * (config.horizon - len(path))
    latents = torch.stack([start, *reversed(path), *missing], dim=1)
    return SearchResult(
        actions=actions,
        macro_actions=actions,
        latents=repeat_after(latents, num_steps),
        num_steps=num_steps,
        score=score,
        left=left,
        violation=violation,
        evaluations=torch.full_like(num_steps, num_rows),
    )


def _at(values: Tensor, chosen: Tensor) -> Tensor:
    """(B,) the one of `values` (B, n) that `chosen` (B,) names."""
    return values.gather(1, chosen.unsqueeze(1)).squeeze(1)


def _taken(values: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if values is None else values[rows]
