"""Work: what is counted, when a search stops, and who gets more of it."""

from dataclasses import replace
from importlib import import_module

import pytest
import torch

from hplan.search import CONTINUOUS_SEARCHES, DISCRETE_SEARCHES, SEARCHES
from tests.hplan.line_world import noise
from tests.hplan.search_problems import (
    ADAPTIVE,
    CONFIG,
    NUM_ACTIONS,
    H,
    assert_same,
    found,
    line_problem,
    predicted,
    rows_of,
)

SAMPLING_MODULE = import_module("hplan.search.sampling")
SAMPLING = [name for name in SEARCHES if name not in ("tree", "beam")]
DRAWING = [name for name in SAMPLING if name != "gradient"]
N, PAST = CONFIG.num_candidates, 0.0


@pytest.mark.parametrize("name", SAMPLING)
def test_without_a_limit_all_rounds_are_gone_through(name):
    problem = line_problem(name, 2.0, 9.0)
    with predicted(problem.model) as calls:
        result = found(name, problem, config=CONFIG)
    assert result.evaluations.tolist() == [N * H * 5] * 2
    assert rows_of(calls) == result.evaluations.sum()
    assert len(calls) == H * 5


@pytest.mark.parametrize("name", SAMPLING)
def test_a_hard_start_gets_more_rounds_than_an_easy_one(name):
    hard = 5.0 if name in DISCRETE_SEARCHES else 11.7
    problem = line_problem(name, 0.0, hard, 1.0)
    config = replace(ADAPTIVE, num_candidates=7, num_elites=3, max_candidates=53)
    with predicted(problem.model) as calls:
        result = found(name, problem, config=config)
    assert rows_of(calls) == result.evaluations.sum()
    assert result.evaluations[1] > result.evaluations[0]
    all_rounds = found(name, problem, config=replace(config, converged=0.0)).evaluations
    assert result.evaluations[0] < all_rounds[0]


@pytest.mark.parametrize("name", SAMPLING)
@pytest.mark.parametrize("arrival", [-1.0, 0.1])
def test_a_plan_as_good_as_expected_is_not_improved(name, arrival):
    """The first of two equal starts expects no more than it finds at once, the other the moon."""
    problem = line_problem(name, 2.0, 2.0, arrival=arrival)
    once = found(name, problem, config=replace(ADAPTIVE, num_iterations=1))
    expected = torch.tensor([once.score[0].item(), -1e3])
    result = found(name, replace(problem, expected=expected), config=ADAPTIVE)
    assert result.evaluations[0] == N * H < result.evaluations[1]
    assert torch.equal(result.actions[0], once.actions[0])


@pytest.mark.parametrize("name", DRAWING)
def test_each_round_doubles_the_candidates_up_to_their_limit(name):
    problem = line_problem(name, 9.0)
    for converged in (0.0, 1e-9):
        config = replace(ADAPTIVE, num_candidates=53, converged=converged)
        with predicted(problem.model) as calls:
            found(name, replace(problem, arrival=-1.0), config=config)
        sizes = [z.shape[1] for z, _ in calls[::H]]
        assert sizes == [53, 106, 212, 401, 401][: len(sizes)]
        assert len(sizes) == 5 or converged


def test_candidates_may_decay():
    problem = line_problem("icem", 9.0)
    with predicted(problem.model) as calls:
        found("icem", problem, decay=2.0)
    assert [z.shape[1] for z, _ in calls[::H]] == [
        127,
        63,
        31,
        26,
        26,
    ]  # twice the elites, at least


@pytest.mark.parametrize("name", CONTINUOUS_SEARCHES)
def test_a_perfect_warm_start_takes_one_round(name):
    problem = line_problem(name, 6.0)
    warm = torch.tensor([2.0, 2.0, 2.0, 0.0, 0.0]).view(1, H, 1)
    result = found(name, problem, config=ADAPTIVE, warm_start=warm)
    assert result.evaluations.tolist() == [N * H]
    assert torch.equal(result.actions, warm)
    assert (result.num_steps.item(), result.left.item()) == (3, 0)
    cold = found(name, problem, config=ADAPTIVE)
    assert cold.evaluations.item() >= 2 * N * H


