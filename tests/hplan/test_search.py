"""What every search must do: plans, scores and shapes, on worlds that are known by heart."""

from dataclasses import replace

import pytest
import torch

from hplan.search import (
    CONTINUOUS_SEARCHES,
    DISCRETE_SEARCHES,
    SEARCHES,
    check_options,
    find_search,
)
from hplan.search.beam import beam
from hplan.search.problem import FORBIDDEN, concatenated, repeat_after
from hplan.search.tree import tree
from tests.hplan.line_world import noise
from tests.hplan.search_problems import (
    ARRIVAL,
    CONFIG,
    STRIDE,
    WIDTH,
    Band,
    H,
    Windy,
    assert_same,
    bent_level,
    found,
    line_problem,
    problem_on,
)

B = 2
SAMPLING = [name for name in SEARCHES if name not in ("tree", "beam")]


@pytest.mark.parametrize("name", DISCRETE_SEARCHES)
def test_a_reachable_goal_is_reached_in_as_few_actions_as_can_be(name):
    goals = torch.arange(-H, H + 1.0)
    result = found(name, line_problem(name, *goals))
    assert (result.left == 0).all()
    # Where it already is at the goal, a plan still has one step.
    assert torch.equal(result.num_steps, goals.abs().long().clamp(min=1))
    assert torch.equal(result.score, goals.abs().clamp(min=1))
    after = torch.arange(H + 1) >= result.num_steps.unsqueeze(1)
    assert (result.latents[..., 0] == goals.unsqueeze(1))[after].all()


@pytest.mark.parametrize("name", CONTINUOUS_SEARCHES)
def test_macro_actions_that_lead_to_the_goal_are_found(name):
    goals = torch.tensor([-9.0, -2.0, 0.5, 3.0, 11.0])
    result = found(name, line_problem(name, *goals))
    assert (result.left <= ARRIVAL * STRIDE).all()
    # No step is longer than 2.5, and none that is not needed is taken.
    assert result.num_steps.tolist() == [4, 1, 1, 2, 5]


@pytest.mark.parametrize("name", SEARCHES)
def test_a_plan_ends_before_its_horizon_on_arrival_alone(name):
    goals = torch.linspace(-8, 8, 17) * (1 if name in DISCRETE_SEARCHES else 2)
    result = found(name, line_problem(name, *goals))
    early = result.num_steps < H
    assert 0 < early.sum() < len(goals)
    stride = 1 if name in DISCRETE_SEARCHES else STRIDE
    assert (result.left[early] <= ARRIVAL * stride).all()
    assert (result.num_steps >= 1).all() and (result.num_steps <= H).all()


@pytest.mark.parametrize("name", SEARCHES)
def test_no_plan_ends_early_where_nothing_counts_as_arrival(name):
    result = found(name, line_problem(name, 1.0, -2.0, arrival=-1.0))
    assert result.num_steps.tolist() == [H, H]
    assert (result.left < 1.0).all()


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("judged", ["end", "path"])
@pytest.mark.parametrize("arrival", [-1.0, 0.3, torch.inf])
def test_the_score_is_what_the_plan_itself_amounts_to(name, judged, arrival):
    guard = Band(middle=1.0, half=0.7)
    problem = line_problem(name, 1.0, -3.0, 40.0, arrival=arrival, guard=guard)
    config = replace(CONFIG, judged=judged, action_cost=0.5)
    result = found(name, problem, config=config)
    taken = torch.arange(H) < result.num_steps.unsqueeze(1)
    at, path = problem.z, []
    for h in range(H):
        after = problem.model.predict(at, result.macro_actions[:, h])
        at = torch.where(taken[:, h : h + 1], after, at)
        path.append(at)
    path = torch.stack(path, dim=1)
    assert torch.allclose(path, result.latents[:, 1:], atol=1e-5)
    assert torch.equal(problem.z, result.latents[:, 0])

    energy = problem.energy(path)
    left = energy[:, -1]
    mean = (energy * taken).sum(1) / result.num_steps
    violation = (guard(path) * taken).sum(1)
    effort = 0.0
    if name in CONTINUOUS_SEARCHES:
        effort = 0.5 * problem.cost * (result.actions.square().mean(-1) * taken).sum(1)
    score = problem.cost * result.num_steps + (left if judged == "end" else mean)
    score = score + effort + FORBIDDEN * violation
    assert torch.allclose(result.left, left, atol=1e-4)
    assert torch.allclose(result.violation, violation, atol=1e-5)
    assert torch.allclose(result.score, score, atol=1e-3, rtol=1e-4)
    early = result.num_steps < H
    assert (result.left[early] <= arrival).all() and (result.violation[early] == 0).all()


