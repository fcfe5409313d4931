"""Transitions that surprised the agent override what its model predicts, there and nowhere else."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from hplan.agent import Agent
from hplan.agent_state import taught
from hplan.config import AgentConfig
from hplan.corrections import WIDER, WIDEST, CorrectedLevel, no_corrections
from tests.hplan.line_world import line_configs, line_stack

B, D, A, M = 2, 1, 3, 5
RADIUS = 0.01


def level():
    return line_stack()[0]


def taken(row, start, action):
    """One env step in one environment."""
    actions = F.one_hot(torch.full((B,), action), A).float()
    return torch.tensor([row]), torch.full((B, D), float(start)), actions


def corrected(*surprises, times=1, confirmed=1):
    """A line world's bottom level after `surprises` (row, start, action, end), `times` each."""
    known = no_corrections(
        torch.zeros(B, D), torch.zeros(B, A), M, radius=RADIUS, confirmed=confirmed
    )
    for row, start, action, end in surprises:
        for _ in range(times):
            end_z = torch.full((B, D), float(end))
            known = known.with_surprise(*taken(row, start, action), end_z)
    return CorrectedLevel(level(), known)


def predictions(model, start):
    """(B, A, D) from `start` under each action."""
    return model.predict(torch.full((B, A, D), float(start)), torch.eye(A).expand(B, -1, -1))


def test_without_surprises_nothing_changes():
    model = corrected()
    for start in (-3.0, 0.0, 2.0):
        assert torch.equal(
            predictions(model, start),
            predictions(CorrectedLevel(level(), model.corrections), start),
        )
        plain = level().predict(torch.full((B, A, D), start), torch.eye(A).expand(B, -1, -1))
        assert torch.equal(predictions(model, start), plain)


def test_what_surprised_once_may_have_been_chance():
    plain, surprise = corrected(), (1, 2.0, 0, 7.0)
    for confirmed in (1, 2, 3):
        for times in (1, 2, 3):
            model = corrected(surprise, times=times, confirmed=confirmed)
            follows = not torch.equal(predictions(model, 2.0), predictions(plain, 2.0))
            assert follows == (times >= confirmed)


STEPS = [(1, 2.0, 0), (1, 5.0, 0), (1, 2.0, 1), (0, 2.0, 0)]


def ended(end):
    return torch.full((B, D), float(end))


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_ends_elsewhere_clears_up_what_was_chance_there_and_nothing_else(step):
    once = corrected((1, 2.0, 0, 7.0), confirmed=2).corrections
    known = once.tried_again(*taken(*step), ended(3.0))
    again = known.with_surprise(*taken(1, 2.0, 0), ended(7.0))
    after = predictions(CorrectedLevel(level(), again), 2.0)[1, 0]
    assert (after == 7.0) == (step != (1, 2.0, 0))
    twice = corrected((1, 2.0, 0, 7.0), times=2, confirmed=2).corrections
    kept = CorrectedLevel(level(), twice.tried_again(*taken(*step), ended(3.0)))
    assert predictions(kept, 2.0)[1, 0] == 7.0, "what is confirmed stays"


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_ends_there_again_confirms_though_it_was_predicted(step):
    """A plan's first step may be predicted rightly and its second wrongly, again and again."""
    once = corrected((1, 2.0, 0, 7.0), confirmed=2).corrections
    known = once.tried_again(*taken(*step), ended(7.0))
    after = predictions(CorrectedLevel(level(), known), 2.0)[1, 0]
    assert (after == 7.0) == (step == (1, 2.0, 0))


def test_an_empty_memory_confirms_nothing():
    nothing = corrected(confirmed=2).corrections
    known = nothing.tried_again(*taken(0, 0.0, 0), ended(0.0))
    assert not known.times.any(), "the zeros of an empty memory are no transition"


@pytest.mark.parametrize(("end", "is_followed"), [(7.0, True), (3.0, False)])
def test_the_agent_learns_from_where_its_step_led(end, is_followed):
    settings = AgentConfig(confirmed=2)
    agent = Agent(
        levels=line_stack(), configs=line_configs(1), energy="distance", settings=settings
    )
    state = agent.start(B)
    actions = F.one_hot(torch.zeros(state.plans[0].actions.shape[:2], dtype=torch.long), A).float()
    plan = replace(state.plans[0], actions=actions, position=torch.full((B,), 2))
    state = replace(state, plans=[plan], last_latent=torch.full((B, D), 2.0))
    state = taught(state, torch.tensor([1]), ended(7.0))
    nobody = torch.tensor([], dtype=torch.long)
    known = taught(state, nobody, ended(end)).corrections
    after = predictions(CorrectedLevel(agent.levels[0], known), 2.0)[1, 0]
    assert (after == 7.0) == is_followed


def test_only_that_start_and_action_and_environment_change():
    plain, model = corrected(), corrected((1, 2.0, 0, 7.0))
    changed = predictions(model, 2.0) != predictions(plain, 2.0)
    expected = torch.zeros(B, A, D, dtype=torch.bool)
    expected[1, 0] = True
    assert torch.equal(changed, expected)
    assert predictions(model, 2.0)[1, 0] == 7.0
    assert torch.equal(predictions(model, 2.5), predictions(plain, 2.5))


def test_a_start_within_the_radius_counts_as_the_same():
    near, far = 2.0 + 0.9 * RADIUS**0.5, 2.0 + 1.1 * RADIUS**0.5
    model = corrected((0, 2.0, 1, 9.0))
    assert predictions(model, near)[0, 1] == 9.0
    assert predictions(model, far)[0, 1] != 9.0


def test_what_surprises_again_is_matched_more_widely_up_to_a_bound():
    """A search finds the plans whose predictions drift past a correction."""
    drifted = [2.0 + (0.9 * factor * RADIUS) ** 0.5 for factor in (1.0, WIDER, WIDER**2, WIDEST)]
    for times, met in ((1, 1), (2, 2), (3, 3), (9, 4)):
        model = corrected((0, 2.0, 1, 9.0), times=times)
        later = corrected((0, 2.0, 1, 9.0), times=times + 1, confirmed=2)
        assert torch.equal(predictions(later, drifted[1]), predictions(model, drifted[1]))
        assert [float(predictions(model, z)[0, 1]) == 9.0 for z in drifted] == [
            number < met for number in range(4)
        ]
    other = corrected((0, 2.0, 1, 9.0), (0, 2.0, 0, 9.0), (0, 5.0, 1, 9.0))
    assert predictions(other, drifted[1])[0, 1] != 9.0, "another action, another place"


def test_a_surprise_under_another_action_is_none_that_comes_again():
    drifted = 2.0 + (0.9 * WIDER * RADIUS) ** 0.5
    model = corrected((0, 2.0, 1, 9.0), (0, 2.0, 0, 9.0))
    assert predictions(model, 2.0)[0, 0] == 9.0
    assert predictions(model, drifted)[0, 0] != 9.0


def test_the_newest_of_two_contradictory_surprises_holds():
    model = corrected((0, 1.0, 2, 5.0), (0, 1.0, 2, 6.0))
    assert predictions(model, 1.0)[0, 2] == 6.0


def test_the_oldest_is_forgotten():
    model = corrected((0, 1.0, 2, 5.0), *[(0, 100.0 + i, 0, 0.0) for i in range(M)])
    assert torch.equal(predictions(model, 1.0), predictions(corrected(), 1.0))
