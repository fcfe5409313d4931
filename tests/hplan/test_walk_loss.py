"""The hinge that keeps latents varying within walks."""

import pytest
import torch

from hplan.objective import stack_loss, walk_loss
from tests.hplan.dot_walks import B, D, T, bare_level, clips_of, dot_walks, seeded, small_stack

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("spread", "expected"), [(0.2, 0.3), (0.6, 0.0)])
def test_the_walk_loss_sees_what_varies_within_a_walk_and_not_between_walks(spread, expected):
    sign = torch.where(torch.arange(T + 1) % 2 == 0, 1.0, -1.0)
    clip = torch.arange(B).float().mul(100).view(B, 1, 1)
    clips = clips_of((clip + spread * sign.view(1, -1, 1)).expand(-1, -1, D))
    loss = walk_loss(bare_level(), clips, num_steps=7, least=0.5)
    assert loss.item() == pytest.approx(expected, abs=1e-3)


def test_some_dimensions_may_be_slow_if_others_vary_the_more():
    fast = torch.where(torch.arange(T + 1) % 2 == 0, 1.0, -1.0).view(1, -1, 1).expand(B, -1, 1)
    clips = clips_of(torch.cat([fast, torch.zeros(B, T + 1, D - 1)], -1))
    loss = walk_loss(bare_level(), clips, num_steps=7, least=0.5)
    assert loss.item() == pytest.approx(0.5 - D**-0.5, abs=1e-3)


def test_a_walk_is_as_long_as_the_level_sees_far():
    z = torch.arange(T + 1).float().view(1, -1, 1).expand(B, -1, 1)
    clips = clips_of(z, action=torch.zeros(B, T, 1), goals=torch.zeros(3, 1))
    for stride, num_steps, length in [(1, 4, 5), (3, 4, 13), (1, 1000, T + 1)]:
        spread = torch.arange(length).float().std(correction=0).item()
        loss = walk_loss(bare_level(stride), clips, num_steps, least=100.0)
        assert loss.item() == pytest.approx(100.0 - spread, abs=1e-3)


def test_without_the_regulariser_nothing_holds_the_latents_apart():
    levels, configs = small_stack(
        2, **{"loss.regulariser_weight": [0.0], "loss.walk_weight": [2.0]}
    )
    _, terms = stack_loss(levels, configs, dot_walks(), seeded())
    for k in (0, 1):
        for name in ("variance", "covariance", "walk"):
            assert terms[f"level{k}/{name}_loss"] == 0