@pytest.mark.parametrize("name", DISCRETE_SEARCHES)
def test_the_latents_of_a_plan_are_those_of_its_actions(name):
    level, z = bent_level(), torch.randn(B, WIDTH, generator=noise())
    result = found(name, problem_on(level, z, z + 1, arrival=torch.inf, cost=0.5))
    at, latents = z, [z]
    for h in range(H):
        after = level.predict(at, result.actions[:, h])
        at = torch.where((h < result.num_steps).unsqueeze(1), after, at)
        latents.append(at)
    assert torch.allclose(torch.stack(latents, dim=1), result.latents, atol=1e-5)
    assert torch.equal(result.actions, result.macro_actions)


@pytest.mark.parametrize("name", SEARCHES)
def test_each_start_has_a_model_and_an_energy_of_its_own(name):
    discrete = name in DISCRETE_SEARCHES
    wind = torch.tensor([0.0, 2.0, -1.0]).view(3, 1, 1)
    problem = line_problem(name, 3.0, 3.0, -3.0)
    problem = replace(problem, model=Windy(wind, num_actions=3 * discrete))
    result = found(name, problem, config=replace(CONFIG, converged=0.1, num_iterations=19))
    assert (result.left <= ARRIVAL * STRIDE).all()
    moves = result.macro_actions
    moves = moves[..., 2:] - moves[..., :1] if discrete else moves
    taken = (torch.arange(H) < result.num_steps.unsqueeze(1)).unsqueeze(2)
    assert torch.allclose(((moves + wind) * taken).sum(1), result.latents[:, -1], atol=1e-5)
    assert result.num_steps.tolist() == [3, 1, 2] or not discrete


@pytest.mark.parametrize("name", SAMPLING)
def test_the_same_seed_gives_the_same_plan_and_another_seed_another(name):
    problem = line_problem(name, 9.0, -30.0, arrival=0.0)
    if name in DISCRETE_SEARCHES:
        z, goal = torch.randn(2, B, WIDTH, generator=noise())
        problem = problem_on(bent_level(), z, goal)
    few = replace(CONFIG, num_candidates=11, max_candidates=11, num_elites=5, num_iterations=2)
    first, again, other = (found(name, problem, config=few, seed=seed) for seed in (0, 0, 1))
    assert_same(first, again)
    assert not torch.equal(first.actions, other.actions)


def test_latents_repeat_after_the_end_of_a_plan():
    latents = torch.arange(2 * 4 * 3.0).view(2, 4, 3)
    repeated = repeat_after(latents, torch.tensor([1, 3]))
    assert torch.equal(repeated[0], latents[0, [0, 1, 1, 1]])
    assert torch.equal(repeated[1], latents[1])


def test_results_of_several_searches_are_joined():
    problem = line_problem("tree", 2.0, 1.0, -5.0)
    parts = [found("tree", problem.of(torch.tensor(rows))) for rows in ([0, 1], [2])]
    assert_same(concatenated(parts), found("tree", problem))
    assert concatenated(parts[:1]) is parts[0]


def test_searches_are_named_and_one_of_your_own_is_imported():
    assert {find_search(name) for name in SEARCHES} == set(SEARCHES.values())
    assert set(SEARCHES) == {*DISCRETE_SEARCHES, *CONTINUOUS_SEARCHES}
    assert find_search("hplan.search.tree.tree") is tree and SEARCHES["beam"] is beam
    with pytest.raises(ValueError, match=r"planner.search = 'bean' is unknown; known: beam"):
        find_search("bean")


def test_options_are_those_of_the_search():
    check_options("icem", {"colour": 2.0, "decay": 1.3})
    check_options("tree", {})
    with pytest.raises(ValueError, match=r"planner.search_options.colour .*'cem'.*: std, least_st"):
        check_options("cem", {"std": 1.0, "colour": 2.0})
    with pytest.raises(ValueError, match=r"search_options.std .*'tree'; it takes none"):
        check_options("tree", {"std": 1.0})
    check_options("tests.hplan.test_search.takes_anything", {"whatever": 1.0})


def takes_anything(problem, *, config, warm_start, generator, **options):
    """A search of a user's own."""


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_that_does_not_fit_the_actions_is_refused(name):
    other = "cem" if name in DISCRETE_SEARCHES else "tree"
    what = "discrete actions" if name in DISCRETE_SEARCHES else "continuous actions"
    with pytest.raises(ValueError, match=rf"planner.search.* needs {what}"):
        found(name, line_problem(other, 1.0))