def test_a_perfect_warm_start_of_actions_takes_one_round():
    problem = line_problem("categorical_cem", 3.0)
    warm = torch.eye(NUM_ACTIONS)[[2, 2, 2, 0, 0]].unsqueeze(0)
    result = found("categorical_cem", problem, config=ADAPTIVE, warm_start=warm)
    assert result.evaluations.tolist() == [N * H] and result.num_steps.item() == 3
    unknown = found("categorical_cem", problem, config=ADAPTIVE, warm_start=0 * warm)
    assert unknown.num_steps.item() == 3


@pytest.mark.parametrize("name", CONTINUOUS_SEARCHES)
def test_a_warm_start_is_the_first_candidate(name):
    problem = line_problem(name, 6.0)
    warm = torch.tensor([2.0, 2.0, 2.0, 0.0, 0.0]).view(1, H, 1)
    few = replace(CONFIG, num_candidates=3, max_candidates=3, num_elites=2, num_iterations=1)
    result = found(name, problem, config=few, warm_start=warm)
    assert torch.equal(result.actions, warm)
    assert (result.num_steps.item(), result.left.item()) == (3, 0)
    assert found(name, problem, config=few).left > 1


@pytest.mark.parametrize("name", SAMPLING)
def test_a_plan_once_found_is_not_lost(name):
    problem = line_problem(name, 11.3, -4.2, arrival=-1.0)
    few = replace(CONFIG, num_candidates=17, max_candidates=17)
    scores = [
        found(name, problem, config=replace(few, num_iterations=rounds)).score
        for rounds in (1, 2, 3, 7)
    ]
    for before, after in zip(scores, scores[1:], strict=False):
        assert (after <= before + 1e-4).all()
    assert (scores[-1] < scores[0]).any() or name == "categorical_cem"


@pytest.mark.parametrize("name", SEARCHES)
def test_after_the_deadline_the_plan_so_far_is_given(name):
    problem = line_problem(name, 2.0, -9.0)
    late = found(name, replace(problem, deadline=PAST), config=ADAPTIVE)
    if name == "tree":
        assert late.evaluations.tolist() == [3, 3]
        assert late.num_steps.tolist() == [1, 1] and late.latents[:, -1, 0].tolist() == [1, -1]
    elif name == "beam":
        assert_same(late, found(name, problem, config=replace(ADAPTIVE, max_candidates=N)))
    else:
        assert late.evaluations.tolist() == [N * H] * 2
        one = replace(ADAPTIVE, num_iterations=1)
        assert_same(late, found(name, problem, config=one))
    in_time = found(name, replace(problem, deadline=float("inf")), config=ADAPTIVE)
    assert_same(in_time, found(name, problem, config=ADAPTIVE))


@pytest.mark.parametrize("name", SAMPLING)
@pytest.mark.parametrize("is_warm", [False, True])
def test_starts_are_planned_for_as_each_alone_given_their_noise(name, is_warm, monkeypatch):
    """The noise of a batch is one block, so here each start is given its share of it."""
    goals = (0.0, 5.0, -1.0) if name in DISCRETE_SEARCHES else (0.5, 11.7, -6.0)
    problem = line_problem(name, *goals)
    config = replace(ADAPTIVE, num_candidates=7, num_elites=3, max_candidates=53)
    width = NUM_ACTIONS if name in DISCRETE_SEARCHES else 1
    warm = torch.eye(NUM_ACTIONS)[0].expand(3, H, -1) if width > 1 else torch.ones(3, H, 1)
    block = torch.randn(config.num_iterations, 3, 53, H, generator=noise())

    def planned(rows):
        draws = iter(block[:, rows])
        monkeypatch.setattr(
            SAMPLING_MODULE, "_noise", lambda shape, generator: next(draws)[:, : shape[1]].clone()
        )
        start = warm[rows] if is_warm else None
        return found(name, problem.of(rows), config=config, warm_start=start)

    whole = planned(torch.arange(3))
    assert len(whole.evaluations.unique()) > 1  # not all stop at once
    for b in range(3):
        assert_same(planned(torch.tensor([b])), whole.of(torch.tensor([b])))
