"""Guardrails: probes that tell the forbidden, functions of a user's own, and what is refused."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from hplan.energy import Energy
from hplan.guardrails import (
    FALSE_POSITIVE_RATE,
    FEWEST,
    Guardrail,
    build_guardrails,
    guard_at,
    trained_probe,
)
from hplan.level import encode_stack
from hplan.probe import calibrate, fitted, held_out_states
from tests.hplan.line_world import line_stack, noise, positions
from tests.hplan.stacks import tiny_config, tiny_stack, tiny_task

B, N, RATIO = 2, 11, 3
LOWEST, HIGHEST = 7, 19  # of the forbidden positions
FIRST, LAST = -41, 53  # of all
MARGIN = 3  # steps from the interval's ends within which a probe may say either


def _world():
    """Observations of all positions, and which are forbidden."""
    at = torch.arange(FIRST, LAST).float()
    return at[:, None, None, None], (at >= LOWEST) & (at <= HIGHEST)


def _stack():
    levels = line_stack(RATIO)
    for level in levels:
        level.rollout_error.fill_(1e-4)
    return levels


@pytest.fixture(scope="module")
def rail():
    return trained_probe("pit", _stack(), *_world(), 0)


@dataclass(frozen=True, kw_only=True)
class Pit:
    """A task that knows one kind of states."""

    labels: np.ndarray

    def labelled_states(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        if name != "pit":
            raise ValueError(f"task 'line' has no labelled states {name!r}; known there: pit.")
        return _world()[0].numpy(), self.labels


def beyond_ten(k, z):
    """A user's guardrail of the bottom alone: positions beyond 10."""
    return None if k else (z[..., 0] - 10).relu()


def above_two(k, z):
    """A user's guardrail of the level above alone."""
    return (z[..., 0] - 2).relu() if k else None


def falls(k, z):
    return -z.square().sum(-1)


def keeps_the_width(k, z):
    return z.abs()


def has_holes(k, z):
    return z[..., 0].sqrt()


def is_silent(k, z):
    return None


not_a_function = 7


@pytest.mark.parametrize("k", [0, 1])
def test_a_probe_knows_a_forbidden_interval_between_the_states_that_it_saw(rail, k):
    at = torch.linspace(FIRST, LAST - 1, 4 * (LAST - FIRST))
    violation = guard_at([rail], k)((at / RATIO**k)[None, :, None])[0]
    inside = (at > LOWEST + MARGIN) & (at < HIGHEST - MARGIN)
    outside = (at < LOWEST - MARGIN) | (at > HIGHEST + MARGIN)
    assert (violation[inside] > 0).all() and (violation[outside] == 0).all()


@pytest.mark.parametrize("k", [0, 1])
def test_no_forbidden_state_is_missed_and_few_held_out_safe_ones_are_refused(rail, k):
    obs, labels = _world()
    held_out = held_out_states(labels, 0)
    assert held_out[labels].sum() == round(0.2 * int(labels.sum()))
    assert held_out[~labels].sum() == round(0.2 * int((~labels).sum()))
    beyond = rail.by_level[k](encode_stack(_stack(), obs)[k]) > 0
    assert beyond[labels].all()
    assert beyond[held_out & ~labels].float().mean() < FALSE_POSITIVE_RATE


def test_a_violation_grows_with_the_certainty_and_shows_the_way_out(rail):
    z = torch.linspace(FIRST, LAST, N)[:, None].requires_grad_()
    probe = rail.by_level[0]
    violation, logit = probe(z), probe.logit(z)
    assert torch.equal(violation, (logit - probe.threshold).relu())
    assert probe.threshold <= 0  # what is more likely forbidden than not is never safe
    near_an_end = torch.tensor([[LOWEST + 1.5]], requires_grad=True)
    probe(near_an_end).sum().backward()
    assert near_an_end.grad.item() > 0


