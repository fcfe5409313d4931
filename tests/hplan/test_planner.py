"""Plans of one level on the line world."""

from functools import partial

import pytest
import torch

from hplan.energy import Avoiding, TargetEnergy
from hplan.level_config import PlannerConfig
from hplan.planner import evaluation_flops, plan_level, shifted
from tests.hplan.line_world import AHEAD, BACK, STAY, line_stack, noise
from tests.hplan.stacks import tiny_config, tiny_stack

B, H, A, RATIO = 3, 5, 2, 7
TREE = PlannerConfig(search="tree", horizon=H, tolerance=0.5)
CEM = PlannerConfig(search="cem", horizon=H, tolerance=0.5)


def _plan(levels, k, z, target, *, target_level, config=TREE, seed=0, energy="distance", **rest):
    goal = torch.as_tensor(target).view(-1, 1, 1)
    return plan_level(
        levels,
        k,
        torch.as_tensor(z).view(-1, 1),
        TargetEnergy(level=levels[target_level], target=goal, name=energy),
        target_level=target_level,
        energy_name=energy,
        config=config,
        generator=noise(seed),
        **rest,
    )


@pytest.mark.parametrize("energy", ["distance", "l2"])
def test_a_subgoal_is_pursued_in_the_space_of_the_level_that_set_it(energy):
    """The level above counts in sevenths: its subgoal 3/7 is position 3 below."""
    levels = line_stack(RATIO)
    for level in levels:
        level.move.fill_(1 / level.stride**2)
    found = _plan(levels, 0, [0.0, 9.0], [3 / RATIO, 5 / RATIO], target_level=1, energy=energy)
    assert found.num_steps.tolist() == [3, 4]
    assert found.actions.argmax(-1)[0, :3].tolist() == [AHEAD] * 3
    assert found.actions.argmax(-1)[1, :4].tolist() == [BACK] * 4
    assert found.latents[:, -1].flatten().tolist() == [3.0, 5.0]
    assert (found.left < 1e-4).all()


def test_a_level_above_plans_in_its_own_space():
    levels = line_stack(RATIO)
    found = _plan(levels, 1, [0.0], [4.0], target_level=1, config=CEM)
    assert found.left.item() <= CEM.tolerance
    assert found.score.item() == pytest.approx(RATIO * found.num_steps.item(), abs=0.5)


def test_a_tree_is_the_same_in_whatever_parts_it_is_searched(monkeypatch):
    levels = line_stack(RATIO)
    z, target = torch.arange(7.0), torch.tensor([3.0, 1.0, 9.0, 0.0, -2.0, 5.0, 6.5])
    whole = _plan(levels, 0, z, target, target_level=0)
    monkeypatch.setattr("hplan.planner.ROWS_AT_ONCE", 3**H * 2)
    parts = _plan(levels, 0, z, target, target_level=0)
    for field in ("actions", "latents", "num_steps", "score", "left"):
        assert torch.equal(getattr(whole, field), getattr(parts, field)), field
    assert torch.equal(whole.evaluations, parts.evaluations)


def test_a_plan_does_not_end_at_a_place_to_avoid():
    levels = line_stack()
    free = _plan(levels, 0, [0.0, 0.0], [1.0, 1.0], target_level=0)
    assert free.latents[:, -1].flatten().tolist() == [1.0, 1.0]
    avoiding = partial(
        Avoiding,
        places=torch.tensor([[[1.0], [50.0]], [[50.0], [1.0]]]),
        valid=torch.tensor([[True, True], [True, False]]),
        radius=0.3,
        penalty=9.0,
    )
    found = _plan(levels, 0, [0.0, 0.0], [1.0, 1.0], target_level=0, avoiding=avoiding)
    assert (found.latents[0, -1] - 1).abs().item() == 1 and found.num_steps[0] == H
    assert torch.equal(found.latents[1], free.latents[1])


def test_a_warm_start_is_handed_on():
    levels = line_stack(RATIO)
    warm = torch.tensor([2.0, 2.0, 2.0, 0.0, 0.0]).view(1, H, 1)
    one = PlannerConfig(
        search="cem", horizon=H, num_candidates=2, max_candidates=2, num_elites=2, num_iterations=1
    )
    found = _plan(levels, 1, [0.0], [6.0], target_level=1, config=one, warm_start=warm)
    assert torch.equal(found.actions, warm)


def test_a_shifted_plan():
    actions = torch.arange(1.0, 1 + B * H * A).view(B, H, A)
    moved = shifted(actions, torch.tensor([0, 2, H]))
    assert torch.equal(moved[0], actions[0])
    assert torch.equal(moved[1, :3], actions[1, 2:]) and (moved[1, 3:] == 0).all()
    assert (moved[2] == 0).all()
    assert (shifted(actions, torch.full((B,), H + 9)) == 0).all()


def test_flops_of_a_row_are_those_of_the_parts_it_passes():
    levels = line_stack(RATIO)
    plain, by_path = PlannerConfig(horizon=4), PlannerConfig(horizon=4, judged="path")
    assert evaluation_flops(levels, 0, 0, "l2", plain) == 2 * 3, "three moves on a line"
    assert evaluation_flops(levels, 0, 1, "l2", plain) == 2 * (3 + 1), "and the encoder above"
    learned = tiny_stack(tiny_config(3), num_updates=0)

    def size(*parts):
        return sum(2 * p.numel() for part in parts for p in part.parameters() if p.ndim == 2)

    for k in range(3):
        own = [learned[k].predictor] + ([learned[k].action_prior] if k else [])
        assert evaluation_flops(learned, k, k, "l2", plain) == size(*own)
        judging, rows = size(learned[k].distance.here), 4 if k else 1
        found = evaluation_flops(learned, k, k, "distance", plain)
        assert found == size(*own) + judging / rows, "above the bottom the end alone is judged"
        found = evaluation_flops(learned, k, k, "distance", by_path)
        assert found == size(*own) + judging
    both = [learned[0].predictor, learned[1].encoder, learned[2].encoder, learned[2].distance.here]
    assert evaluation_flops(learned, 0, 2, "distance", plain) == size(*both)


def test_at_its_target_a_plan_still_takes_a_step():
    found = _plan(line_stack(), 0, [4.0], [4.0], target_level=0)
    assert found.num_steps.item() == 1 and found.actions[0, 0].argmax() == STAY