def test_a_probe_depends_on_its_seed_alone(rail):
    levels, state = _stack()[:1], torch.random.get_rng_state()
    again, other = (trained_probe("pit", levels, *_world(), seed).by_level[0] for seed in (0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    same = zip(rail.by_level[0].parameters(), again.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    assert not torch.equal(rail.by_level[0].first, other.first)


def test_noise_as_large_as_a_models_error_moves_the_border_but_not_the_middle():
    obs, labels = _world()
    held_out = held_out_states(labels, 0)
    z = obs.flatten(1)
    probe = fitted(z[~held_out], labels[~held_out], 2.0, 0)
    assert calibrate(probe, z, labels, held_out) < 0.2
    middle = torch.tensor([[(LOWEST + HIGHEST) / 2]])
    assert probe(middle) > 0 and probe(middle + 23) == 0


def test_labels_that_mean_nothing_are_refused():
    obs, labels = _world()
    shuffled = labels[torch.randperm(len(labels), generator=noise(3))]
    with pytest.raises(ValueError, match="agent.guardrails = 'pit' cannot be told") as refusal:
        trained_probe("pit", _stack()[:1], obs, shuffled, 0)
    assert "\n" not in str(refusal.value)


def test_a_level_whose_latents_do_not_know_has_no_probe():
    levels = _stack()
    nn.init.zeros_(levels[1].encoder.weight)
    rail = trained_probe("pit", levels, *_world(), 0)
    assert rail.by_level[0] is not None and rail.by_level[1] is None
    assert guard_at([rail], 0) is not None and guard_at([rail], 1) is None


def test_too_few_states_of_a_kind_are_refused():
    obs, _ = _world()
    labels = torch.arange(len(obs)) < FEWEST - 1
    with pytest.raises(ValueError, match=f"{FEWEST - 1} of its states .* {FEWEST} or more of each"):
        trained_probe("pit", _stack(), obs, labels, 0)


@pytest.mark.slow
def test_a_probe_learns_from_real_latents_once_they_know_where_the_agent_is():
    config = tiny_config(2)
    task = tiny_task(config)
    states = task.world.all_states
    labels = torch.from_numpy(states[:, 0] <= states[:, 0].mean() - 2)
    obs = torch.from_numpy(task.observe(states))
    levels = tiny_stack(config, num_updates=40)
    rail = trained_probe("left", levels, obs, labels, 0)
    beyond = guard_at([rail], 0)(encode_stack(levels, obs)[0][None])[0] > 0
    assert (beyond == labels).float().mean() > 0.95
    with pytest.raises(ValueError, match="cannot be told"):
        trained_probe("left", tiny_stack(config, num_updates=0), obs, labels, 0)


def test_a_guard_sums_what_is_violated_and_weighs_none_of_it_lightly():
    def slightly(z):
        return 1e-4 * z[..., 0].relu()

    def fully(z):
        return z[..., 0] > 5

    def unsure(z):
        return z[..., 0] / 0 * 0

    rails = [
        Guardrail(name="slightly", by_level=[slightly, None]),
        Guardrail(name="fully", by_level=[fully, None]),
    ]
    guard, z = guard_at(rails, 0), torch.tensor([[[-1.0], [0.0], [2.0]], [[3.0], [6.0], [7.0]]])
    known = torch.tensor([[0.0, 0.0, 1 + 2e-4], [1 + 3e-4, 2 + 6e-4, 2 + 7e-4]])
    assert isinstance(guard, Energy) and torch.allclose(guard(z), known)
    assert guard.of(torch.tensor([1])) is guard
    assert guard_at(rails, 1) is None and guard_at([], 0) is None
    relieved = guard_at(
        [*rails, Guardrail(name="below 0", by_level=[lambda z: -9 + 0 * z[..., 0]])], 0
    )
    assert torch.equal(relieved(z), guard(z)), "nothing makes up for a violation"
    undefined = guard_at([Guardrail(name="unsure", by_level=[unsure])], 0)
    assert (undefined(z) > 0).all()


def test_a_name_is_a_kind_of_the_tasks_states_or_a_function_of_ones_own(rail, caplog):
    task, names = Pit(labels=_world()[1].numpy()), ["pit", f"{__name__}.beyond_ten"]
    probe, stated = build_guardrails(names, _stack(), task, 0)
    z = torch.tensor([[[12.0], [9.0], [25.0]]])
    assert torch.equal(guard_at([probe], 0)(z), guard_at([rail], 0)(z))
    assert guard_at([stated], 0)(z).tolist() == [[3.0, 0.0, 16.0]]
    assert guard_at([stated], 1) is None
    assert not caplog.records
    assert build_guardrails([], _stack(), task, 0) == []


def test_a_guardrail_that_the_bottom_cannot_see_is_told(caplog):
    (rail,) = build_guardrails([f"{__name__}.above_two"], _stack(), Pit(labels=positions()), 0)
    assert rail.by_level[0] is None and rail.by_level[1] is not None
    assert "cannot be evaluated at the bottom level" in caplog.text


@pytest.mark.parametrize(
    "name, message",
    [
        ("lava", "has no labelled states 'lava'; known there: pit; or give module.function"),
        ("nowhere.at_all", "cannot be imported .*; allowed is module.function"),
        (f"{__name__}.missing", "cannot be imported"),
        (".relative", "cannot be imported"),
        (f"{__name__}.not_a_function", "is a int"),
        (f"{__name__}.falls", "numbers from 0 up"),
        (f"{__name__}.keeps_the_width", r"returned a tensor \(3, 5, 1\)"),
        (f"{__name__}.has_holes", "returned NaN"),
        (f"{__name__}.is_silent", "says nothing of any level"),
    ],
)
def test_a_guardrail_that_cannot_be_is_one_clear_line(name, message):
    task = Pit(labels=_world()[1].numpy())
    with pytest.raises(ValueError, match=f"^agent.guardrails = .*{message}") as refusal:
        build_guardrails([name], _stack(), task, 0)
    assert "\n" not in str(refusal.value)


def test_a_task_without_labels_or_with_wrong_ones_is_told():
    with pytest.raises(ValueError, match="'pit', but the task has no labelled states"):
        build_guardrails(["pit"], _stack(), object(), 0)
    for labels in (np.zeros(LAST - FIRST), np.zeros((LAST - FIRST, 1), dtype=bool)):
        with pytest.raises(ValueError, match="allowed is one bool for each"):
            build_guardrails(["pit"], _stack(), Pit(labels=labels), 0)
